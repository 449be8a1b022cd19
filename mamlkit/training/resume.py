"""Going on where a run stopped: what must be equal, what is kept, and how it is put back."""

import re
import warnings
from functools import partial

import torch

from mamlkit import files, processes
from mamlkit.training import checkpoint as checkpoints


def recipe(learner, distribution, step, optimizer, schedule):
    """What of the learner, the tasks and the optimiser must be equal for a run to go on."""
    fixed = {**dict(learner.module.named_parameters()), **dict(learner.module.named_buffers())}
    fixed = {name: value for name, value in fixed.items() if name not in step.leaves}
    groups = step.optimizer.state_dict()["param_groups"]
    found = {
        "learner": repr(learner),
        "frozen": files.digest(fixed),
        "distribution": repr(distribution),
        "parameters": {name: [str(p.dtype), *p.shape] for name, p in step.leaves.items()},
        "optimizer": f"{describe(optimizer)}: {groups}",
        "schedule": describe(schedule),
    }
    try:
        checkpoints.as_json(_facts(step, 0, 0.0))
    except TypeError as error:
        raise ValueError(
            f"fit: the optimiser's or the schedule's state cannot be saved ({error}); use plain "
            "numbers in their settings, or no checkpoint"
        ) from None
    address = re.compile(r" at 0x[0-9a-f]+")  # of no meaning to another process
    return {k: address.sub("", v) if isinstance(v, str) else v for k, v in found.items()}


def describe(function):
    """A function and what is bound to it, or a plain setting, in words."""
    if isinstance(function, str):
        return function
    if isinstance(function, partial):
        keywords = [f"{k}={v}" for k, v in sorted(function.keywords.items())]
        settings = ", ".join([*map(str, function.args), *keywords])
        return f"{describe(function.func)}({settings})"
    return getattr(function, "__qualname__", repr(function))


class Folder:
    """The folder of a run: it belongs to one recipe, and holds where the run stands.

    path: where. recipe: what must be equal for a run to go on. keep: how many checkpoints stay.
    Of several processes the first writes; all must see the same folder.
    """

    def __init__(self, path, recipe, step, generator, *, keep):
        self.path, self.step, self.generator, self.keep = path, step, generator, keep
        if processes.first():
            checkpoints.claim(path, recipe)
        processes.wait()

    def last(self):
        """The path of the newest checkpoint, or None."""
        return next(iter(checkpoints.newest_first(self.path)), None)

    def save(self, loop, best=False):
        """Write everything that `restore` needs."""
        if not processes.first():
            return
        tensors = {
            "params": self.step.params,
            "optimizer": checkpoints.optimizer_state(self.step.optimizer)[0],
            "random": checkpoints.random_states(self.generator),
            "history": {
                "loss": loop.losses[: loop.done],
                "validation": torch.tensor(loop.validation, dtype=torch.float64).view(-1, 3),
            },
        }
        facts = _facts(self.step, loop.done, loop.seconds)
        found = checkpoints.Checkpoint(tensors, facts)
        checkpoints.write(self.path, found, keep=self.keep, best=best)

    def restore(self, loop):
        """Bring everything to where the newest checkpoint stands; whether it was compiled.

        To be called before the first step: a compiled step keeps hold of the optimiser's state as
        it finds it.
        """
        found = checkpoints.newest(self.path)
        done = found.facts["iteration"] if found else 0
        if done != processes.agreed(done):
            raise ValueError(
                f"fit: process {processes.rank()} finds {done} iterations in {self.path}, the "
                "first one others; use a folder that all processes see"
            )
        if found is None:
            return None
        tensors, facts = found
        if done > loop.iterations:
            raise ValueError(
                f"fit: {self.path} holds {done} iterations, more than the {loop.iterations} asked "
                f"for; ask for at least {done}, or use another folder"
            )
        with torch.no_grad():
            for name, leaf in self.step.leaves.items():
                leaf.copy_(tensors["params"][name])
        optimizer = tensors.get("optimizer", {}), facts["optimizer"]
        checkpoints.restore_optimizer(self.step.optimizer, *optimizer)
        if self.step.schedule:
            checkpoints.restore_schedule(self.step.schedule, facts["schedule"])
        self._restore_random_states(tensors["random"], facts["device"], done)
        loop.done, loop.seconds = done, facts["seconds"]
        loop.losses[:done] = tensors["history"]["loss"]
        loop.validation += tensors["history"]["validation"].tolist()
        return facts["compiled"]

    def _restore_random_states(self, states, device, done):
        here = self.generator.device.type
        if device == here:
            return checkpoints.restore_random_states(self.generator, states)
        self.generator.manual_seed(self.generator.initial_seed() + done)
        torch.manual_seed(self.generator.initial_seed())
        warnings.warn(
            f"fit: {self.path} was saved on {device} and goes on on {here}, whose random numbers "
            "are others: the tasks to come are not those that would have come there",
            stacklevel=4,
        )
        return None


def _facts(step, iteration, seconds):
    return {
        "iteration": iteration,
        "seconds": seconds,
        "optimizer": checkpoints.optimizer_state(step.optimizer)[1],
        "schedule": step.schedule.state_dict() if step.schedule else None,
        "compiled": step.compile,
        "device": next(iter(step.leaves.values())).device.type,
        "torch": torch.__version__,
    }
