"""Draw five characters, and the model tells which of them the sixth is (notebook 08)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Float, Int
from matplotlib.artist import Artist
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from mamlkit import checks, devices
from mamlkit.learners.base import Learner
from mamlkit.show.widgets.explorer import Explorer, button, pluralize, slider
from mamlkit.show.widgets.pad import Pad

WAYS = 5
MOST_SHOTS = 3
MOST_STEPS = 5
COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"  # of the classes
MARKERS = "osD^v"
BLANK = torch.zeros(28, 28)
SCORES = -55, 85  # the axis; what lies beyond is drawn at its end


class DrawYourOwn(Explorer):
    """Five pads for classes of the reader's own, one for a query; a trained learner adapts live.

    learner, params: of 5 ways, such as `pretrained.load("omniglot-5way-1shot")`.
    images: `[classes, examples, 1, 28, 28]` ready characters, bytes or floats, for whoever cannot
        draw or would rather read; names: of their classes, for the picker.
    seed: of the examples that the buttons choose.

    State: the `pads` (a list of five lists, one pad for each shot), the pad `query`, the sliders
    `shots` and `steps`. Compute: `scores` and `probabilities` `[steps + 1, 5]`, before adaptation
    and after each step, or None while a class has no drawing; the softmax of the scores, which have
    the mean 0, is the probabilities. Draw: `picture`, a PNG and a sentence.

    Raises ValueError for a learner of another number of ways.

    >>> from mamlkit import glyphs, pretrained
    >>> learner, params = pretrained.load("omniglot-5way-1shot", device="cpu")
    >>> explorer = DrawYourOwn(learner, params, glyphs(5, drawings=4).images)
    >>> explorer.example.click()
    >>> explorer.probabilities.shape
    torch.Size([6, 5])
    """

    size = 9.2, 3.6

    def __init__(
        self,
        learner: Learner,
        params: Any,
        images: Tensor,
        *,
        names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        ways = learner.module.head.out_features
        if ways != WAYS:
            raise ValueError(f"DrawYourOwn: the learner tells {ways} classes apart; give one of 5")
        if len(images) < WAYS or images.shape[1] < 2:
            raise ValueError(
                f"DrawYourOwn: images are {tuple(images.shape)}; at least 5 classes of 2 examples "
                "are needed to show an example"
            )
        self.learner, self.params = learner, params
        self.images = images if images.is_floating_point() else images.float() / 255
        names = names or [f"character {i}" for i in range(len(images))]
        self.names = [f"{i}: {name}" for i, name in enumerate(names)]
        seed = checks.check_int("DrawYourOwn", "seed", seed, low=0)
        self._generator = devices.generator(seed, "cpu")
        self._filling = False
        super().__init__()

    # State

    def build_controls(self) -> widgets.Widget:
        """Return the picker, the sliders and the pads."""
        self.shots = slider("drawings K", 1, 1, MOST_SHOTS)
        self.steps = slider("gradient steps", 1, 0, MOST_STEPS)
        later = ["", *(f", drawing {shot}" for shot in range(2, MOST_SHOTS + 1))]
        self.pads = [[Pad(label=f"class {way}{text}") for text in later] for way in range(WAYS)]
        self.query = Pad(label="query: which is it?")
        self._rows = [widgets.HBox(row) for row in zip(*self.pads, strict=True)]
        self._rows[0].children += (self.query,)
        for pad in self._all_pads():
            pad.on_change(self.refresh)
        self._show_rows()
        self.shots.observe(lambda _: self._show_rows(), names="value")
        self.watch(self.shots, self.steps)
        sliders = widgets.HBox([self.shots, self.steps])
        return widgets.VBox([self._build_picker(), sliders, *self._rows])

    def _build_picker(self) -> widgets.Widget:
        style = {"style": {"description_width": "initial"}}
        places = [f"class {way}" for way in range(WAYS)] + ["query"]
        self.choice = widgets.Dropdown(options=self.names, description="ready character", **style)
        self.target = widgets.Dropdown(options=places, description="on pad", **style)
        self.example = button("fill in an example", self.fill)
        self.clear = button("clear all", self.wipe)
        self.put = button("put it there", lambda: self.put_ready(self.choice.index))
        row = [self.example, self.clear, self.choice, self.target, self.put]
        return widgets.HBox(row, layout={"flex_flow": "row wrap"})

    def _show_rows(self) -> None:
        for shot, row in enumerate(self._rows):
            row.layout.display = None if shot < self.shots.value else "none"

    def _all_pads(self) -> list[Pad]:
        return [*(pad for pads in self.pads for pad in pads), self.query]

    def refresh(self) -> None:
        """Compute and draw what the pads now hold, unless several are being filled."""
        if not self._filling:
            super().refresh()

    @contextmanager
    def _refresh_once(self) -> Iterator[None]:
        self._filling = True
        try:
            yield
        finally:
            self._filling = False
        self.refresh()

    def put_ready(self, index: int) -> None:
        """Put a drawing of the ready character `index` on the chosen pad: the first empty one."""
        pad = self.query
        if self.target.index < WAYS:
            pads = self.pads[self.target.index][: self.shots.value]
            pad = next((pad for pad in pads if pad.character() is None), pads[0])
        example = int(torch.randint(self.images.shape[1], (), generator=self._generator))
        pad.place(self.images[index, example])

    def fill(self) -> None:
        """Fill all pads with ready characters, the query with another drawing of one of them."""
        shuffled = lambda n: torch.randperm(n, generator=self._generator)
        classes, answer = shuffled(len(self.images))[:WAYS], int(shuffled(WAYS)[0])
        with self._refresh_once():
            for way, index in enumerate(classes):
                first, *others = shuffled(self.images.shape[1])
                for shot, pad in enumerate(self.pads[way]):
                    if shot < self.shots.value:
                        pad.place(self.images[index, others[shot % len(others)]])
                    else:
                        pad.wipe()
                if way == answer:
                    self.query.place(self.images[index, first])

    def wipe(self) -> None:
        """Empty all pads."""
        with self._refresh_once():
            for pad in self._all_pads():
                pad.wipe()

    # Compute

    def compute(self) -> None:
        """Adapt to what is drawn, if every class has a drawing, and look at the query."""
        shown = [[pad.character() for pad in pads[: self.shots.value]] for pads in self.pads]
        self.drawings = [[image for image in images if image is not None] for images in shown]
        self.query_image = self.query.character()
        self.empty = [way for way, images in enumerate(self.drawings) if not images]
        self.scores = self.probabilities = None
        if self.empty or self.query_image is None:
            return
        x = torch.stack([image for images in self.drawings for image in images])
        y = torch.tensor([way for way, images in enumerate(self.drawings) for _ in images])
        with torch.no_grad():
            path = self.learner.trajectory(self.params, _balance(x, y), MOST_STEPS)
            scores = [self.learner.predict(adapted, self.query_image[None])[0] for adapted in path]
        self.scores = torch.stack([score - score.mean() for score in scores])
        self.probabilities = self.scores.softmax(-1)

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        if self.empty:
            classes = ", ".join(str(way) for way in self.empty)
            return f"Draw a character for each class. Still empty: {classes}."
        if self.query_image is None:
            return "All classes have a drawing. Draw one of them again on the query pad."
        steps = self.steps.value
        now, after = self.probabilities[steps], "Before adaptation, with no drawing seen,"
        if steps:
            after = f"After {pluralize(steps, 'gradient step')} on the drawings:"
        if torch.allclose(now, now[:1], atol=0.005):
            return f"{after} every class has {100 * now[0]:.0f} %: the model cannot tell."
        best = int(now.argmax())
        score = lambda way: f"score {self.scores[steps, way]:.0f}".replace("-", "−")
        others = [f"class {w}: {100 * now[w]:.0f} % ({score(w)})" for w in range(WAYS) if w != best]
        answer = f"class {best}, with {100 * now[best]:.0f} % ({score(best)})"
        return f"{after} the query is {answer}; {'; '.join(others)}."

    # Draw

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw thumbnails as the model sees them, bars for now, lines of scores over the steps."""
        above, below = figure.subfigures(2, 1, height_ratios=[1, 2.4])
        self._thumbs = []
        for way, ax in enumerate(above.subplots(1, WAYS + 1)):
            ax.set_title("query" if way == WAYS else f"class {way}", fontsize=10)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set(visible=True, color="0.7", linewidth=0.8)
            self._thumbs.append(ax.imshow(BLANK, cmap="gray_r", vmin=0, vmax=1))
        left, right = below.subplots(1, 2)
        self._bars = left.bar(range(WAYS), [0] * WAYS, color=[to_rgb(c) for c in COLOURS])
        left.set(ylim=(0, 105), xlabel="class", ylabel="probability (%)")
        steps = range(MOST_STEPS + 1)
        right.set(xlim=(-0.2, MOST_STEPS + 1.1), ylim=SCORES, xticks=steps)
        right.set(xlabel="gradient steps", ylabel="score (mean 0)")
        self._lines = []
        for way, (color, marker) in enumerate(zip(COLOURS, MARKERS, strict=True)):
            look = {"linewidth": 5.6 - 1.1 * way, "markersize": 8.6 - way}  # none hides another
            self._lines += right.plot(steps, [0] * len(steps), c=color, marker=marker, **look)
        place = {"x": MOST_STEPS + 0.22, "y": 0, "va": "center", "fontsize": 9}
        self._names = [right.text(s=f"class {w}", color=c, **place) for w, c in enumerate(COLOURS)]
        self._now = right.axvline(1, color="black", linewidth=1, alpha=0.5)
        return [*self._thumbs, *self._bars, *self._lines, *self._names, self._now]

    def move(self) -> None:
        """Show the drawings' means and the probabilities, if there are any yet."""
        query = [] if self.query_image is None else [self.query_image]
        for thumb, images in zip(self._thumbs, [*self.drawings, query], strict=True):
            thumb.set_data(torch.stack(images).mean(0)[0] if images else BLANK)
        ready = self.scores is not None
        scores = self.scores if ready else torch.zeros(MOST_STEPS + 1, WAYS)
        percent = 100 * scores.softmax(-1) * ready
        heights = _spread(scores[-1].clamp(*SCORES).tolist())
        for way, (bar, line) in enumerate(zip(self._bars, self._lines, strict=True)):
            bar.set_height(float(percent[self.steps.value, way]))
            line.set(ydata=scores[:, way].clamp(*SCORES), visible=ready)
            self._names[way].set(y=heights[way], visible=ready)
        self._now.set_xdata([self.steps.value] * 2)


def _spread(heights: list[float], gap: float = 11) -> list[float]:
    """Return heights for names at the ends of lines: in order, `gap` apart, and near their line."""
    order = torch.tensor(heights).argsort(stable=True).tolist()
    placed = list(heights)
    for low, high in 50 * list(pairwise(order)):  # neighbours push each other apart
        push = max(0.0, gap - placed[high] + placed[low]) / 2
        placed[low], placed[high] = max(placed[low] - push, SCORES[0]), placed[high] + push
    return placed


def _balance(
    x: Float[Tensor, "drawings 1 28 28"], y: Int[Tensor, " drawings"]
) -> tuple[Tensor, Tensor]:
    """Repeat drawings until every class has as many, so that none counts for more."""
    most = int(y.bincount().max())
    index = torch.cat([torch.where(y == way)[0].repeat(most)[:most] for way in range(WAYS)])
    return x[index], y[index]
