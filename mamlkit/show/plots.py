"""Figures of the series. Every function takes `ax`, draws on it and returns its artists."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

from mamlkit.evaluation import Evaluation
from mamlkit.training.loop import Run

# Okabe and Ito's colours, then Tol's: for colour-blind readers. The line style says the same again.
ROLES = {
    "truth": {"color": "#000000", "linestyle": "-", "linewidth": 1.5},
    "MAML": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "first-order": {"color": "#56B4E9", "linestyle": (0, (4, 1, 1, 1, 1, 1)), "marker": "v"},
    "pretrained": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    "random": {"color": "#999999", "linestyle": ":", "marker": "^"},
    "oracle": {"color": "#009E73", "linestyle": "-.", "marker": "D"},
    "best guess": {"color": "#CC79A7", "linestyle": (0, (5, 1)), "marker": "x"},
    "ANIL": {"color": "#882255", "linestyle": "-.", "marker": "P"},
    "Meta-SGD": {"color": "#117733", "linestyle": (0, (5, 1)), "marker": "*"},
    "Reptile": {"color": "#999933", "linestyle": "--", "marker": "X"},
}
SUPPORT = {"color": "#E69F00", "edgecolors": "black", "s": 55, "zorder": 5}
EDGES = {
    "kept": {"color": "#0072B2", "linestyle": "-"},
    "cut": {"color": "#D55E00", "linestyle": "--"},
}
Points = Float[Tensor, "points 1"]
BORDER = 1  # pixels around each image of a sheet


@contextmanager
def style() -> Iterator[None]:
    """Draw in the series' figure style within this context."""
    settings = {
        "figure.figsize": (6.4, 3.6),
        "figure.dpi": 100,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "font.size": 10.5,
        "lines.linewidth": 2,
        "lines.markersize": 5,
    }
    with plt.rc_context(settings):
        yield


def panels(
    columns: int = 1, *, width: float | None = None, height: float = 3.6, **options: Any
) -> Any:
    """Return `columns` axes side by side in the series' style, in inches; one axis comes bare."""
    with style():
        width = width or (6.4 if columns == 1 else 4.6 * columns)
        _, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", **options)
    return axes


def role(name: str, **changes: Any) -> dict[str, Any]:
    """Return the colour, line style and marker of a role such as "MAML" or "pretrained"."""
    return {**ROLES[name], **changes}


def wave(ax: Axes, x: Points, y: Points, name: str, *, label: str = "", **changes: Any) -> Line2D:
    """Draw a curve y(x) in the style of its role."""
    settings = {**role(name), "marker": None, **changes}
    (line,) = ax.plot(x.flatten().cpu(), y.flatten().cpu(), label=label or name, **settings)
    ax.set(xlabel="x (radians)", ylabel="y")
    return line


def support(ax: Axes, x: Points, y: Points, label: str = "support points") -> PathCollection:
    """Draw the points a learner adapts on."""
    return ax.scatter(x[:, 0].cpu(), y[:, 0].cpu(), label=label, **SUPPORT)


def steps_curve(
    ax: Axes, evaluation: Evaluation, name: str, *, percent: bool = False, label: str = ""
) -> tuple[Line2D, PolyCollection]:
    """Draw a metric against gradient steps with its 95% interval as a band."""
    scale = 100 if percent else 1
    mean, interval = scale * evaluation.mean, scale * evaluation.interval
    steps = range(len(mean))
    (line,) = ax.plot(steps, mean, label=label or name, **role(name))
    band = ax.fill_between(
        steps, mean - interval, mean + interval, color=line.get_color(), alpha=0.2, linewidth=0
    )
    quantity = "accuracy on the query set (%)" if percent else "mean squared error"
    ax.set(xlabel="gradient steps", ylabel=quantity)
    return line, band


def losses(ax: Axes, run: Run, name: str = "MAML", *, window: int = 200, label: str = "") -> Line2D:
    """Draw the meta-training loss, averaged over `window` iterations."""
    loss = run.history["loss"]
    window = max(1, min(window, len(loss) // 4))
    smooth = torch.nn.functional.avg_pool1d(loss[None], window, stride=max(1, window // 4))[0]
    iterations = torch.linspace(window, len(loss), len(smooth))
    (line,) = ax.plot(iterations, smooth, label=label or name, **role(name, marker=None))
    ax.set(xlabel="meta-iterations", ylabel="query loss")
    return line


def validation(ax: Axes, run: Run, name: str = "MAML") -> Line2D:
    """Draw the accuracy that `fit` validated, in percent, against seconds of training."""
    _, seconds, value = run.history["validation"].T
    (line,) = ax.plot(seconds, 100 * value, label=name, **role(name))
    ax.set(xlabel="seconds of training", ylabel="accuracy on characters held out (%)")
    return line


def sheet(ax: Axes, images: Tensor, *, title: str = "", captions: Iterable[Any] = ()) -> AxesImage:
    """Draw a grid of images `[rows, columns, 1, height, width]`, ink dark on white.

    captions: a short text above each image, row by row.
    """
    captions = list(captions)
    rows, columns, _, height, width = images.shape
    cells = images.float() / 255 if not images.is_floating_point() else images
    cells = torch.nn.functional.pad(cells[:, :, 0], [BORDER] * 4, value=0.15)
    above = 12 if captions else 0  # pixels for the text
    cells = torch.nn.functional.pad(cells, [0, 0, above, 0])
    height, width = height + above + 2 * BORDER, width + 2 * BORDER
    grid = cells.permute(0, 2, 1, 3).reshape(rows * height, columns * width)
    picture = ax.imshow(grid.cpu(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    remove_frame(ax)
    ax.set_title(title)
    for i, caption in enumerate(captions):
        row, column = divmod(i, columns)
        middle = (column + 0.5) * width, row * height + above / 2
        style = {"ha": "center", "va": "center", "color": "#0072B2", "fontsize": 10}
        ax.text(*middle, str(caption), **style)
    return picture


def remove_frame(ax: Axes) -> None:
    """Take ticks, grid and frame off an axis that shows images."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def episode(
    ax: Axes, x: Tensor, y: Tensor, ways: int, *, title: str, answers: Tensor | None = None
) -> AxesImage:
    """Draw one set of an episode: a row for each label, its examples beside each other.

    x `[ways * examples, 1, height, width]`, y `[ways * examples]`. With `answers`, labels like y,
    each wrong one is marked with a cross and named in the corner.
    """
    picture = sheet(ax, torch.stack([x[y == way] for way in range(ways)]), title=title)
    height = x.shape[-2] + 2 * BORDER
    ax.set_yticks([height * (way + 0.5) for way in range(ways)], [str(w) for w in range(ways)])
    ax.tick_params(length=0)
    ax.set_ylabel("label")
    if answers is None:
        return picture
    for way in range(ways):
        for column, answer in enumerate(answers[y == way].tolist()):
            if answer != way:
                across, down = height * (column + 0.5), height * (way + 0.5)
                cross = {"color": "#D55E00", "markersize": 9, "markeredgewidth": 2.5}
                ax.plot(across - 9, down + 9, "x", **cross)
                ax.text(across + 7, down + 13, str(answer), color="#D55E00", weight="bold")
    return picture


def scalar_path(
    ax: Axes,
    function: Callable[[Tensor], Any],
    points: Sequence[float],
    name: str,
    *,
    low: float,
    high: float,
    label: str = "",
) -> tuple[Line2D, PathCollection]:
    """Draw a loss of one parameter over [low, high] and the points visited on it, with arrows."""
    theta = torch.linspace(low, high, 200)
    curve = [float(function(t)) for t in theta]
    (line,) = ax.plot(theta, curve, label=label or name, **role(name, marker=None))
    heights = [float(function(torch.as_tensor(point))) for point in points]
    dots = ax.scatter(points, heights, color=line.get_color(), zorder=4, s=45)
    arrow = {"arrowstyle": "->", "color": line.get_color(), "linewidth": 1.8}
    for before, after in pairwise(zip(points, heights, strict=True)):
        ax.annotate("", xy=after, xytext=before, arrowprops=arrow)
    ax.set(xlabel="parameter θ", ylabel="loss")
    return line, dots


def graph(
    ax: Axes, nodes: dict[str, tuple[float, float, str]], edges: Iterable[tuple[str, ...]]
) -> dict[str, Text]:
    """Draw a computation graph.

    nodes: name -> (x, y, text). edges: (from, to, text, "kept" or "cut") each.
    """
    box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": "black"}
    boxes = {
        name: ax.text(x, y, text, ha="center", va="center", bbox=box, fontsize=11)
        for name, (x, y, text) in nodes.items()
    }
    for start, end, text, kind in edges:
        (x0, y0), (x1, y1) = nodes[start][:2], nodes[end][:2]
        ends = {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()}
        arrow = {"arrowstyle": "-|>", "linewidth": 1.8, **ends, **EDGES[kind]}
        ax.annotate("", xy=(x1, y1), xytext=(x0, y0), arrowprops=arrow)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2 + 0.06)
        ax.text(*middle, text, ha="center", va="bottom", color=EDGES[kind]["color"])
    xs, ys, _ = zip(*nodes.values(), strict=True)
    ax.set(xlim=(min(xs) - 0.7, max(xs) + 0.7), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    ax.set_axis_off()
    return boxes
