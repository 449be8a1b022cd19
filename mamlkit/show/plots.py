"""Figures of the series. Every function takes `ax`, draws on it and returns its artists."""

from contextlib import contextmanager
from itertools import pairwise

import matplotlib.pyplot as plt
import torch

# Okabe and Ito's colours, safe for colour-blind readers; the line style says the same again.
ROLES = {
    "truth": {"color": "#000000", "linestyle": "-", "linewidth": 1.5},
    "MAML": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "first-order": {"color": "#56B4E9", "linestyle": (0, (1, 1)), "marker": "v"},
    "pretrained": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    "random": {"color": "#999999", "linestyle": ":", "marker": "^"},
    "oracle": {"color": "#009E73", "linestyle": "-.", "marker": "D"},
    "best guess": {"color": "#CC79A7", "linestyle": (0, (5, 1)), "marker": "x"},
}
SUPPORT = {"color": "#E69F00", "edgecolors": "black", "s": 55, "zorder": 5}


@contextmanager
def style(width=6.4, height=3.6):
    """A context with the series' figure style."""
    settings = {
        "figure.figsize": (width, height),
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


def panels(columns=1, *, width=None, height=3.6, **options):
    """A figure in the series' style with `columns` axes side by side; one axis comes bare."""
    with style():
        width = width or (6.4 if columns == 1 else 4.6 * columns)
        _, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", **options)
    return axes


def role(name, **changes):
    """The colour, line style and marker of a role such as "MAML" or "pretrained"."""
    return {**ROLES[name], **changes}


def wave(ax, x, y, name, *, label=None, **changes):
    """A curve y(x) in the style of its role; x and y are `[points, 1]` tensors."""
    settings = {**role(name), "marker": None, **changes}
    (line,) = ax.plot(x.flatten().cpu(), y.flatten().cpu(), label=label or name, **settings)
    ax.set(xlabel="x (radians)", ylabel="y")
    return line


def support(ax, x, y, label="support points"):
    """The points a learner adapts on."""
    return ax.scatter(x[:, 0].cpu(), y[:, 0].cpu(), label=label, **SUPPORT)


def steps_curve(ax, evaluation, name, *, percent=False, label=None):
    """A metric against gradient steps with its 95% interval as a band."""
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


def losses(ax, run, name="MAML", *, window=200, label=None):
    """The meta-training loss, averaged over `window` iterations."""
    loss = run.history["loss"]
    window = max(1, min(window, len(loss) // 4))
    smooth = torch.nn.functional.avg_pool1d(loss[None], window, stride=max(1, window // 4))[0]
    iterations = torch.linspace(window, len(loss), len(smooth))
    (line,) = ax.plot(iterations, smooth, label=label or name, **{**role(name), "marker": None})
    ax.set(xlabel="meta-iterations", ylabel="query loss")
    return line


def validation(ax, run, name="MAML", *, label=None):
    """What `fit` was told to validate, as a share in percent, against seconds of training."""
    _, seconds, value = run.history["validation"].T
    (line,) = ax.plot(seconds, 100 * value, label=label or name, **role(name))
    ax.set(xlabel="seconds of training", ylabel="accuracy on characters held out (%)")
    return line


def sheet(ax, images, *, title=None, captions=(), border=1):
    """A grid of images `[rows, columns, 1, height, width]`, ink dark on white.

    captions: a short text for the corner of each image, row by row.
    """
    rows, columns, _, height, width = images.shape
    cells = images.float() / 255 if not images.is_floating_point() else images
    cells = torch.nn.functional.pad(cells[:, :, 0], (border, border, border, border), value=0.15)
    grid = cells.permute(0, 2, 1, 3).reshape(
        rows * (height + 2 * border), columns * (width + 2 * border)
    )
    picture = ax.imshow(grid.cpu(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.set_title(title)
    for i, caption in enumerate(captions):
        corner = ((i % columns) * (width + 2 * border), (i // columns) * (height + 2 * border))
        ax.text(corner[0] + 2, corner[1] + 2, str(caption), va="top", color="#0072B2", fontsize=9)
    return picture


def episode(ax, x, y, ways, *, title, answers=None):
    """One set of an episode: a row for each label, its examples beside each other.

    x `[ways * examples, 1, height, width]`, y `[ways * examples]`. With `answers`, labels like y,
    each wrong one is marked with a cross and named in the corner.
    """
    rows = torch.stack([x[y == way] for way in range(ways)])
    picture = sheet(ax, rows, title=title)
    height = x.shape[-2] + 2
    ax.set_yticks([height * (way + 0.5) for way in range(ways)], [str(w) for w in range(ways)])
    ax.tick_params(length=0)
    ax.set_ylabel("label")
    if answers is not None:
        cross = {"color": "#D55E00", "markersize": 9, "markeredgewidth": 2.5}
        for way in range(ways):
            for column, answer in enumerate(answers[y == way].tolist()):
                if answer != way:
                    x_of, y_of = height * (column + 0.5), height * (way + 0.5)
                    ax.plot(x_of - 9, y_of + 9, "x", **cross)
                    ax.text(x_of + 7, y_of + 13, str(answer), color="#D55E00", weight="bold")
    return picture


def scalar_path(ax, function, points, name, *, low, high, label=None):
    """A loss of one parameter over [low, high] and the points visited on it, joined by arrows."""
    at = torch.linspace(low, high, 200)
    settings = {**role(name), "marker": None}
    (line,) = ax.plot(at, [float(function(t)) for t in at], label=label or name, **settings)
    heights = [float(function(torch.as_tensor(p))) for p in points]
    dots = ax.scatter(points, heights, color=line.get_color(), zorder=4, s=45)
    for before, after in pairwise(range(len(points))):
        ax.annotate(
            "",
            xy=(points[after], heights[after]),
            xytext=(points[before], heights[before]),
            arrowprops={"arrowstyle": "->", "color": line.get_color(), "linewidth": 1.8},
        )
    ax.set(xlabel="parameter θ", ylabel="loss")
    return line, dots


EDGES = {
    "kept": {"color": "#0072B2", "linestyle": "-"},
    "cut": {"color": "#D55E00", "linestyle": "--"},
}


def graph(ax, nodes, edges):
    """A computation graph.

    nodes: name -> (x, y, text). edges: (from, to, text, "kept" or "cut") each.
    """
    boxes = {}
    box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": "black"}
    for name, (x, y, text) in nodes.items():
        boxes[name] = ax.text(x, y, text, ha="center", va="center", bbox=box, fontsize=11)
    for start, end, text, kind in edges:
        (x0, y0), (x1, y1) = nodes[start][:2], nodes[end][:2]
        ax.annotate(
            "",
            xy=(x1, y1),
            xytext=(x0, y0),
            arrowprops={
                "arrowstyle": "-|>",
                "linewidth": 1.8,
                "patchA": boxes[start].get_bbox_patch(),
                "patchB": boxes[end].get_bbox_patch(),
                **EDGES[kind],
            },
        )
        middle = ((x0 + x1) / 2, (y0 + y1) / 2 + 0.06)
        ax.text(*middle, text, ha="center", va="bottom", color=EDGES[kind]["color"])
    xs, ys = [n[0] for n in nodes.values()], [n[1] for n in nodes.values()]
    ax.set(xlim=(min(xs) - 0.7, max(xs) + 0.7), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    ax.set_axis_off()
    return boxes
