"""Sequences of classes whose labels are told one step late (Santoro et al. 2016, section 2)."""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from mamlkit import checks, files
from mamlkit.tasks.batch import TaskBatch
from mamlkit.tasks.fewshot import FewShot


class Sequences:
    """The distribution of sequences (x₁, 0), (x₂, y₁), ... (x_T, y_{T-1}) of an N-way episode.

    Each sequence shows examples of `ways` classes in random order, each class the same number of
    times, and tells every label one step late (Santoro et al. 2016, figure 1). What was shown
    before is the support set of what comes next, so the support tensors hold no points; `shots` and
    `queries` add up to how often each class is shown.

    features: `[classes, examples, features]`, of frozen embeddings, or of anything.
    ways: classes in a sequence. device: where sequences are drawn; "auto" as for `FewShot`.

    >>> batch = Sequences(torch.randn(8, 12, 3), ways=5, device="cpu").sample(2, 1, 9)
    >>> batch.support_x.shape, batch.query_x.shape, batch.query_y.shape
    (torch.Size([2, 0, 8]), torch.Size([2, 50, 8]), torch.Size([2, 50]))
    """

    def __init__(
        self,
        features: Tensor,
        ways: int,
        *,
        device: str | torch.device = "auto",
    ) -> None:
        checks.check_float_tensors("Sequences", "features", features, "use features.float()")
        if not isinstance(features, Tensor) or features.ndim != 3:
            raise ValueError(
                "Sequences: features must be a tensor [classes, examples, features], got "
                f"{checks.describe(features)}; flatten images with features.flatten(2)"
            )
        images = features[:, :, None, None]  # one row of so many pixels, in one channel
        self.episodes = FewShot(images, ways, device=device)
        self.ways, self.device = self.episodes.ways, self.episodes.device

    def settings(self) -> dict[str, Any]:
        """Return the class, its arguments and the features' SHA-256: a run's identity, for JSON."""
        features = self.episodes.images
        about = {"shape": list(features.shape), "sha256": files.checksum({"features": features})}
        return {"distribution": type(self).__name__, "features": about, "ways": self.ways}

    def to(self, device: str | torch.device) -> "Sequences":
        """Return the same distribution, drawing on another device."""
        moved = copy.copy(self)
        moved.episodes = self.episodes.to(device)
        moved.device = moved.episodes.device
        return moved

    def sample(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw `tasks` sequences of `ways * (shots + queries)` steps.

        Returns a TaskBatch whose query_x is `[tasks, steps, features + ways]`, the label of the
        step before as one-hot numbers behind the features, and query_y `[tasks, steps]`.
        """
        batch = self.episodes.sample(tasks, shots, queries, generator=generator)
        x = torch.cat([batch.support_x, batch.query_x], 1)[:, :, 0, 0]
        y = torch.cat([batch.support_y, batch.query_y], 1)
        order = torch.rand(y.shape, generator=generator, device=self.device).argsort(1)
        x, y = x.gather(1, order[..., None].expand(x.shape)), y.gather(1, order)
        previous = one_hot(y, self.ways).to(x).roll(1, dims=1)
        previous[:, 0] = 0  # before the first step there was no label
        x = torch.cat([x, previous], -1)
        return TaskBatch(x[:, :0], y[:, :0], x, y)


def accuracy_at(
    scores: Float[Tensor, "steps ways"], labels: Int[Tensor, " steps"], *, presentation: int
) -> Float[Tensor, ""]:
    """Return the accuracy where a class is shown for the n-th time, counted from 1.

    Santoro et al. 2016, table 1: "instance". A metric for `evaluate`, with
    `partial(accuracy_at, presentation=2)`.

    >>> labels = torch.tensor([0, 1, 0, 1])
    >>> scores = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    >>> float(accuracy_at(scores, labels, presentation=2))
    0.5
    """
    shown = one_hot(labels, scores.shape[-1]).cumsum(0).gather(1, labels[:, None])[:, 0]
    counted = shown == presentation
    return ((scores.argmax(-1) == labels) & counted).float().sum() / counted.sum()
