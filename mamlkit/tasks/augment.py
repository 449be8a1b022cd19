"""More characters and more hands than were ever drawn: episodes' images, warped at random."""

import copy
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, interpolate

from mamlkit import checks
from mamlkit.tasks.batch import TaskBatch

KNOTS = 4  # on a side, at which bends are drawn; between them they are smooth


class Warped:
    """Episodes whose images are sheared, stretched, turned, shifted and bent a little.

    All drawings of a class go through one random map, which makes it another character; each
    drawing goes through one more of its own, as if by another hand. For training: it holds
    off overfitting to the few hundred classes of Omniglot. Test on plain episodes. What comes into
    the picture from outside is 0, the background of Omniglot.

    episodes: a `FewShot`, or any distribution of labelled images.
    classes: the entries of a class's matrix differ from the identity's by up to this much.
    drawings: likewise for each drawing. shift: of each drawing, in pixels, up to this far.
    bend: standard deviation, in pixels, of a smooth displacement of each class and of one more of
        each drawing (elastic distortions, Simard et al. 2003).

    Raises TypeError or ValueError for sizes below 0 or above 1/2 (of `classes`, `drawings`), with
    which an image might collapse to a line.

    >>> from mamlkit import FewShot, glyphs
    >>> episodes = Warped(FewShot(glyphs(10, drawings=6).images, ways=5, device="cpu"))
    >>> episodes.sample(4, shots=1, queries=5).query_x.shape
    torch.Size([4, 25, 1, 28, 28])
    """

    def __init__(
        self,
        episodes: Any,
        *,
        classes: float = 0.2,
        drawings: float = 0.1,
        shift: float = 2.0,
        bend: float = 0.0,
    ) -> None:
        what = "episodes of images, such as FewShot(...)"
        checks.check_has("Warped", "episodes", episodes, what, "sample", "to", "device")
        self.episodes = episodes
        bounds = {"low": 0, "high": 0.5, "hint": "0.1 to 0.3 is usual"}
        self.classes = checks.check_float("Warped", "classes", classes, **bounds)
        self.drawings = checks.check_float("Warped", "drawings", drawings, **bounds)
        self.shift = checks.check_float("Warped", "shift", shift, low=0)
        self.bend = checks.check_float("Warped", "bend", bend, low=0)
        self.device = episodes.device

    def __repr__(self) -> str:
        return (
            f"Warped({self.episodes!r}, classes={self.classes}, drawings={self.drawings}, "
            f"shift={self.shift}, bend={self.bend})"
        )

    def settings(self) -> dict[str, Any]:
        """Return the class, its sizes and the episodes' settings: a run's identity, for JSON."""
        sizes = {name: getattr(self, name) for name in ("classes", "drawings", "shift", "bend")}
        return {"distribution": type(self).__name__, "episodes": self.episodes.settings(), **sizes}

    def to(self, device: str | torch.device) -> "Warped":
        """Return the same distribution, drawing on another device."""
        moved = copy.copy(self)
        moved.episodes = self.episodes.to(device)
        moved.device = moved.episodes.device
        return moved

    def sample(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw episodes and warp their images; the TaskBatch is as the episodes' own."""
        batch = self.episodes.sample(tasks, shots, queries, generator=generator)
        options = {"generator": generator, "device": self.device}
        vary = lambda size, *shape: size * (2 * torch.rand(*shape, **options) - 1)
        bends = lambda *shape: self.bend * torch.randn(*shape, 2, KNOTS**2, **options)
        ways = batch.support_x.shape[1] // shots
        class_maps = torch.eye(2, device=self.device) + vary(self.classes, tasks, ways, 2, 2)
        class_bends = bends(tasks, ways) if self.bend else None

        def warp(
            x: Float[Tensor, "tasks points channels height width"], y: Int[Tensor, "tasks points"]
        ) -> Float[Tensor, "tasks points channels height width"]:
            maps = torch.eye(2, device=self.device) + vary(self.drawings, *y.shape, 2, 2)
            task = torch.arange(tasks, device=self.device)[:, None]
            maps = (class_maps[task, y] @ maps).flatten(0, 1)
            shifts = vary(self.shift, *y.shape, 2).flatten(0, 1)
            knots = (class_bends[task, y] + bends(*y.shape)).flatten(0, 1) if self.bend else None
            return _resample(x.flatten(0, 1), maps, shifts, knots).view(x.shape)

        return batch._replace(
            support_x=warp(batch.support_x, batch.support_y),
            query_x=warp(batch.query_x, batch.query_y),
        )


def _resample(
    images: Float[Tensor, "images channels height width"],
    maps: Float[Tensor, "images 2 2"],
    shifts: Float[Tensor, "images 2"],
    knots: Float[Tensor, "images 2 knots"] | None = None,
) -> Float[Tensor, "images channels height width"]:
    """Look image i up at `maps[i] @ (x, y) + shifts[i]` for each pixel (x, y) from the centre.

    knots: `[images, 2, KNOTS²]` displacements in pixels, added after smooth interpolation.
    `affine_grid` and `grid_sample`, whose grid spans -1 to 1; writing the grid out takes half the
    time of `affine_grid`'s many small matrix products.
    """
    height, width = images.shape[-2:]
    half = width / 2, height / 2
    x = (torch.arange(width, device=images.device) + 0.5 - half[0])[None, None, :]
    y = (torch.arange(height, device=images.device) + 0.5 - half[1])[None, :, None]
    m = maps[..., None, None].unbind(1)
    positions = [m[i][:, 0] * x + (m[i][:, 1] * y + shifts[:, i, None, None]) for i in (0, 1)]
    if knots is not None:
        bends = (knots @ _splines(height, width).to(knots)).unflatten(-1, (height, width))
        positions = [position + bends[:, i] for i, position in enumerate(positions)]
    grid = torch.stack([position / half[i] for i, position in enumerate(positions)], dim=-1)
    return grid_sample(images, grid.to(images.dtype), align_corners=False)


@lru_cache
def _splines(height: int, width: int) -> Float[Tensor, "knots pixels"]:
    """Return what a displacement of 1 at each knot does at each pixel."""
    knots = torch.eye(KNOTS**2).view(-1, 1, KNOTS, KNOTS)
    smooth = interpolate(knots, (height, width), mode="bicubic", align_corners=True)
    return smooth.flatten(1)
