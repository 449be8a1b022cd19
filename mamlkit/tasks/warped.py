"""More characters and more hands than were ever drawn: episodes' images, warped at random."""

from functools import lru_cache

import torch
from torch.nn.functional import grid_sample, interpolate

from mamlkit import require

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

    def __init__(self, episodes, *, classes=0.2, drawings=0.1, shift=2.0, bend=0.0):
        what = "episodes of images, such as FewShot(...)"
        require.having("Warped", "episodes", episodes, what, "sample", "to", "device")
        self.episodes = episodes
        bounds = {"least": 0, "most": 0.5, "hint": "0.1 to 0.3 is usual"}
        self.classes = require.number("Warped", "classes", classes, **bounds)
        self.drawings = require.number("Warped", "drawings", drawings, **bounds)
        self.shift = require.number("Warped", "shift", shift, least=0)
        self.bend = require.number("Warped", "bend", bend, least=0)
        self.device = episodes.device

    def __repr__(self):
        return (
            f"Warped({self.episodes!r}, classes={self.classes}, drawings={self.drawings}, "
            f"shift={self.shift}, bend={self.bend})"
        )

    def to(self, device):
        """The same distribution, drawing on another device."""
        names = "classes", "drawings", "shift", "bend"
        sizes = {name: getattr(self, name) for name in names}
        return Warped(self.episodes.to(device), **sizes)

    def sample(self, tasks, shots, queries, *, generator=None):
        """Draw episodes and warp their images; the TaskBatch is as the episodes' own."""
        batch = self.episodes.sample(tasks, shots, queries, generator=generator)
        where = {"generator": generator, "device": self.device}
        vary = lambda size, *shape: size * (2 * torch.rand(*shape, **where) - 1)
        bends = lambda *shape: self.bend * torch.randn(*shape, 2, KNOTS**2, **where)
        ways = batch.support_x.shape[1] // shots
        by_class = torch.eye(2, device=self.device) + vary(self.classes, tasks, ways, 2, 2)
        class_bends = bends(tasks, ways) if self.bend else None

        def warp(x, y):
            own = torch.eye(2, device=self.device) + vary(self.drawings, *y.shape, 2, 2)
            task = torch.arange(tasks, device=self.device)[:, None]
            maps = (by_class[task, y] @ own).flatten(0, 1)
            shifts = vary(self.shift, *y.shape, 2).flatten(0, 1)
            knots = (class_bends[task, y] + bends(*y.shape)).flatten(0, 1) if self.bend else None
            return _through(x.flatten(0, 1), maps, shifts, knots).view(x.shape)

        return batch._replace(
            support_x=warp(batch.support_x, batch.support_y),
            query_x=warp(batch.query_x, batch.query_y),
        )


def _through(images, maps, shifts, knots=None):
    """Image i, looked up at `maps[i] @ (x, y) + shifts[i]` for each pixel (x, y) from the centre.

    knots: `[images, 2, KNOTS²]` displacements in pixels, added after smooth interpolation.
    `affine_grid` and `grid_sample`, whose grid spans -1 to 1; writing the grid out takes half the
    time of `affine_grid`'s many small matrix products.
    """
    height, width = images.shape[-2:]
    half = width / 2, height / 2
    x = (torch.arange(width, device=images.device) + 0.5 - half[0])[None, None, :]
    y = (torch.arange(height, device=images.device) + 0.5 - half[1])[None, :, None]
    m = maps[..., None, None].unbind(1)
    places = [m[i][:, 0] * x + (m[i][:, 1] * y + shifts[:, i, None, None]) for i in (0, 1)]
    if knots is not None:
        bends = (knots @ _splines(height, width).to(knots)).unflatten(-1, (height, width))
        places = [place + bends[:, i] for i, place in enumerate(places)]
    grid = torch.stack([place / half[i] for i, place in enumerate(places)], dim=-1)
    return grid_sample(images, grid.to(images.dtype), align_corners=False)


@lru_cache
def _splines(height, width):
    """What a displacement of 1 at each knot does at each pixel: `[KNOTS², height * width]`."""
    knots = torch.eye(KNOTS**2).view(-1, 1, KNOTS, KNOTS)
    smooth = interpolate(knots, (height, width), mode="bicubic", align_corners=True)
    return smooth.flatten(1)
