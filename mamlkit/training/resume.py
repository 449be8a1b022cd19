"""Going on where a run stopped: what must be equal, what is kept, and how it is put back."""

import re
from functools import partial

import torch

from mamlkit import files
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


def _facts(step, iteration, seconds):
    return {
        "iteration": iteration,
        "seconds": seconds,
        "optimizer": checkpoints.optimizer_state(step.optimizer)[1],
        "schedule": step.schedule.state_dict() if step.schedule else None,
        "compiled": step.compile,
        "torch": torch.__version__,
    }


def save(folder, step, generator, losses, validation, seconds):
    """Write everything that `restore` needs into the run's folder."""
    tensors = {
        "params": step.params,
        "optimizer": checkpoints.optimizer_state(step.optimizer)[0],
        "random": checkpoints.random_states(generator),
        "history": {
            "loss": losses,
            "validation": torch.tensor(validation, dtype=torch.float64).view(-1, 3),
        },
    }
    facts = _facts(step, len(losses), seconds)
    checkpoints.write(folder, checkpoints.Checkpoint(tensors, facts))


def restore(folder, step, generator, losses, validation):
    """Bring everything to where the folder's newest checkpoint stands.

    Returns (iteration, seconds, whether the run was compiled). To be called before the first step:
    a compiled step keeps hold of the optimiser's state as it finds it.
    """
    found = checkpoints.newest(folder)
    if found is None:
        return 0, 0.0, False
    tensors, facts = found
    done = facts["iteration"]
    if done > len(losses):
        raise ValueError(
            f"fit: {folder} holds {done} iterations, more than the {len(losses)} asked for; ask "
            f"for at least {done}, or use another folder"
        )
    with torch.no_grad():
        for name, leaf in step.leaves.items():
            leaf.copy_(tensors["params"][name])
    checkpoints.restore_optimizer(step.optimizer, tensors.get("optimizer", {}), facts["optimizer"])
    if step.schedule:
        checkpoints.restore_schedule(step.schedule, facts["schedule"])
    checkpoints.restore_random_states(generator, tensors["random"])
    losses[:done] = tensors["history"]["loss"]
    validation += tensors["history"]["validation"].tolist()
    return done, facts["seconds"], facts.get("compiled", False)
