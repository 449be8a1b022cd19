"""The inner loop: gradient descent on one task, as a pure function."""

from collections.abc import Callable

from torch import Tensor
from torch.func import grad

Params = dict[str, Tensor]


def adapt(
    params: Params,
    loss: Callable[..., Tensor],
    support: tuple[Tensor, ...],
    *,
    lr: float | Tensor | Params,
    steps: int,
    first_order: bool = False,
) -> Params:
    """Take `steps` of gradient descent on one task's support set: θ' = θ - α ∇L(θ).

    Finn et al. 2017, algorithm 1, line 6. Pure: θ stays as it is. Differentiable, so the outer
    loop can see through it, unless `first_order`: then the gradient counts as a constant, and the
    derivative of θ' by θ as one (section 5.2 of the paper).

    params: θ, a dict of tensors.
    loss: a function `(params, x, y) -> scalar`.
    support: `(x, y)` of one task; its tensors have no leading task dimension. `()` for a loss that
        needs no data, a function of the params alone.
    lr: the step size α, or a dict of one for each tensor of θ.
    steps: how many.

    For several tasks at once, map it with `mamlkit.learners.vmap.vmap_tasks`, a `vmap` that
    keeps second derivatives right.

    >>> import torch
    >>> loss = lambda params, x, y: 0.5 * ((params["a"] * x - y) ** 2).mean()
    >>> support = torch.ones(4), 3 * torch.ones(4)
    >>> adapt({"a": torch.zeros(())}, loss, support, lr=0.5, steps=1)
    {'a': tensor(1.5000)}
    """
    lr = lr if isinstance(lr, dict) else dict.fromkeys(params, lr)
    for _ in range(steps):
        gradient = grad(loss)(params, *support)
        if first_order:
            gradient = {name: g.detach() for name, g in gradient.items()}
        params = {name: p - lr[name] * gradient[name] for name, p in params.items()}
    return params
