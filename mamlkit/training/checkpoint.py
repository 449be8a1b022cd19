"""Where a run stands, on disk: one folder a run, safetensors and JSON, whole or not at all."""

import json
from pathlib import Path
from typing import NamedTuple

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from mamlkit import files

KEPT = 2  # files of a run that stay: the newest, and the one before in case it is damaged


class Checkpoint(NamedTuple):
    """Everything a run needs to go on as if it had never stopped.

    tensors: a nest of dicts of tensors: parameters, optimiser, random states, losses.
    facts: whatever JSON can hold: the iteration, the optimiser's settings, seconds so far.
    """

    tensors: dict
    facts: dict


def write(folder, checkpoint):
    """Write a checkpoint into the run's folder and drop all but the last two."""
    flat = dict(_flatten(checkpoint.tensors))
    content = save(flat, metadata={"facts": as_json(checkpoint.facts)})
    path = Path(folder) / f"iteration-{checkpoint.facts['iteration']:09d}.safetensors"
    files.write_whole(path, content)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def as_json(facts):
    """The facts as text; raises TypeError for what JSON cannot hold."""
    return json.dumps(facts)


def newest(folder):
    """The newest readable checkpoint of the folder, or None where there is none."""
    damaged = None
    for path in _newest_first(folder):
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return Checkpoint(_nest(flat), json.loads(file.metadata()["facts"]))
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            damaged = damaged or f"{path} ({error})"
    if damaged:
        raise ValueError(
            f"checkpoint: {damaged} is damaged and there is no older one; delete the folder to "
            "start again"
        )
    return None


def claim(folder, recipe):
    """Make the folder this recipe's, or raise if it holds the run of another.

    The recipe lies beside the checkpoints as `recipe.json`.
    """
    path = Path(folder) / "recipe.json"
    if not path.is_file() or not _newest_first(folder):  # nothing is lost by starting anew
        files.write_whole(path, json.dumps(recipe, indent=2).encode())
        return
    found = json.loads(path.read_text())
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


def _newest_first(folder):
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
