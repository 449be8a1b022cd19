"""The loss of a real network on the plane through three points of its parameter space."""

from collections.abc import Callable, Iterable, Sequence

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from torch import Tensor
from torch.func import vmap

from mamlkit.learners.adapt import Params
from mamlkit.show import plots

COLLINEAR = 1e-3  # a smaller share of the second arm than this at right angles is no plane


class Plane:
    """The plane through three settings of one network's parameters, with true distances.

    origin, first, second: parameter dicts alike in names and shapes. `origin` is at (0, 0); the
    first axis points from it to `first`, the second at right angles to that, towards `second`
    (Gram and Schmidt). Both axes have length one, so that coordinates are Euclidean distances in
    parameter space.

    Raises ValueError for points whose names or shapes differ, and for three on one line.

    >>> point = lambda *values: {"w": torch.tensor(values)}
    >>> plane = Plane(point(0.0, 0.0, 1.0), point(2.0, 0.0, 1.0), point(1.0, 3.0, 1.0))
    >>> [round(float(c), 3) for c in plane.coordinates(point(1.0, 3.0, 7.0))]
    [1.0, 3.0]
    >>> plane.at(1.0, 3.0)
    {'w': tensor([1., 3., 1.])}
    """

    def __init__(self, origin: Params, first: Params, second: Params) -> None:
        self.shapes = {name: value.shape for name, value in origin.items()}
        self.origin = self._flatten(origin)
        arm, other = self._flatten(first) - self.origin, self._flatten(second) - self.origin
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

    def coordinates(self, params: Params) -> tuple[Tensor, Tensor]:
        """Return `(u, v)` of the plane's point nearest to `params`: the shadow that they cast."""
        u, v = self.axes @ (self._flatten(params) - self.origin)
        return u, v

    def at(self, u: float | Tensor, v: float | Tensor) -> Params:
        """Return the parameters at the point (u, v) of the plane."""
        return self._unflatten(self.origin + u * self.axes[0] + v * self.axes[1])

    def missed(self, params: Params) -> Float[Tensor, ""]:
        """Return how much of the way from `origin` to `params` the plane does not show, 0 to 1.

        It is the share of the squared distance that lies at right angles to the plane. It is NaN
        at the origin, from where there is no way to share out.

        >>> point = lambda *values: {"w": torch.tensor(values)}
        >>> plane = Plane(point(0.0, 0.0, 0.0), point(1.0, 0.0, 0.0), point(0.0, 1.0, 0.0))
        >>> plane.missed(point(1.0, 0.0, 1.0)), plane.missed(point(3.0, 4.0, 0.0))
        (tensor(0.5000), tensor(0.))
        """
        way = self._flatten(params) - self.origin
        outside = way - (self.axes @ way) @ self.axes
        return outside.square().sum() / way.square().sum()

    def surface(
        self, loss: Callable[[Params], Tensor], us: Tensor, vs: Tensor
    ) -> Float[Tensor, "vs us"]:
        """Return `loss(params) -> scalar` at every point of a grid.

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

    def _flatten(self, params: Params) -> Float[Tensor, " parameters"]:
        if {name: value.shape for name, value in params.items()} != self.shapes:
            raise ValueError(
                "Plane: these parameters are not those of the origin: names or shapes differ; use "
                "points of one and the same network"
            )
        return torch.cat([params[name].detach().reshape(-1) for name in self.shapes])

    def _unflatten(self, vector: Float[Tensor, " parameters"]) -> Params:
        pieces = vector.split([shape.numel() for shape in self.shapes.values()])
        named = zip(self.shapes.items(), pieces, strict=True)
        return {name: piece.view(shape) for (name, shape), piece in named}


def contours(
    ax: Axes, us: Tensor, vs: Tensor, surface: Float[Tensor, "vs us"], *, levels: Sequence[float]
) -> QuadContourSet:
    """Draw a contour map of `surface` between `levels`, on a log scale.

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


def shadow(ax: Axes, plane: Plane, path: Iterable[Params], name: str) -> Line2D:
    """Draw the shadow that a path of parameters casts on the plane, in the style of its role.

    A dot for every element of `path`; a white one where it starts.
    """
    points = torch.stack([torch.stack(plane.coordinates(params)) for params in path]).cpu()
    settings = {"linewidth": 1.8, "markersize": 5.5, "zorder": 5, "markeredgecolor": "white"}
    (line,) = ax.plot(*points.T, **plots.role(name, linestyle="-", **settings))
    ax.scatter(*points[:1].T, color="white", edgecolors="black", s=60, zorder=6)
    return line


def mark(ax: Axes, plane: Plane, params: Params, text: str) -> Annotation:
    """Draw a star and a name where `params` cast their shadow."""
    u, v = (float(c) for c in plane.coordinates(params))
    ax.scatter([u], [v], marker="*", s=150, color="white", edgecolors="black", zorder=7)
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "linewidth": 0}
    place = {"xytext": (8, 8), "textcoords": "offset points", "zorder": 8}
    return ax.annotate(text, (u, v), bbox=box, **place)


def scale(axes: Sequence[Axes], filled: QuadContourSet) -> Colorbar:
    """Draw one bar beside all `axes` that says which grey is which loss, in plain numbers."""
    figure = axes[0].figure
    bar = figure.colorbar(filled, ax=list(axes), label="mean squared error", pad=0.02)
    bar.set_ticks(filled.levels, labels=[f"{level:g}" for level in filled.levels])
    return bar
