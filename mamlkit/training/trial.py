"""What is tried and decided on one batch, before a run begins."""

import warnings
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from mamlkit import devices
from mamlkit.learners.base import Learner
from mamlkit.learners.vmap import can_vectorize, vmap_tasks
from mamlkit.tasks.batch import TaskBatch, check_batch
from mamlkit.training.meta_gradient import should_vectorize


def try_once(
    learner: Learner, params: Any, batch: TaskBatch, tasks: int, vectorize: bool | str
) -> bool:
    """Look at one batch and try one task before the work begins; say whether to vectorize.

    Tried in evaluation mode, too, where a module may take another path.
    """
    check_batch("fit", batch, tasks)
    learner.check_classes("fit", batch)
    device = next(learner.module.parameters()).device
    devices.check_same_device("fit", the_tasks=batch.support_x.device, the_model=device)
    vectorize = should_vectorize("fit", learner, params, batch, vectorize)

    def predictions(task: TaskBatch) -> list[Tensor]:
        path = learner.trajectory(params, task.support, min(1, getattr(learner, "steps", 1)))
        return [learner.predict(adapted, task.query_x) for adapted in path]

    forward = lambda task, vectorize: vmap_tasks(predictions, learner.module, task, vectorize)
    with torch.no_grad(), learner.mode(training=False):
        can_vectorize("fit, in evaluation mode", forward, batch, vectorize)
    return vectorize


def is_repeatable(learner: Learner, params: Any, batch: TaskBatch) -> bool:
    """Say whether a task's loss is the same twice, as in a compiled program, up to torch's seed.

    It is not where the module or the loss counts its calls or follows a schedule: a program would
    keep the numbers of its first call. numpy's and Python's random numbers do not compile.
    """
    stage, extras = learner.stage(0.0)

    def numbers() -> list[Any]:
        torch.manual_seed(0)
        loss = stage.outer_loss(params, batch.task(0), **extras).item()
        layers = learner.module.modules()
        return [loss, [(k, v) for m in layers for k, v in vars(m).items() if isinstance(v, Real)]]

    with torch.no_grad():
        first, second = numbers(), numbers()
    if repr(first) != repr(second):
        warnings.warn(
            "fit: running eagerly, since the module or the loss changes from call to call by more "
            "than torch's random numbers (a counter, a schedule), which a program would not",
            stacklevel=3,
        )
    return repr(first) == repr(second)


# Compiling takes as long as about so many eager iterations save; fewer, where a batch is large.
ITERATIONS_WORTH_COMPILING, LARGE_BATCH = 2_000, 2**17


def should_compile(module: torch.nn.Module, batch: TaskBatch, iterations: int) -> bool:
    """Say whether compiling is expected to save time, from counts alone.

    Estimated from timings on two cores: compiling pays after 2,600 iterations of the sine step, 700
    of 32 Omniglot tasks with 5 + 5 images, 120 with 5 + 75. Recurrent modules are gone through task
    by task, point by point, which is too long a program to compile.
    """
    if any(isinstance(layer, (nn.RNNBase, nn.RNNCellBase)) for layer in module.modules()):
        return False
    size = 1 + (batch.support_x.numel() + batch.query_x.numel()) / LARGE_BATCH
    return iterations * size >= ITERATIONS_WORTH_COMPILING
