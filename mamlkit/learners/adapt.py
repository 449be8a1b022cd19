"""The inner loop: gradient descent on one task, as a pure function."""

import torch
from torch.func import grad
from torch.utils._pytree import tree_map

from mamlkit import require


def adapt(params, loss, support, *, lr, steps, first_order=False):
    """Take `steps` of gradient descent on one task's support set: θ' = θ - α ∇L(θ).

    Finn et al. 2017, algorithm 1, line 6. Pure: θ stays as it is. Differentiable, so the outer
    loop can see through it, unless `first_order`: then the gradient counts as a constant, and the
    derivative of θ' by θ as one (section 5.2 of the paper).

    params: θ, a dict (or any pytree) of tensors.
    loss: a function `(params, x, y) -> scalar`.
    support: `(x, y)` of one task; its tensors have no leading task dimension. `()` for a loss that
        needs no data, a function of the params alone.
    lr: the step size α, at least 0; or one for each tensor of θ, a dict like `params`.
    steps: how many, at least 0.

    For several tasks at once, map it with `mamlkit.learners.batching.over_tasks`, a `vmap` that
    keeps second derivatives right.

    >>> loss = lambda params, x, y: 0.5 * ((params["a"] * x - y) ** 2).mean()
    >>> support = torch.ones(4), 3 * torch.ones(4)
    >>> adapt({"a": torch.zeros(())}, loss, support, lr=0.5, steps=1)
    {'a': tensor(1.5000)}
    """
    if isinstance(lr, dict):
        require.tensors("adapt", "lr", lr, "one step size for each of the params")
    elif not isinstance(lr, torch.Tensor):
        require.number("adapt", "lr", lr, least=0, hint="use a small number: 0.01")
    steps = require.whole("adapt", "steps", steps, least=0)
    what = "a dict of tensors, such as learner.init()"
    require.descendable("adapt", "params", params, what, least=0)  # of some, nothing moves
    require.function("adapt", "loss", loss, "one of (params, x, y), such as learner.task_loss")
    if not (isinstance(support, tuple) and not support):
        require.tensors("adapt", "support", support, "the pair (x, y) of one task")
        if len(support) != 2:
            given = f"{len(support)} tensors"
            raise ValueError(f"adapt: support must be the pair (x, y), got {given}")
    rates = lr if isinstance(lr, dict) else tree_map(lambda _: lr, params)
    for _ in range(steps):
        gradient = grad(loss)(params, *support)
        if first_order:
            gradient = tree_map(torch.Tensor.detach, gradient)
        params = tree_map(lambda p, g, a: p - a * g, params, gradient, rates)
    return params
