"""The loss of a real network on the plane through three points of its parameter space."""

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from matplotlib.colors import LogNorm
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from mamlkit.show import plots

COLLINEAR = 1e-3  # a smaller share of the second arm than this at right angles is no plane


class Plane:
    """The plane through three settings of one network's parameters, with true distances.

    origin, first, second: parameter dicts (or any pytrees) alike in names and shapes. `origin` is
    at (0, 0); the first axis points from it to `first`, the second at right angles to that,
    towards `second` (Gram and Schmidt). Both axes have length one, so that coordinates are
    Euclidean distances in parameter space.

    Raises ValueError for points whose names or shapes differ, and for three on one line.

    >>> point = lambda *values: {"w": torch.tensor(values)}
    >>> plane = Plane(point(0.0, 0.0, 1.0), point(2.0, 0.0, 1.0), point(1.0, 3.0, 1.0))
    >>> [round(float(c), 3) for c in plane.coordinates(point(1.0, 3.0, 7.0))]
    [1.0, 3.0]
    >>> plane.at(1.0, 3.0)
    {'w': tensor([1., 3., 1.])}
    """

    def __init__(self, origin, first, second):
        leaves, self.structure = tree_flatten(origin)
        self.shapes = [leaf.shape for leaf in leaves]
        self.origin = self._flat(origin)
        arm, other = self._flat(first) - self.origin, self._flat(second) - self.origin
        length = arm.norm()
        across = other - arm * (arm @ other) / length.square().clamp(min=1e-30)
        if length == 0 or across.norm() <= COLLINEAR * other.norm():
            raise ValueError(
                "Plane: origin, first and second lie on one line, so they span no plane; choose a "
                "second point elsewhere, such as the optimum of a different task"
            )
        across = across - arm * (arm @ across) / length.square()  # once more, against rounding
        self.axes: Float[Tensor, "2 parameters"] = torch.stack(
            [arm / length, across / across.norm()]
        )

    def coordinates(self, params):
        """`(u, v)` of the nearest point of the plane: the shadow that `params` cast on it."""
        u, v = self.axes @ (self._flat(params) - self.origin)
        return u, v

    def at(self, u, v):
        """The parameters at the point (u, v) of the plane."""
        return self._tree(self.origin + u * self.axes[0] + v * self.axes[1])

    def missed(self, params):
        """How much of the way from `origin` to `params` the plane does not show, 0 to 1.

        It is the share of the squared distance that lies at right angles to the plane. It is NaN
        at the origin, from where there is no way to share out.

        >>> point = lambda *values: {"w": torch.tensor(values)}
        >>> plane = Plane(point(0.0, 0.0, 0.0), point(1.0, 0.0, 0.0), point(0.0, 1.0, 0.0))
        >>> plane.missed(point(1.0, 0.0, 1.0)), plane.missed(point(3.0, 4.0, 0.0))
        (tensor(0.5000), tensor(0.))
        """
        way = self._flat(params) - self.origin
        outside = way - (self.axes @ way) @ self.axes
        return outside.square().sum() / way.square().sum()

    def surface(self, loss, us, vs) -> Float[Tensor, "vs us"]:
        """`loss(params) -> scalar` at every point of a grid, `[len(vs), len(us)]`.

        Row i holds the losses at v = vs[i], as `contour` of matplotlib wants them.

        >>> point = lambda *values: {"w": torch.tensor(values)}
        >>> plane = Plane(point(0.0, 0.0), point(1.0, 0.0), point(0.0, 1.0))
        >>> squares = lambda params: (params["w"] ** 2).sum()
        >>> plane.surface(squares, us=torch.tensor([0.0, 1.0, 2.0]), vs=torch.tensor([0.0, 1.0]))
        tensor([[0., 1., 4.],
                [1., 2., 5.]])
        """
        row = vmap(lambda u, v: loss(self.at(u, v)), in_dims=(0, None))
        with torch.no_grad():
            return torch.stack([row(us, v) for v in vs])

    def _flat(self, params):
        leaves, structure = tree_flatten(params)
        if structure != self.structure or [leaf.shape for leaf in leaves] != self.shapes:
            raise ValueError(
                "Plane: these parameters are not those of the origin: names or shapes differ; use "
                "points of one and the same network"
            )
        return torch.cat([leaf.detach().reshape(-1) for leaf in leaves])

    def _tree(self, vector):
        pieces = vector.split([shape.numel() for shape in self.shapes])
        leaves = [piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]
        return tree_unflatten(leaves, self.structure)


def contours(ax, us, vs, surface, *, levels):
    """A contour map of `surface`, `[len(vs), len(us)]`, between `levels`, on a log scale.

    Light is low. What lies outside the levels takes the colour of the first or the last. One unit
    is as long on either axis. Returns the filled contours, from which `scale` draws a bar.
    """
    norm = LogNorm(levels[0], 8 * levels[-1])  # black is left to what is drawn on top
    greys = plt.get_cmap("Greys").with_extremes(over="#404040")
    grid = us.cpu(), vs.cpu(), surface.cpu()
    filled = ax.contourf(*grid, cmap=greys, levels=levels, norm=norm, extend="both")
    ax.contour(*grid, levels=levels, colors="black", linewidths=0.4, alpha=0.5)
    ax.set(xlabel="first axis (distance)", ylabel="second axis (distance)", aspect="equal")
    ax.label_outer()
    ax.grid(False)
    return filled


def shadow(ax, plane, path, name, **changes):
    """The shadow that a path of parameter dicts casts on the plane, in the style of its role.

    A dot for every element of `path`; a white one where it starts. Returns the line.
    """
    points = torch.stack([torch.stack(plane.coordinates(params)) for params in path]).cpu()
    settings = {"linewidth": 1.8, "markersize": 5.5, "zorder": 5, "markeredgecolor": "white"}
    (line,) = ax.plot(*points.T, **{**plots.role(name, linestyle="-"), **settings, **changes})
    ax.scatter(*points[:1].T, color="white", edgecolors="black", s=60, zorder=6)
    return line


def mark(ax, plane, params, text, *, offset=(8, 8)):
    """A star and a name where `params` cast their shadow; `offset` of the name in points."""
    u, v = (float(c) for c in plane.coordinates(params))
    ax.scatter([u], [v], marker="*", s=150, color="white", edgecolors="black", zorder=7)
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "linewidth": 0}
    place = {"xytext": offset, "textcoords": "offset points", "zorder": 8}
    return ax.annotate(text, (u, v), bbox=box, **place)


def scale(axes, filled, label="mean squared error"):
    """One bar beside all `axes` that says which grey is which loss, in plain numbers."""
    bar = plt.colorbar(filled, ax=list(axes), label=label, pad=0.02)
    bar.set_ticks(filled.levels, labels=[f"{level:g}" for level in filled.levels])
    return bar
