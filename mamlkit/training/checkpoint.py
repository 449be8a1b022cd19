"""Where a run stands, on disk: one folder a run, safetensors and JSON, whole or not at all."""

import hashlib
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import safetensors
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor
from torch.optim import Optimizer

from mamlkit import files
from mamlkit.training import distributed
from mamlkit.training.step import MetaStep

if TYPE_CHECKING:
    from mamlkit.training.loop import Loop

BEST = "best.safetensors"


class Checkpoint(NamedTuple):
    """Everything a run needs to go on as if it had never stopped.

    tensors: section -> name -> tensor: "params", "optimizer", "random", "history". Names are those
        of `files.flatten`.
    metadata: whatever JSON can hold: the iteration, the optimiser's settings, seconds so far.
    """

    tensors: dict[str, dict[str, Tensor]]
    metadata: dict[str, Any]


def write(folder: Path, checkpoint: Checkpoint, *, keep_last: int, best: bool = False) -> None:
    """Write a checkpoint into the run's folder and drop all but the last `keep_last`.

    best: write it as the best one, which stays, and beside which nothing is dropped.
    """
    flat = files.flatten(checkpoint.tensors)
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in flat.items()}
    metadata = json.dumps(checkpoint.metadata)
    content = to_bytes(flat, {"metadata": metadata, "sha256": _checksum(flat, metadata)})
    name = BEST if best else f"iteration-{checkpoint.metadata['iteration']:09d}.safetensors"
    try:
        files.atomic_write(Path(folder) / name, content)
    except OSError as error:
        raise OSError(
            error.errno,
            f"fit: the checkpoint could not be written ({error.strerror}); earlier ones are as "
            "they were. Make room, or allow writing, and start again to go on from there",
            str(folder),
        ) from error
    for old in [] if best else newest_first(folder)[keep_last:]:
        old.unlink(missing_ok=True)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint, or raise ValueError if the file is not exactly what was written."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except (safetensors.SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    metadata = header.get("metadata", "")
    if header.get("sha256") != _checksum(flat, metadata):
        raise ValueError(f"{path} is damaged: its SHA-256 is not that of its content")
    tensors = {}
    for name, tensor in flat.items():
        section, _, rest = name.partition("/")
        tensors.setdefault(section, {})[rest] = tensor
    return Checkpoint(tensors, json.loads(metadata))


def _checksum(flat: dict[str, Tensor], metadata: str) -> str:
    return hashlib.sha256((files.checksum(flat) + metadata).encode()).hexdigest()


def newest_first(folder: Path) -> list[Path]:
    """Return the paths of a run's checkpoints."""
    return sorted(Path(folder).glob("iteration-*.safetensors"), reverse=True)


def newest(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint that is whole, or return None where there is none at all."""
    damaged = []
    for path in newest_first(folder):
        try:
            checkpoint = read(path)
        except ValueError as error:
            damaged.append(str(error))
            continue
        for text in damaged:
            warnings.warn(f"checkpoint: {text}; going on from {path.name}", stacklevel=2)
        return checkpoint
    if damaged:
        raise ValueError(
            f"checkpoint: {damaged[0]}, and there is no older one; delete the folder to start again"
        )
    return None


class CheckpointManager:
    """The folder of a run: it belongs to one identity, and holds where the run stands.

    path: where. identity: what must be equal for a run to go on; it lies beside the checkpoints as
    `identity.json`. keep_last: how many checkpoints stay.
    Of several processes the first writes; all must see the same folder.

    Raises ValueError where the folder holds the run of another.
    """

    def __init__(
        self,
        path: str | Path,
        identity: dict[str, Any],
        step: MetaStep,
        generator: torch.Generator,
        *,
        keep_last: int,
    ) -> None:
        self.path, self.step, self.generator = Path(path), step, generator
        self.keep_last = keep_last
        if distributed.is_main_process():
            files.check_writable("fit", path)
            self._claim(identity)
        distributed.barrier()

    def _claim(self, identity: dict[str, Any]) -> None:
        path = self.path / "identity.json"
        if not path.is_file() or not newest_first(self.path):  # nothing is lost by starting anew
            files.atomic_write(path, json.dumps(identity, indent=2).encode())
            return
        try:
            earlier = json.loads(path.read_text("utf8"))
        except ValueError as error:
            raise ValueError(f"fit: {path} is damaged ({error}); use another folder") from None
        name, before, now = "", earlier, identity
        while isinstance(before, dict) and isinstance(now, dict) and before != now:
            key = min(key for key in {*before, *now} if before.get(key) != now.get(key))
            name, before, now = f"{name}.{key}".lstrip("."), before.get(key), now.get(key)
        if before != now:
            raise ValueError(
                f"fit: {self.path} holds a run with {name} = {before}, this one has {now}; use "
                "another folder, or the same settings to resume"
            )

    def last(self) -> Path | None:
        """Return the path of the newest checkpoint, or None."""
        return next(iter(newest_first(self.path)), None)

    def save(self, loop: "Loop", best: bool = False) -> None:
        """Write everything that `restore` needs."""
        if not distributed.is_main_process():
            return
        validation = torch.tensor(loop.validation, dtype=torch.float64).view(-1, 3)
        tensors = {
            "params": self.step.params,
            "optimizer": optimizer_to_save(self.step.optimizer)[0],
            "random": self._random_states(),
            "history": {"loss": loop.losses[: loop.done], "validation": validation},
        }
        checkpoint = Checkpoint(tensors, run_metadata(self.step, loop.done, loop.seconds))
        write(self.path, checkpoint, keep_last=self.keep_last, best=best)

    def restore(self, loop: "Loop") -> bool | None:
        """Bring everything to where the newest checkpoint stands; return whether it was compiled.

        To be called before the first step: a compiled step keeps hold of the optimiser's state as
        it finds it.
        """
        checkpoint = newest(self.path)
        done = checkpoint.metadata["iteration"] if checkpoint else 0
        if done != distributed.broadcast(done):
            raise ValueError(
                f"fit: process {distributed.rank()} finds {done} iterations in {self.path}, the "
                "first one others; use a folder that all processes see"
            )
        if checkpoint is None:
            return None
        tensors, metadata = checkpoint
        if done > loop.iterations:
            raise ValueError(
                f"fit: {self.path} holds {done} iterations, more than the {loop.iterations} asked "
                f"for; ask for at least {done}, or use another folder"
            )
        for name, value in files.flatten(self.step.params).items():
            value.copy_(tensors["params"][name])
        restore_optimizer(self.step.optimizer, tensors.get("optimizer", {}), metadata["optimizer"])
        if self.step.schedule:
            self.step.schedule.load_state_dict(_int_keys(metadata["schedule"]))
        self._restore_random_states(tensors["random"], metadata["device"], done)
        loop.done, loop.seconds = done, metadata["seconds"]
        loop.losses[:done] = tensors["history"]["loss"]
        loop.validation += tensors["history"]["validation"].tolist()
        return metadata["compiled"]

    def _random_states(self) -> dict[str, Tensor]:
        """Return the states of the generator of tasks and of torch's global one (for dropout)."""
        states = {"tasks": self.generator.get_state(), "torch": torch.get_rng_state()}
        if self.generator.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.generator.device)
        return states

    def _restore_random_states(self, states: dict[str, Tensor], device: str, done: int) -> None:
        here, seed = self.generator.device.type, self.generator.initial_seed()
        if device == here:
            self.generator.set_state(states["tasks"])
            torch.set_rng_state(states["torch"])
            if here == "cuda":
                torch.cuda.set_rng_state(states["cuda"], self.generator.device)
            return
        self.generator.manual_seed(seed + done)
        torch.manual_seed(seed)
        text = f"fit: {self.path} was saved on {device} and goes on on {here}, whose random numbers"
        rest = "are others: the tasks to come are not those that would have come there"
        warnings.warn(f"{text} {rest}", stacklevel=4)


def optimizer_to_save(optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a `torch.optim` optimiser's state as (tensors, metadata)."""
    state = optimizer.state_dict()
    tensors, rest = {}, {}
    for index, entries in state["state"].items():
        tensors[str(index)] = {k: v for k, v in entries.items() if isinstance(v, Tensor)}
        rest[str(index)] = {k: v for k, v in entries.items() if not isinstance(v, Tensor)}
    return tensors, {"rest": rest, "groups": state["param_groups"]}


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Put back what `optimizer_to_save` returned, its tensors by their flattened names."""
    state = {int(index): dict(rest) for index, rest in metadata["rest"].items()}
    for name, tensor in tensors.items():
        index, _, entry = name.partition("/")
        state[int(index)][entry] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": metadata["groups"]})


def _int_keys(settings: Any) -> Any:
    """Make whole numbers again of keys that JSON made strings of."""
    if isinstance(settings, dict):
        return {int(k) if k.isdigit() else k: _int_keys(v) for k, v in settings.items()}
    return [*map(_int_keys, settings)] if isinstance(settings, list) else settings


def run_metadata(step: MetaStep, iteration: int, seconds: float) -> dict[str, Any]:
    """Return what of a run's state JSON can hold."""
    return {
        "iteration": iteration,
        "seconds": seconds,
        "optimizer": optimizer_to_save(step.optimizer)[1],
        "schedule": step.schedule.state_dict() if step.schedule else None,
        "compiled": bool(step.compile),
        "device": step.device.type,
        "torch": version("torch"),
    }
