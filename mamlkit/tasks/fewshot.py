"""Episodes: N-way K-shot classification tasks from any labelled images."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Generator, Tensor

from mamlkit import checks, devices, files
from mamlkit.tasks.batch import IGNORED, TaskBatch


class FewShot:
    """The distribution of N-way K-shot episodes over a set of classes.

    Each episode picks `ways` distinct classes, gives them the labels 0 to ways - 1 in random
    order, and splits different examples of each into support and query (Vinyals et al. 2016,
    section 4.1). With `rotations`, each class of an episode is turned as a whole by 0, 90, 180 or
    270 degrees (Santoro et al. 2016; Finn et al. 2017, appendix A.1); with `mirrors`, some classes
    are mirror images.

    images: `[classes, examples, channels, height, width]`, or, where classes have different numbers
        of examples, a list of `[examples, channels, height, width]`; bytes become floats in [0, 1].
    ways: classes in an episode (N).
    rotations: turn each class by a random right angle; needs square images.
    mirrors: show each class as it is or in a mirror, at random.
    device: where images are kept and episodes drawn; "auto" is CUDA, then MPS, then the CPU.

    Raises ValueError for images of another shape or with values that are not finite, and for more
    ways than there are classes; `sample` for more shots and queries than a class has examples.

    >>> from mamlkit import glyphs
    >>> episodes = FewShot(glyphs(10, drawings=6).images, ways=5, device="cpu")
    >>> batch = episodes.sample(4, shots=1, queries=5)
    >>> batch.support_x.shape, batch.query_y.shape
    (torch.Size([4, 5, 1, 28, 28]), torch.Size([4, 25]))
    """

    def __init__(
        self,
        images: Tensor | Sequence[Tensor],
        ways: int,
        *,
        rotations: bool = False,
        mirrors: bool = False,
        device: str | torch.device = "auto",
    ) -> None:
        sizes = None
        if isinstance(images, (list, tuple)) and all(isinstance(i, Tensor) for i in images):
            sizes = [len(examples) for examples in images]
            forms = {(examples.shape[1:], examples.dtype) for examples in images}
            if len(forms) > 1:
                raise ValueError(
                    f"FewShot: the classes' images differ in form: {forms}; resize them"
                )
            images = torch.nn.utils.rnn.pad_sequence(images, batch_first=True)
        if not isinstance(images, Tensor) or images.ndim != 5:
            shape = tuple(getattr(images, "shape", ())) or type(images).__name__
            raise ValueError(
                "FewShot: images must be a tensor [classes, examples, channels, height, width], "
                f"got {shape}; for grey images add the channel with images.unsqueeze(2)"
            )
        if images.dtype == torch.bool:
            images = images.float()
        if not images.is_floating_point() and images.dtype != torch.uint8:
            raise ValueError(
                f"FewShot: images are {images.dtype}; use bytes (torch.uint8, 0 to 255) or floats"
            )
        hint = "clean them before making tasks of them"
        checks.check_finite("FewShot", "images", images, hint=hint)
        self.ways = ways = checks.check_int("FewShot", "ways", ways, low=1)
        self.rotations = checks.check_bool("FewShot", "rotations", rotations)
        self.mirrors = checks.check_bool("FewShot", "mirrors", mirrors)
        self.classes, self.examples = images.shape[:2]
        self.sizes = torch.as_tensor(sizes or [self.examples] * self.classes)
        if ways > self.classes:
            raise ValueError(
                f"FewShot: {ways} ways need {ways} classes; these images have {self.classes}"
            )
        if rotations and images.shape[-1] != images.shape[-2]:
            raise ValueError(
                f"FewShot: rotations need square images, these are {images.shape[-2]} by "
                f"{images.shape[-1]}; pad them, or pass rotations=False"
            )
        self.device = devices.resolve(device)
        self.images, self.sizes = images.to(self.device), self.sizes.to(self.device)

    def __repr__(self) -> str:
        shape = "x".join(str(n) for n in self.images.shape)
        return (
            f"FewShot(images {shape}, ways={self.ways}, rotations={self.rotations}, "
            f"mirrors={self.mirrors})"
        )

    def settings(self) -> dict[str, Any]:
        """Return the class, its arguments and the images' SHA-256: a run's identity, for JSON."""
        pixels = files.checksum({"images": self.images})
        images = {"shape": list(self.images.shape), "sha256": pixels}
        own = {"ways": self.ways, "rotations": self.rotations, "mirrors": self.mirrors}
        return {"distribution": type(self).__name__, "images": images, **own}

    def to(self, device: str | torch.device) -> "FewShot":
        """Return the same distribution, drawing on another device."""
        moved = copy.copy(self)
        moved.device = devices.resolve(device)
        moved.images = self.images.to(moved.device)
        moved.sizes = self.sizes.to(moved.device)
        return moved

    def sample(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw `tasks` episodes of `shots` support and `queries` query examples a class.

        Returns a TaskBatch of x `[tasks, ways * examples, channels, height, width]` and integer
        y `[tasks, ways * examples]`. `generator`: a `torch.Generator` on this device; without
        one, torch's global one.
        """
        shots = checks.check_int("FewShot", "shots", shots, low=1)
        queries = checks.check_int("FewShot", "queries", queries, low=1)
        form, chosen, example = self.draw(tasks, shots + queries, shots, generator=generator)
        images = self._transform(self.images[chosen[..., None], example], form)
        if images.dtype == torch.uint8:
            images = images.float() / 255
        labels = torch.arange(self.ways, device=self.device)[None, :, None].expand(example.shape)
        support_x, query_x = images.split([shots, queries], dim=2)
        support_y, query_y = labels.split([shots, queries], dim=2)
        return TaskBatch(*(t.flatten(1, 2) for t in (support_x, support_y, query_x, query_y)))

    def draw(
        self, tasks: int, examples: int, shots: int = 1, *, generator: Generator | None = None
    ) -> tuple[Int[Tensor, "tasks ways"], Int[Tensor, "tasks ways"], Int[Tensor, "tasks ways n"]]:
        """Choose what `sample` shows: each class's form, its id and its examples' ids.

        The form counts quarter turns (0 to 3, or 0 alone), then those of the mirror image.
        The first `shots` examples of each class are the support set. The order of the classes is
        their label.
        """
        tasks = checks.check_int("FewShot", "tasks", tasks, low=1)
        examples = checks.check_int("FewShot", "examples", examples, low=1)
        queries = checks.check_int("FewShot", "queries", examples - shots, low=1)
        if examples > (fewest := int(self.sizes.min())):
            all_alike = fewest == self.sizes.max()
            who = "these classes have" if all_alike else f"class {int(self.sizes.argmin())} has"
            raise ValueError(
                f"FewShot: {shots} shots + {queries} queries need {examples} examples of a class; "
                f"{who} {fewest}"
            )
        rand = lambda *shape: torch.rand(*shape, generator=generator, device=self.device)
        # The positions of the largest of n random numbers are a random choice without
        # replacement, in random order.
        chosen = rand(tasks, self.classes).topk(self.ways).indices
        priority = rand(tasks, self.ways, self.examples)
        filling = torch.arange(self.examples, device=self.device) >= self.sizes[chosen][..., None]
        example = priority.masked_fill(filling, -1).topk(examples).indices
        forms = (4 if self.rotations else 1) * (2 if self.mirrors else 1)
        form = (rand(tasks, self.ways) * forms).long()
        return form, chosen, example

    def _transform(
        self,
        images: Shaped[Tensor, "tasks ways examples channels height width"],
        form: Int[Tensor, "tasks ways"],
    ) -> Shaped[Tensor, "tasks ways examples channels height width"]:
        """Turn and mirror all images of a class as its form says (see `draw`)."""
        if not (self.rotations or self.mirrors):
            return images
        height, width = images.shape[-2:]
        pixels = torch.arange(height * width, device=self.device).view(height, width)
        sides = [pixels, pixels.flip(-1)] if self.mirrors else [pixels]
        angles = range(4 if self.rotations else 1)
        # For each form, which pixel of the drawing stands at each pixel of the result.
        order = torch.stack([side.rot90(turns) for side in sides for turns in angles]).flatten(1)
        order = order[form][:, :, None, None].expand(*images.shape[:4], -1)
        return images.flatten(-2).gather(-1, order).view(images.shape)


def membership(labels: Int[Tensor, " points"], ways: int) -> Bool[Tensor, "points ways"]:
    """Return which class each point is of, one-hot; points that a mask leaves out are of none.

    >>> membership(torch.tensor([1, -100]), ways=2)
    tensor([[False,  True],
            [False, False]])
    """
    return labels[:, None] == torch.arange(ways, device=labels.device)


def accuracy(scores: Float[Tensor, "*batch ways"], labels: Int[Tensor, "..."]) -> Float[Tensor, ""]:
    """Return the share of examples whose highest score is their label, from 0 to 1.

    Points that a mask leaves out do not count (see `TaskBatch.masked`). Raises ValueError for
    labels of another shape than the scores but for the last dimension, and for a single score.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    tensor(0.5000)
    """
    if scores.shape[-1:] == (1,):
        raise ValueError(
            "accuracy: one score a point has no highest; use another metric, for two classes "
            "metric=lambda scores, y: ((scores[..., 0] > 0) == (y > 0)).float().mean()"
        )
    if scores.shape[:-1] != labels.shape:
        raise ValueError(
            f"accuracy: scores {[*scores.shape]} need labels {[*scores.shape[:-1]]}, these are "
            f"{[*labels.shape]}; drop a dimension with labels.squeeze(-1), or use another metric"
        )
    return (scores.argmax(-1) == labels).sum() / (labels != IGNORED).sum()
