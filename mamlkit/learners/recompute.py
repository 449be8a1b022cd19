"""The way back through a long inner loop with little memory."""

from torch.func import grad_and_value, vjp


def recomputed_gradient(learner, params, task):
    """One task's meta-gradient by θ and its query loss, keeping few inner steps in memory.

    The chain rule by hand, from the last inner step to the first: v ← (∂θ_{k+1}/∂θ_k)ᵀ v. Only
    every `learner.recompute`-th θ is kept; the steps between are taken again on the way back. The
    result is that of differentiating `learner.outer_loss`, to rounding.

    Returns `(gradient, loss)`: a dict like `params`, and a scalar.
    """
    begin = lambda params: learner.start(params, task.support)

    def stretch(first):
        def walk(params, theta):
            for number in range(first, min(first + learner.recompute, learner.steps)):
                theta = learner.step(params, theta, task.support, number, learner.first_order)
            return theta

        return walk

    walks = [stretch(first) for first in range(0, learner.steps, learner.recompute)]
    kept = [begin(params)]
    for walk in walks:
        kept.append(_plain(walk(params, kept[-1])))
    last = lambda theta: learner.task_loss(theta, *task.query)
    v, loss = grad_and_value(last)(kept.pop())
    total = None
    for walk in reversed(walks):
        by_params, v = map(_plain, vjp(walk, params, kept.pop())[1](_plain(v)))
        total = by_params if total is None else _sum(total, by_params)
    (by_params,) = vjp(begin, params)[1](v)
    return (by_params if total is None else _sum(total, _plain(by_params))), loss


def _plain(tensors):
    return {name: value.detach() for name, value in tensors.items()}


def _sum(a, b):
    return {name: a[name] + b[name] for name in a}
