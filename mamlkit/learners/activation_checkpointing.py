"""The way back through a long inner loop with little memory."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.func import grad_and_value, vjp
from torch.utils._pytree import tree_map

from mamlkit.learners.adapt import Params
from mamlkit.learners.maml import MAML
from mamlkit.tasks.batch import TaskBatch


def checkpointed_gradient(learner: MAML, params: Any, task: TaskBatch) -> tuple[Any, Tensor]:
    """Return one task's meta-gradient by θ and its query loss, keeping few inner steps in memory.

    The chain rule by hand, from the last inner step to the first: v ← (∂θ_{k+1}/∂θ_k)ᵀ v. Only
    every `learner.activation_checkpointing`-th θ is kept; the steps between are taken again on the
    way back (Chen et al. 2016, arXiv:1604.06174). The result is that of differentiating
    `learner.outer_loss`, to rounding: a structure like `params`, and a scalar.
    """
    init = lambda params: learner.init_fast_weights(params, task.support)
    segment = learner.activation_checkpointing

    def steps_from(first: int) -> Callable[[Any, Params], Params]:
        def walk(params: Any, theta: Params) -> Params:
            for step in range(first, min(first + segment, learner.steps)):
                theta = learner.inner_step(params, theta, task.support, step, learner.first_order)
            return theta

        return walk

    segments = [steps_from(first) for first in range(0, learner.steps, segment)]
    thetas = [init(params)]
    for walk in segments:
        thetas.append(_detached(walk(params, thetas[-1])))
    query_loss = lambda theta: learner.task_loss(theta, *task.query)
    v, loss = grad_and_value(query_loss)(thetas.pop())
    total = tree_map(lambda value: 0 * value, params)
    for walk in reversed(segments):
        by_params, v = vjp(walk, params, thetas.pop())[1](_detached(v))
        total = tree_map(lambda a, b: a + b.detach(), total, by_params)
    (by_params,) = vjp(init, params)[1](_detached(v))
    return tree_map(lambda a, b: a + b.detach(), total, by_params), loss


def _detached(tensors: Params) -> Params:
    return {name: value.detach() for name, value in tensors.items()}
