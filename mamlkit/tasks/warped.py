"""More characters and more hands than were ever drawn: random linear maps of episodes' images."""

import torch
from torch.nn.functional import affine_grid, grid_sample

from mamlkit import require


class Warped:
    """Episodes whose images are sheared, stretched, turned and shifted a little.

    All drawings of a class go through one random linear map, which makes it another character;
    each drawing goes through one more of its own, as if by another hand. For training: it holds
    off overfitting to the few hundred classes of Omniglot. Test on plain episodes.

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
            size = torch.tensor(x.shape[:-3:-1], device=self.device)  # width, height
            shift = 2 * vary(self.shift, *y.shape, 2) / size  # affine_grid spans -1 to 1
            maps = torch.cat([by_class[task, y] @ own, shift[..., None]], dim=-1)
            images = x.flatten(0, 1)
            grid = affine_grid(maps.flatten(0, 1), images.shape, align_corners=False)
            return grid_sample(images, grid, align_corners=False).view(x.shape)

        return batch._replace(
            support_x=warp(batch.support_x, batch.support_y),
            query_x=warp(batch.query_x, batch.query_y),
        )
