"""Learning in context: the support set is part of the input (Garg et al. 2022)."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mamlkit import checks
from mamlkit.learners.base import Learner
from mamlkit.learners.neural_process import draw_seen
from mamlkit.tasks.batch import TaskBatch


class InContextLearner(Learner):
    """Adapt by reading: ŷ = f(D, x), with the support set D as part of the input.

    Garg et al. 2022 (arXiv:2208.01066), section 2, where D comes as a sequence; Müller et al. 2022
    (arXiv:2112.10510), equation 2, where it comes as a set and training makes f the Bayesian
    predictive. Nothing is left of a task once it has been answered.

    module: maps `(support x, support y, x)` to predictions for x, such as `InContextTransformer`
        or `LinearSelfAttention`. loss: as for `Learner`.
    vary_shots: train on a random number of the support points, 1 to all. The module then takes a
        fourth argument, `[points]`, true for those that it may look at.

    >>> import torch
    >>> from mamlkit import LinearSelfAttention, LinearTasks
    >>> learner = InContextLearner(LinearSelfAttention(2), torch.nn.functional.mse_loss)
    >>> task = LinearTasks(2, device="cpu").sample(1, shots=5, queries=3).task(0)
    >>> learner.predict(learner.adapt(learner.init(), task.support), task.query_x).shape
    torch.Size([3, 1])
    """

    def __init__(
        self, module: nn.Module, loss: Callable[..., Tensor], *, vary_shots: bool = False
    ) -> None:
        name = "InContextLearner"
        self.vary_shots = checks.check_bool(name, "vary_shots", vary_shots)
        super().__init__(module, loss)

    def adapt(self, params: Any, support: tuple[Tensor, ...]) -> dict[str, Any]:
        """Return the parameters and the support set, both as they are."""
        return {"params": params, "support": support}

    def predict(self, adapted: dict[str, Any], x: Tensor) -> Tensor:
        """Return f(D, x)."""
        support_x, support_y, *seen = adapted["support"]
        return self.call(adapted["params"], support_x, support_y, x, *seen)

    def outer_loss(self, params: Any, task: TaskBatch) -> Tensor:
        """Return the loss on the query set, some support points being hidden if shots vary."""
        points, device = len(task.support_x), task.support_x.device
        vary = self.vary_shots and self.module.training
        seen = (draw_seen(points, device),) if vary else ()
        return self.task_loss(self.adapt(params, (*task.support, *seen)), *task.query)
