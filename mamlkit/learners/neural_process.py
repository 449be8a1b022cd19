"""Neural processes (Garnelo et al. 2018a, arXiv:1807.01613; Kim et al. 2019, arXiv:1901.05761)."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from mamlkit import checks
from mamlkit.learners.base import Learner
from mamlkit.tasks.batch import TaskBatch


def draw_seen(points: int, device: torch.device) -> Bool[Tensor, " points"]:
    """Draw how many of a support set's points a learner sees in training: 1 to all, equally likely.

    So one network learns to answer from any number (Garnelo et al. 2018a, section 2.3).
    """
    return torch.arange(points, device=device) <= torch.rand((), device=device) * points


class ConditionalNeuralProcess(Learner):
    """Adapt by taking a mean: r = (1/n) Σᵢ h(xᵢ, yᵢ), and answer with g(x, r).

    Garnelo et al. 2018a, equations 1 to 3. No weight changes when a task comes: h and g are
    trained so that the mean r tells g what it has to know of the task. Trained on a random number
    of each task's support points, from 1 to all.

    module: an `nn.Module` with an `encoder` h, from pairs `[points, x and y]` to representations
        `[points, features]`, and a `decoder` g, from a representation beside x
        `[points, features + x]` to predictions, such as `NeuralProcess`. loss: as for `Learner`.

    Raises ValueError for a module without these parts.

    >>> from mamlkit import NeuralProcess, NoisySinusoids
    >>> from mamlkit.tasks.noisy_sinusoids import negative_log_likelihood
    >>> learner = ConditionalNeuralProcess(NeuralProcess(), negative_log_likelihood)
    >>> task = NoisySinusoids(device="cpu").sample(1, shots=5, queries=10).task(0)
    >>> learner.predict(learner.adapt(learner.init(), task.support), task.query_x).shape
    torch.Size([10, 2])
    """

    parts = "encoder", "decoder"

    def __init__(self, module: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__(module, loss)
        for name in self.parts:
            if not isinstance(getattr(module, name, None), nn.Module):
                needed = checks.describe(list(self.parts))
                raise ValueError(
                    f"{type(self).__name__}: the module needs the parts {needed}; "
                    f"{type(module).__name__} has no `{name}`"
                )

    def adapt(
        self, params: Any, support: tuple[Tensor, Tensor], seen: Tensor | None = None
    ) -> dict[str, Any]:
        """Return the parameters and what they make of the support points that are `seen`."""
        x, y = support
        r = self.call(params, torch.cat([x, y], -1), part="encoder")
        seen = torch.ones(len(x), dtype=torch.bool, device=x.device) if seen is None else seen
        return {"params": params, "x": x, "r": r, "seen": seen}

    def representation(self, adapted: dict[str, Any], x: Tensor) -> Tensor:
        """Return r for each x: here the mean, the same for all of them."""
        seen = adapted["seen"].to(x)[:, None]
        r = (seen * adapted["r"]).sum(0) / seen.sum()
        return r.expand(len(x), -1)

    def predict(self, adapted: dict[str, Any], x: Tensor) -> Tensor:
        """Return g(x, r)."""
        r = self.representation(adapted, x)
        return self.call(adapted["params"], torch.cat([r, x], -1), part="decoder")

    def outer_loss(self, params: Any, task: TaskBatch) -> Tensor:
        """Return the loss on the query set, given a random number of points; in training only."""
        if not self.module.training:
            return super().outer_loss(params, task)
        seen = draw_seen(len(task.support_x), task.support_x.device)
        return self.task_loss(self.adapt(params, task.support, seen), *task.query)


class AttentiveNeuralProcess(ConditionalNeuralProcess):
    """A neural process whose mean is weighed anew for every x: r(x) = Σᵢ aᵢ(x) h(xᵢ, yᵢ).

    Kim et al. 2019, section 3 and figure 2, the deterministic path without self-attention: the
    weights aᵢ(x) compare x with each xᵢ, so that what was seen near x counts for more.

    module: as for `ConditionalNeuralProcess`, with an `attention` called with x, the support x,
        their representations and which of them are seen, such as `AttentiveProcess`.
    """

    parts = "encoder", "attention", "decoder"

    def representation(self, adapted: dict[str, Any], x: Tensor) -> Tensor:
        """Return r(x), by attention from x to the support points."""
        inputs = x, adapted["x"], adapted["r"], adapted["seen"]
        return self.call(adapted["params"], *inputs, part="attention")
