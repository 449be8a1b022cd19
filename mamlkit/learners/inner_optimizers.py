"""Rules for the inner loop beyond plain gradient descent; the outer loop sees through them.

A rule is a function `(params, gradient, state, lr) -> (params, state)`, dicts by parameter name:
pure, and differentiable. `state` is None before the first step of a task, so nothing goes from task
to task; `lr` holds a step size for each parameter. Give one to `MAML(..., inner_optimizer=...)`, or
write your own.
"""

from typing import Any

import torch

from mamlkit.learners.adapt import Params


def momentum(
    params: Params, gradient: Params, state: Any, lr: Params, *, beta: float = 0.9
) -> tuple[Params, Params]:
    """Take a step along the decaying sum of this task's gradients (heavy ball, Polyak 1964).

    >>> one = {"a": torch.ones(())}
    >>> params, state = momentum(one, one, None, {"a": 0.1})
    >>> momentum(params, one, state, {"a": 0.1})[0]
    {'a': tensor(0.7100)}
    """
    if state is not None:
        gradient = {name: beta * state[name] + g for name, g in gradient.items()}
    return {name: p - lr[name] * gradient[name] for name, p in params.items()}, gradient


def adam(
    params: Params,
    gradient: Params,
    state: Any,
    lr: Params,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Params, Any]:
    """Take a step of Adam, from averages of zero at the start of each task (Kingma and Ba 2015).

    Where a gradient has been zero so far, as behind a dead ReLU, so is its derivative.

    >>> one = {"a": torch.ones(())}
    >>> adam(one, one, None, {"a": 0.1})[0]
    {'a': tensor(0.9000)}
    """
    zeros = {name: torch.zeros_like(p) for name, p in params.items()}
    step, mean, square = state or (0, zeros, zeros)
    step += 1
    mean = {n: beta1 * mean[n] + (1 - beta1) * g for n, g in gradient.items()}
    square = {n: beta2 * square[n] + (1 - beta2) * g**2 for n, g in gradient.items()}
    direction = {}
    for name, m in mean.items():
        v = square[name] / (1 - beta2**step)
        root = torch.where(v > 0, v, 1.0).sqrt() * (v > 0)  # a root has no derivative at 0
        direction[name] = m / (1 - beta1**step) / (root + eps)
    return {n: p - lr[n] * direction[n] for n, p in params.items()}, (step, mean, square)
