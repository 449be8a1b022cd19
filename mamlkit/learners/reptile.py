"""Reptile: move the initialisation towards where the tasks' own training ends."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import grad

from mamlkit import checks
from mamlkit.learners.adapt import Params
from mamlkit.learners.inner_optimizers import adam
from mamlkit.learners.maml import MAML
from mamlkit.tasks.batch import TaskBatch


class Reptile(MAML):
    """Train on a task for a while, then move θ a part of the way to where that led.

    Nichol, Achiam and Schulman 2018 (arXiv:1803.02999), algorithm 2. No second derivatives, and no
    split: in training, support and query points are one set of data. θ - θ' stands in for the
    meta-gradient, so the paper's outer rule θ ← θ + ε (θ' - θ) is
    `optimizer=partial(torch.optim.SGD, lr=ε)`; its ε falls linearly to 0. (With one inner step of
    plain gradient descent this is training on all tasks at once: θ - θ' = α ∇L(θ).)

    lr: the inner step size. steps: of the inner loop; several, or it is pretraining.
    minibatch: points drawn afresh for each inner step in training, None for all of them.
    inner: "sgd", or "adam" with β₁ = 0, β₂ = 0.999 as in the paper's code. Adam's averages start
        from zero for every task: a task is learned the same way whatever came before. (The
        authors' code carries them from task to task.)

    The history's loss is that of all the task's points after the inner loop.

    >>> from mamlkit import SineNetwork
    >>> mse = torch.nn.functional.mse_loss
    >>> Reptile(SineNetwork(), mse, lr=0.02, steps=8, minibatch=10).steps
    8
    """

    first_order = True

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int,
        minibatch: int | None = None,
        inner: str = "sgd",
    ) -> None:
        checks.check_choice("Reptile", "inner", inner, ("sgd", "adam"))
        if minibatch is not None:
            checks.check_int("Reptile", "minibatch", minibatch, low=1)
        checks.check_int("Reptile", "steps", steps, low=1)
        self.minibatch = minibatch
        self.inner = inner
        super().__init__(module, loss, lr=lr, steps=steps)

    def inner_loop(
        self,
        params: Params,
        support: tuple[Tensor, Tensor],
        steps: int,
        first_order: bool,
        minibatch: int | None = None,
    ) -> Iterator[Params]:
        """Yield θ after 0, 1, ... `steps` inner steps."""
        theta = self.init_fast_weights(params, support)
        lr, state = dict.fromkeys(theta, self.lr), None
        yield theta
        for _ in range(steps):
            gradient = grad(self.task_loss)(theta, *_minibatch(support, minibatch))
            gradient = {name: g.detach() for name, g in gradient.items()}
            if self.inner == "adam":
                theta, state = adam(theta, gradient, state, lr, beta1=0.0)
            else:
                theta = {name: theta[name] - self.lr * g for name, g in gradient.items()}
            yield theta

    def outer_loss(self, params: Params, task: TaskBatch) -> Tensor:
        """Return the loss after the inner loop, with θ - θ' for its gradient."""
        x, y = (torch.cat(pair) for pair in zip(task.support, task.query, strict=True))
        if self.minibatch and self.minibatch > len(x):
            raise ValueError(
                f"Reptile: a minibatch of {self.minibatch} is more than the {len(x)} points of a "
                "task; draw more shots or queries"
            )
        theta = self.init_fast_weights(params, (x, y))
        constant = {name: value.detach() for name, value in theta.items()}
        *_, end = self.inner_loop(constant, (x, y), self.steps, True, self.minibatch)
        half = sum(0.5 * ((theta[n] - end[n].detach()) ** 2).sum() for n in theta)  # ∇ is θ - θ'
        return half - half.detach() + self.task_loss(end, x, y).detach()


def _minibatch(data: tuple[Tensor, ...], size: int | None) -> tuple[Tensor, ...]:
    if size is None:
        return data
    chosen = torch.rand(len(data[0]), device=data[0].device).topk(size).indices
    return tuple(tensor[chosen] for tensor in data)
