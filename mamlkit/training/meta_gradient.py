"""The meta-gradient: through vmap, through the inner loop, by θ."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from mamlkit import checks
from mamlkit.learners.activation_checkpointing import checkpointed_gradient
from mamlkit.learners.base import Learner
from mamlkit.learners.vmap import can_vectorize, vmap_tasks
from mamlkit.tasks.batch import TaskBatch, check_batch


def meta_gradient(
    learner: Learner,
    params: Any,
    batch: TaskBatch,
    *,
    microbatch: int | None = None,
    vectorize: bool | str = "auto",
) -> tuple[Any, Tensor]:
    """Return the gradient by θ of the mean query loss after adaptation, and that loss.

    Finn et al. 2017, algorithm 1, line 8. All tasks of the batch at once, or `microbatch` tasks at
    a time, which needs less memory. `vectorize`: as for `fit`. Returns a structure like `params`,
    and a scalar.

    >>> import torch
    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> batch = Sinusoids(device="cpu").sample(25, shots=5, queries=5)
    >>> gradients, loss = meta_gradient(maml, maml.init(), batch)
    >>> gradients.keys() == maml.init().keys(), loss.shape
    (True, torch.Size([]))
    """
    name = "meta_gradient"
    checks.check_has(name, "learner", learner, "a Learner, such as MAML(...)", "outer_loss")
    checks.check_has(name, "batch", batch, "a TaskBatch", "support_x", "split")
    learner.check_params(name, params)
    if microbatch is not None:
        checks.check_int(name, "microbatch", microbatch, low=1, hint="None is all tasks at once")
    check_batch(name, batch)
    checks.check_choice(name, "vectorize", vectorize, (True, False, "auto"))
    gradient = lambda vectorize: mean_over_parts(
        partial(gradient_of_tasks, learner, vectorize, params, {}), batch, microbatch
    )
    try:
        return gradient(bool(vectorize))
    except Exception:  # a mistake, which is told well here, or what vmap refuses
        return gradient(should_vectorize(name, learner, params, batch, vectorize))


def should_vectorize(
    caller: str, learner: Learner, params: Any, batch: TaskBatch, vectorize: bool | str
) -> bool:
    """Say whether tasks go through `vmap`, after a meta-gradient of one task on trial."""
    checks.check_choice(caller, "vectorize", vectorize, (True, False, "auto"))
    learner, extras = learner.stage(0.0)
    gradient = lambda task, vectorize: gradient_of_tasks(learner, vectorize, params, extras, task)
    return can_vectorize(caller, gradient, batch, vectorize)


def gradient_of_tasks(
    learner: Learner,
    vectorize: bool,
    params: Any,
    extras: dict[str, Tensor],
    batch: TaskBatch,
) -> tuple[Any, Tensor]:
    """Return the meta-gradient of all tasks at once (or one by one), and the loss."""
    if getattr(learner, "activation_checkpointing", 0):
        one_task = partial(checkpointed_gradient, learner, params)
        gradients, losses = vmap_tasks(one_task, learner.module, batch, vectorize)
        return tree_map(lambda gradient: gradient.mean(0), gradients), losses.mean()

    def objective(params: Any) -> Tensor:
        outer_loss = lambda task: learner.outer_loss(params, task, **extras)
        return vmap_tasks(outer_loss, learner.module, batch, vectorize).mean()

    return grad_and_value(objective)(params)


def mean_over_parts(
    gradient: Callable[[TaskBatch], tuple[Any, Tensor]], batch: TaskBatch, size: int | None
) -> tuple[Any, Tensor]:
    """Return `gradient(batch)`, or the mean of it over parts of `size` tasks."""
    tasks = len(batch.support_x)
    if size is None or size >= tasks:
        return gradient(batch)
    total = None
    for part in batch.split(size):
        share = len(part.support_x) / tasks
        weighted = tree_map(lambda value, share=share: share * value.detach(), gradient(part))
        total = tree_map(torch.add, total, weighted) if total else weighted
    return total
