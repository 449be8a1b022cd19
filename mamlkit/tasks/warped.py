"""More characters and more hands than were ever drawn: random linear maps of episodes' images."""

import torch
from torch.nn.functional import grid_sample

from mamlkit import require


class Warped:
    """Episodes whose images are sheared, stretched, turned and shifted a little.

    All drawings of a class go through one random linear map, which makes it another character;
    each drawing goes through one more of its own, as if by another hand. For training: it holds
    off overfitting to the few hundred classes of Omniglot. Test on plain episodes. What comes into
    the picture from outside is 0, the background of Omniglot.

    episodes: a `FewShot`, or any distribution of labelled images.
    classes: the entries of a class's matrix differ from the identity's by up to this much.
    drawings: likewise for each drawing. shift: of each drawing, in pixels, up to this far.

    Raises TypeError or ValueError for sizes below 0 or above 1/2 (of `classes`, `drawings`), with
    which an image might collapse to a line.

    >>> from mamlkit import FewShot, glyphs
    >>> episodes = Warped(FewShot(glyphs(10, drawings=6).images, ways=5, device="cpu"))
    >>> episodes.sample(4, shots=1, queries=5).query_x.shape
    torch.Size([4, 25, 1, 28, 28])
    """

    def __init__(self, episodes, *, classes=0.2, drawings=0.1, shift=2.0):
        self.episodes = episodes
        bounds = {"least": 0, "most": 0.5, "hint": "0.1 to 0.3 is usual"}
        self.classes = require.number("Warped", "classes", classes, **bounds)
        self.drawings = require.number("Warped", "drawings", drawings, **bounds)
        self.shift = require.number("Warped", "shift", shift, least=0)
        self.device = episodes.device

    def __repr__(self):
        return (
            f"Warped({self.episodes!r}, classes={self.classes}, drawings={self.drawings}, "
            f"shift={self.shift})"
        )

    def to(self, device):
        """The same distribution, drawing on another device."""
        sizes = {"classes": self.classes, "drawings": self.drawings, "shift": self.shift}
        return Warped(self.episodes.to(device), **sizes)

    def sample(self, tasks, shots, queries, *, generator=None):
        """Draw episodes and warp their images; the TaskBatch is as the episodes' own."""
        batch = self.episodes.sample(tasks, shots, queries, generator=generator)
        vary = lambda size, *shape: (
            size * (2 * torch.rand(*shape, generator=generator, device=self.device) - 1)
        )
        ways = batch.support_x.shape[1] // shots
        by_class = torch.eye(2, device=self.device) + vary(self.classes, tasks, ways, 2, 2)

        def warp(x, y):
            own = torch.eye(2, device=self.device) + vary(self.drawings, *y.shape, 2, 2)
            task = torch.arange(tasks, device=self.device)[:, None]
            maps = (by_class[task, y] @ own).flatten(0, 1)
            shifts = vary(self.shift, *y.shape, 2).flatten(0, 1)
            return _through(x.flatten(0, 1), maps, shifts).view(x.shape)

        return batch._replace(
            support_x=warp(batch.support_x, batch.support_y),
            query_x=warp(batch.query_x, batch.query_y),
        )


def _through(images, maps, shifts):
    """Image i, looked up at `maps[i] @ (x, y) + shifts[i]` for each pixel (x, y) from the centre.

    `affine_grid` and `grid_sample`, whose grid spans -1 to 1; writing the grid out takes half the
    time of `affine_grid`'s many small matrix products.
    """
    height, width = images.shape[-2:]
    half = width / 2, height / 2
    x = (torch.arange(width, device=images.device) + 0.5 - half[0])[None, None, :]
    y = (torch.arange(height, device=images.device) + 0.5 - half[1])[None, :, None]
    m = maps[..., None, None].unbind(1)
    places = [
        (m[i][:, 0] * x + (m[i][:, 1] * y + shifts[:, i, None, None])) / half[i] for i in (0, 1)
    ]
    grid = torch.stack(places, dim=-1).to(images.dtype)
    return grid_sample(images, grid, align_corners=False)
