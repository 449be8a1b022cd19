"""Reptile: move the initialisation towards where the tasks' own training ends."""

import torch
from torch.func import grad

from mamlkit import require
from mamlkit.learners.maml import MAML


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

    def __init__(self, module, loss, *, lr, steps, minibatch=None, inner="sgd"):
        require.choice("Reptile", "inner", inner, ("sgd", "adam"))
        if minibatch is not None:
            require.whole("Reptile", "minibatch", minibatch, least=1)
        require.whole("Reptile", "steps", steps, least=1)
        self.minibatch = minibatch
        self.inner = inner
        super().__init__(module, loss, lr=lr, steps=steps)

    def path(self, params, support, steps, first_order, minibatch=None):
        """Yield θ after 0, 1, ... `steps` inner steps."""
        theta = self.start(params, support)
        mean_square = {name: torch.zeros_like(value) for name, value in theta.items()}
        yield theta
        for number in range(steps):
            gradient = grad(self.task_loss)(theta, *_some(support, minibatch))
            if self.inner == "adam":
                gradient, mean_square = _adam(gradient, mean_square, number)
            theta = {name: theta[name] - self.lr * g.detach() for name, g in gradient.items()}
            yield theta

    def outer_loss(self, params, task):
        """The loss after the inner loop, with θ - θ' for its gradient."""
        x, y = (torch.cat(pair) for pair in zip(task.support, task.query, strict=True))
        if self.minibatch and self.minibatch > len(x):
            raise ValueError(
                f"Reptile: a minibatch of {self.minibatch} is more than the {len(x)} points of a "
                "task; draw more shots or queries"
            )
        theta = self.start(params, (x, y))
        still = {name: value.detach() for name, value in theta.items()}
        *_, end = self.path(still, (x, y), self.steps, True, self.minibatch)
        half = sum(0.5 * ((theta[n] - end[n].detach()) ** 2).sum() for n in theta)  # ∇ is θ - θ'
        return half - half.detach() + self.task_loss(end, x, y).detach()


def _some(data, count):
    if count is None:
        return data
    chosen = torch.rand(len(data[0]), device=data[0].device).topk(count).indices
    return tuple(tensor[chosen] for tensor in data)


def _adam(gradient, mean_square, number, beta=0.999, tiny=1e-8):
    """Adam without momentum (Kingma and Ba 2015, algorithm 1, β₁ = 0): the direction, the state."""
    square = {n: beta * mean_square[n] + (1 - beta) * g**2 for n, g in gradient.items()}
    corrected = 1 - beta ** (number + 1)
    return {n: g / ((square[n] / corrected).sqrt() + tiny) for n, g in gradient.items()}, square
