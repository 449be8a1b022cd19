"""Where a run stands, on disk: one folder a run, safetensors and JSON, whole or not at all."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import NamedTuple

import safetensors
import torch
from safetensors.numpy import save as arrays_to_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from mamlkit import files

BEST = "best.safetensors"


class Checkpoint(NamedTuple):
    """Everything a run needs to go on as if it had never stopped.

    tensors: a nest of dicts of tensors: parameters, optimiser, random states, losses.
    facts: whatever JSON can hold: the iteration, the optimiser's settings, seconds so far.
    """

    tensors: dict
    facts: dict


def write(folder, checkpoint, *, keep, best=False):
    """Write a checkpoint into the run's folder and drop all but the last `keep`.

    best: write it as the best one, which stays, and beside which nothing is dropped.
    """
    flat, facts = dict(_flatten(checkpoint.tensors)), as_json(checkpoint.facts)
    content = _to_bytes(flat, {"facts": facts, "sha256": _seal(flat, facts)})
    name = BEST if best else f"iteration-{checkpoint.facts['iteration']:09d}.safetensors"
    try:
        files.write_whole(Path(folder) / name, content)
    except OSError as error:
        raise OSError(
            error.errno,
            f"fit: the checkpoint could not be written ({error.strerror}); earlier ones are as "
            "they were. Make room, or allow writing, and start again to go on from there",
            str(folder),
        ) from error
    for old in [] if best else newest_first(folder)[keep:]:
        old.unlink(missing_ok=True)


def _to_bytes(flat, metadata):
    """As `tensors_to_bytes`, which leaves 5 KB in memory for each new size of a tensor.

    It makes a ctypes type of every size, which ctypes keeps; a history has another size each time.
    """
    try:
        arrays = {name: tensor.numpy() for name, tensor in flat.items()}
    except TypeError:  # a dtype that NumPy has not, bfloat16 for one
        return tensors_to_bytes(flat, metadata=metadata)
    return arrays_to_bytes(arrays, metadata=metadata)


def read(path):
    """A checkpoint, or ValueError if the file is not exactly what was written."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            given = file.metadata() or {}
    except (safetensors.SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if given.get("sha256") != _seal(flat, given.get("facts", "")):
        raise ValueError(f"{path} is damaged: its SHA-256 is not that of its content")
    return Checkpoint(_nest(flat), json.loads(given["facts"]))


def _seal(flat, facts):
    return hashlib.sha256((files.digest(flat) + facts).encode()).hexdigest()


def as_json(facts):
    """The facts as text; raises TypeError for what JSON cannot hold."""
    return json.dumps(facts)


def newest(folder):
    """The newest checkpoint that is whole, or None where there is none; tells of damaged ones."""
    damaged = []
    for path in newest_first(folder):
        try:
            found = read(path)
        except ValueError as error:
            damaged.append(str(error))
            continue
        for text in damaged:
            warnings.warn(f"checkpoint: {text}; going on from {path.name}", stacklevel=2)
        return found
    if damaged:
        raise ValueError(
            f"checkpoint: {damaged[0]}, and there is no older one; delete the folder to start again"
        )
    return None


def claim(folder, recipe):
    """Make the folder this recipe's, or raise if it holds the run of another.

    The recipe lies beside the checkpoints as `recipe.json`.
    """
    path = Path(folder) / "recipe.json"
    if not path.is_file() or not newest_first(folder):  # nothing is lost by starting anew
        files.write_whole(path, json.dumps(recipe, indent=2).encode())
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"fit: {path} is damaged ({error}); use another folder") from None
    for name in sorted({*found, *recipe}):
        theirs, ours = found.get(name), recipe.get(name)
        if theirs != ours:
            raise ValueError(
                f"fit: {folder} holds a run with {name} = {theirs}, this one has {ours}; use "
                "another folder, or the same settings to resume"
            )


def optimizer_state(optimizer):
    """A `torch.optim` optimiser's state as (tensors, facts)."""
    state = optimizer.state_dict()
    tensors, rest = {}, {}
    for index, entries in state["state"].items():
        here = {k: v for k, v in entries.items() if isinstance(v, Tensor)}
        tensors[str(index)] = here
        rest[str(index)] = {k: v for k, v in entries.items() if k not in here}
    return tensors, {"rest": rest, "groups": state["param_groups"]}


def restore_optimizer(optimizer, tensors, facts):
    """Put (tensors, facts) of `optimizer_state` back."""
    state = {int(i): {**rest, **tensors.get(i, {})} for i, rest in facts["rest"].items()}
    optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})


def restore_schedule(schedule, facts):
    """Put a scheduler's state back; JSON made strings of the whole numbers among its keys."""
    schedule.load_state_dict(_whole_keys(facts))


def _whole_keys(facts):
    if isinstance(facts, dict):
        whole = lambda key: int(key) if key.isdigit() else key
        return {whole(key): _whole_keys(value) for key, value in facts.items()}
    return facts


def newest_first(folder):
    """The paths of a run's checkpoints."""
    return sorted(Path(folder).glob("iteration-*.safetensors"), reverse=True)


SEPARATOR = "\x1f"  # in no name of a parameter


def _flatten(nest, prefix=""):
    for key, value in nest.items():
        if isinstance(value, Tensor):
            yield prefix + key, value.detach().cpu().contiguous().clone()
        else:
            yield from _flatten(value, f"{prefix}{key}{SEPARATOR}")


def _nest(flat):
    nest = {}
    for path, tensor in flat.items():
        *folders, key = path.split(SEPARATOR)
        here = nest
        for folder in folders:
            here = here.setdefault(folder, {})
        here[key] = tensor
    return nest


def random_states(generator):
    """The states of the generator of tasks and of torch's global one (dropout draws from it)."""
    states = {"tasks": generator.get_state(), "torch": torch.get_rng_state()}
    if generator.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(generator.device)
    return states


def restore_random_states(generator, states):
    """Put what `random_states` returned back."""
    generator.set_state(states["tasks"])
    torch.set_rng_state(states["torch"])
    if "cuda" in states and generator.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], generator.device)
