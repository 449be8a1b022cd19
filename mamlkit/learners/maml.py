"""Model-agnostic meta-learning (Finn, Abbeel and Levine 2017, arXiv:1703.03400)."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.func import grad

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
    inner_optimizer: the rule of the inner steps, such as `partial(momentum, beta=0.9)` of
        `mamlkit.learners.inner_optimizers`, or one of your own; None is gradient descent.

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
    inner_optimizer = None  # an attribute of its own only where one is given: see `settings`

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int = 1,
        activation_checkpointing: int = 0,
        inner_optimizer: Callable[..., tuple[Params, Any]] | None = None,
    ) -> None:
        name, hint = type(self).__name__, "use a small positive number such as 0.01"
        self.lr = checks.check_float(name, "lr", lr, low=0, high=LARGEST_LR, hint=hint)
        self.steps = checks.check_int(name, "steps", steps, low=0)
        self.activation_checkpointing = checks.check_int(
            name, "activation_checkpointing", activation_checkpointing, low=0
        )
        if inner_optimizer is not None:
            self.inner_optimizer = inner_optimizer
            rule = "a rule (params, gradient, state, lr) -> (params, state), or None"
            checks.check_callable(name, "inner_optimizer", inner_optimizer, rule)
            if activation_checkpointing:
                raise ValueError(
                    f"{name}: activation_checkpointing takes steps again, without the state of an "
                    "inner_optimizer; use one of the two"
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
        moving, loss = self._adapted_part(fast_weights, step)
        lr = self.inner_lr(params, step)
        moved = adapt(moving, loss, support, lr=lr, steps=1, first_order=first_order)
        return {**fast_weights, **moved}

    def _adapted_part(self, fast_weights: Params, step: int) -> tuple[Params, Callable]:
        """Return what moves in this step, and the loss as a function of it."""
        moving = {n: value for n, value in fast_weights.items() if self.is_adapted(n, step)}
        return moving, lambda moving, x, y: self.task_loss({**fast_weights, **moving}, x, y)

    def optimizer_step(
        self,
        params: Any,
        fast_weights: Params,
        state: Any,
        support: tuple[Tensor, Tensor],
        step: int,
        first_order: bool,
    ) -> tuple[Params, Any]:
        """Take one inner step by the `inner_optimizer`: return θ of the next, and its state."""
        moving, loss = self._adapted_part(fast_weights, step)
        gradient, lr = grad(loss)(moving, *support), self.inner_lr(params, step)
        if first_order:
            gradient = {name: g.detach() for name, g in gradient.items()}
        lr = lr if isinstance(lr, dict) else dict.fromkeys(moving, lr)
        moved, state = self.inner_optimizer(moving, gradient, state, lr)
        return {**fast_weights, **moved}, state

    def inner_loop(
        self, params: Any, support: tuple[Tensor, Tensor], steps: int, first_order: bool
    ) -> Iterator[Params]:
        """Yield θ after 0, 1, ... `steps` inner steps, differentiable."""
        fast_weights, state = self.init_fast_weights(params, support), None
        yield fast_weights
        for step in range(steps):
            if self.inner_optimizer is None:
                fast_weights = self.inner_step(params, fast_weights, support, step, first_order)
            else:
                own = params, fast_weights, state, support, step, first_order
                fast_weights, state = self.optimizer_step(*own)
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
