"""MAML++: MAML with what made it stable."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mamlkit import checks
from mamlkit.learners.adapt import Params
from mamlkit.learners.base import MetaParams
from mamlkit.learners.maml import MAML
from mamlkit.tasks.batch import TaskBatch


class MAMLPlusPlus(MAML):
    """MAML with what made it stable; each part can be switched off.

    Antoniou, Edwards and Storkey 2019 (arXiv:1810.09502), section 4:

    learned_rates: one step size for each parameter tensor and inner step, learned, from `lr`
        ("per-layer per-step learning rates"). Steps beyond `steps` use the last one's.
    multi_step_until: up to this share of training, the loss after *every* inner step counts,
        equally at first, then ever more the last one's ("multi-step loss"); 0 switches it off.
    first_order_until: up to this share of training, second derivatives are left out
        ("derivative-order annealing"); 0 switches it off.

    Its cosine schedule of the outer step is `fit(..., schedule="cosine")`. Its batch normalisation
    with separate weights for each step is left out: that is a matter of the module. Other
    arguments as for `MAML`.

    >>> from mamlkit import SineNetwork
    >>> learner = MAMLPlusPlus(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01, steps=4)
    >>> learner.init().lr["head.weight"].shape
    torch.Size([4])
    >>> learner.stage(0.05)[0].first_order, learner.stage(0.05)[1]
    (True, {'step_weights': tensor([0.1250, 0.1250, 0.1250, 0.6250])})
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int = 5,
        learned_rates: bool = True,
        multi_step_until: float = 0.1,
        first_order_until: float = 0.3,
    ) -> None:
        kind, share = type(self).__name__, {"low": 0, "high": 1, "hint": "it is a share of the run"}
        checks.check_int(kind, "steps", steps, low=1)
        self.learned_rates = checks.check_bool(kind, "learned_rates", learned_rates)
        self.multi_step_until = checks.check_float(
            kind, "multi_step_until", multi_step_until, **share
        )
        self.first_order_until = checks.check_float(
            kind, "first_order_until", first_order_until, **share
        )
        super().__init__(module, loss, lr=lr, steps=steps)
        self._early = copy.copy(self)
        self._early.first_order = True

    def init(self) -> MetaParams:
        """Copy the module's trainable parameters, and make their step sizes `[steps]`."""
        weights = super().init()
        learned = weights.items() if self.learned_rates else ()
        return MetaParams(weights, {n: w.new_full([self.steps], self.lr) for n, w in learned})

    def init_fast_weights(self, params: MetaParams, support: tuple[Tensor, Tensor]) -> Params:
        """Return θ alone, without step sizes."""
        return params.weights

    def inner_lr(self, params: MetaParams, step: int) -> float | Params:
        """Return the step sizes of this inner step."""
        if not self.learned_rates:
            return self.lr
        return {name: value[min(step, self.steps - 1)] for name, value in params.lr.items()}

    def stage(self, progress: float) -> tuple[MAML, dict[str, Tensor]]:
        """Return who trains, first order early on, and the weights of the losses of each step."""
        learner = self._early if progress < self.first_order_until else self
        if progress >= self.multi_step_until:
            return learner, {}
        left = 1 - progress / self.multi_step_until
        weights = torch.full([self.steps], left / self.steps)
        weights[-1] = 1 - weights[:-1].sum()
        return learner, {"step_weights": weights}

    def outer_loss(
        self, params: Any, task: TaskBatch, *, step_weights: Tensor | None = None
    ) -> Tensor:
        """Return the query loss after the last step, or the weighted sum over all steps."""
        if step_weights is None:
            return super().outer_loss(params, task)
        _, *path = self.inner_loop(params, task.support, self.steps, self.first_order)
        losses = torch.stack([self.task_loss(theta, *task.query) for theta in path])
        return (step_weights * losses).sum()
