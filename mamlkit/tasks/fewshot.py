"""Episodes: N-way K-shot classification tasks from any labelled images."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mamlkit import devices, files, require
from mamlkit.tasks.batch import TaskBatch


class FewShot:
    """The distribution of N-way K-shot episodes over a set of classes.

    Each episode picks `ways` distinct classes, gives them the labels 0 to ways - 1 in random
    order, and splits different examples of each into support and query (Vinyals et al. 2016,
    section 4.1). With `rotations`, each class of an episode is turned as a whole by 0, 90, 180 or
    270 degrees (Santoro et al. 2016; Finn et al. 2017, appendix A.1); with `mirrors`, some classes
    are mirror images.

    images: `[classes, examples, channels, height, width]`; bytes become floats in [0, 1].
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

    def __init__(self, images, ways, *, rotations=False, mirrors=False, device="auto"):
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
        require.finite("FewShot", "images", images, hint="clean them before making tasks of them")
        self.ways = ways = require.whole("FewShot", "ways", ways, least=1)
        for name, value in (("rotations", rotations), ("mirrors", mirrors)):
            require.choice("FewShot", name, value, (True, False))
        self.classes, self.examples = images.shape[:2]
        if ways > self.classes:
            raise ValueError(
                f"FewShot: {ways} ways need {ways} classes; these images have {self.classes}"
            )
        if rotations and images.shape[-1] != images.shape[-2]:
            raise ValueError(
                f"FewShot: rotations need square images, these are {images.shape[-2]} by "
                f"{images.shape[-1]}; pad them, or pass rotations=False"
            )
        self.rotations, self.mirrors = bool(rotations), bool(mirrors)
        self.device = devices.resolve(device)
        self.images = images.to(self.device)
        forms = [self.images, self.images.flip(-1)] if mirrors else [self.images]
        angles = range(4 if rotations else 1)
        self._forms = torch.stack([form.rot90(k, (-2, -1)) for form in forms for k in angles])

    def __repr__(self):
        shape = "x".join(str(n) for n in self.images.shape)
        pixels = files.digest({"images": self.images})[:12]
        return (
            f"FewShot(images {shape}, pixels {pixels}, ways={self.ways}, "
            f"rotations={self.rotations}, mirrors={self.mirrors})"
        )

    def to(self, device):
        """The same distribution, drawing on another device."""
        symmetries = {"rotations": self.rotations, "mirrors": self.mirrors}
        return FewShot(self.images, self.ways, **symmetries, device=device)

    def sample(self, tasks, shots, queries, *, generator=None) -> TaskBatch:
        """Draw `tasks` episodes of `shots` support and `queries` query examples a class.

        Returns a TaskBatch of x `[tasks, ways * examples, channels, height, width]` and integer
        y `[tasks, ways * examples]`. `generator`: a `torch.Generator` on this device; without
        one, torch's global one.
        """
        shots = require.whole("FewShot", "shots", shots, least=1)
        queries = require.whole("FewShot", "queries", queries, least=1)
        form, chosen, example = self.draw(tasks, shots + queries, shots, generator=generator)
        images = self._forms[form[..., None], chosen[..., None], example]
        if images.dtype == torch.uint8:
            images = images.float() / 255
        labels = torch.arange(self.ways, device=self.device)[None, :, None].expand(example.shape)
        support, query = slice(None, shots), slice(shots, None)
        return TaskBatch(
            images[:, :, support].flatten(1, 2),
            labels[:, :, support].flatten(1, 2),
            images[:, :, query].flatten(1, 2),
            labels[:, :, query].flatten(1, 2),
        )

    def draw(
        self, tasks, examples, shots=1, *, generator=None
    ) -> tuple[Int[Tensor, "tasks ways"], Int[Tensor, "tasks ways"], Int[Tensor, "tasks ways n"]]:
        """Choose what `sample` shows: each class's form, its id and its examples' ids.

        The form counts quarter turns (0 to 3, or 0 alone), then those of the mirror image.
        The first `shots` examples of each class are the support set. The order of the classes is
        their label.
        """
        tasks = require.whole("FewShot", "tasks", tasks, least=1)
        examples = require.whole("FewShot", "examples", examples, least=1)
        queries = require.whole("FewShot", "queries", examples - shots, least=1)
        if examples > self.examples:
            raise ValueError(
                f"FewShot: {shots} shots + {queries} queries need {examples} examples of a class; "
                f"these classes have {self.examples}"
            )
        rand = lambda *shape: torch.rand(*shape, generator=generator, device=self.device)
        # The positions of the largest of n random numbers are a random choice without
        # replacement, in random order.
        chosen = rand(tasks, self.classes).topk(self.ways).indices
        example = rand(tasks, self.ways, self.examples).topk(examples).indices
        form = (rand(tasks, self.ways) * len(self._forms)).long()
        return form, chosen, example


def accuracy(
    scores: Float[Tensor, "*batch ways"], labels: Int[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """The share of examples whose highest score is their label, from 0 to 1.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    tensor(0.5000)
    """
    return (scores.argmax(-1) == labels).float().mean()
