"""Model-agnostic meta-learning (Finn, Abbeel and Levine 2017, arXiv:1703.03400)."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from mamlkit import checks
from mamlkit.learners.adapt import Params, adapt
from mamlkit.learners.base import Learner

LARGEST_LR = 1e30  # beyond, float32 has no numbers
DROPOUT = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout


class MAML(Learner):
    """Learn an initialisation from which a few gradient steps solve a new task (algorithm 1).

    module: any `nn.Module`. loss: `(prediction, target) -> scalar`, a mean over points.
    lr: the inner step size α. It multiplies the gradient of the *mean* loss: the 0.4 of the
        paper's 5-way Omniglot code, which sums over the ways and averages over shots, is 2.0
        here.
    steps: inner steps in training. With 0, the objective is that of pretraining on all tasks.
    activation_checkpointing: 0, or how many inner steps to compute again at a time on the way back
        instead of keeping them: a long inner loop then fits in memory, for one more pass of time.
        About the square root of `steps` needs least.

    Its variants differ in one of four things: `init`, what is meta-learned; `init_fast_weights`,
    where the inner loop begins; `inner_lr`, its step sizes; `is_adapted`, which parameters move.

    Raises ValueError for a step size below 0, a negative number of steps, a module without
    trainable parameters, or one whose batch normalisation keeps running statistics.

    >>> import torch
    >>> from mamlkit import SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> task = Sinusoids(device="cpu").sample(1, shots=5, queries=10).task(0)
    >>> adapted = maml.adapt(maml.init(), task.support)
    >>> maml.predict(adapted, task.query_x).shape
    torch.Size([10, 1])
    """

    first_order = False

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int = 1,
        activation_checkpointing: int = 0,
    ) -> None:
        name, hint = type(self).__name__, "use a small positive number such as 0.01"
        self.lr = checks.check_float(name, "lr", lr, low=0, high=LARGEST_LR, hint=hint)
        self.steps = checks.check_int(name, "steps", steps, low=0)
        self.activation_checkpointing = checks.check_int(
            name, "activation_checkpointing", activation_checkpointing, low=0
        )
        super().__init__(module, loss)
        if self.activation_checkpointing and any(isinstance(m, DROPOUT) for m in module.modules()):
            raise ValueError(
                f"{name}: activation_checkpointing takes steps twice, and dropout would draw other "
                "units the second time; use a module without dropout, or 0"
            )

    def init_fast_weights(self, params: Any, support: tuple[Tensor, Tensor]) -> Params:
        """Return θ, from which the inner loop sets out: the module's parameters, no others."""
        return params

    def inner_lr(self, params: Any, step: int) -> float | Params:
        """Return the step size of the inner step of this number: one, or one a parameter."""
        return self.lr

    def is_adapted(self, name: str, step: int = 0) -> bool:
        """Say whether the parameter of this name takes part in the inner step of this number."""
        return True

    def inner_step(
        self,
        params: Any,
        fast_weights: Params,
        support: tuple[Tensor, Tensor],
        step: int,
        first_order: bool,
    ) -> Params:
        """Take one inner step, the `step`-th from 0: return θ of the next."""
        moving = {n: value for n, value in fast_weights.items() if self.is_adapted(n, step)}
        loss = lambda moving, x, y: self.task_loss({**fast_weights, **moving}, x, y)
        lr = self.inner_lr(params, step)
        moved = adapt(moving, loss, support, lr=lr, steps=1, first_order=first_order)
        return {**fast_weights, **moved}

    def inner_loop(
        self, params: Any, support: tuple[Tensor, Tensor], steps: int, first_order: bool
    ) -> Iterator[Params]:
        """Yield θ after 0, 1, ... `steps` inner steps, differentiable."""
        fast_weights = self.init_fast_weights(params, support)
        yield fast_weights
        for step in range(steps):
            fast_weights = self.inner_step(params, fast_weights, support, step, first_order)
            yield fast_weights

    def adapt(self, params: Any, support: tuple[Tensor, Tensor]) -> Params:
        """Return θ' after `self.steps` steps on a support set `(x, y)`, differentiable."""
        *_, fast_weights = self.inner_loop(params, support, self.steps, self.first_order)
        return fast_weights

    def trajectory(
        self, params: Any, support: tuple[Tensor, Tensor], steps: int
    ) -> Iterator[Params]:
        """Yield θ after 0, 1, ... `steps` steps on a support set, without gradients."""
        yield from self.inner_loop(params, support, steps, first_order=True)


class FirstOrderMAML(MAML):
    """MAML without second derivatives: ∇θ L(θ') is taken at θ' and used at θ.

    Finn et al. 2017, section 5.2, "first-order approximation". Arguments as for `MAML`.
    """

    first_order = True
