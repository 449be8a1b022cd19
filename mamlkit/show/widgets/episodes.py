"""The episode viewer: N-way K-shot tasks under the reader's hands (notebook 06)."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import pad

from mamlkit import checks, devices
from mamlkit.learners.base import Learner
from mamlkit.show import plots
from mamlkit.show.widgets.explorer import WIDE, Explorer, slider
from mamlkit.tasks.fewshot import FewShot

MOST_WAYS, MOST_SHOTS, QUERIES = 20, 5, 10
EXAMPLES = MOST_SHOTS + QUERIES // 2  # of a class, with two ways
CELL = 30  # pixels of a drawing with its border
RIGHT, WRONG = "#009E73", "#D55E00"


class EpisodeViewer(Explorer):
    """Episodes of any split, ways and shots: guess, then *reveal* labels and answers.

    splits: name -> images `[classes, examples, channels, 28, 28]`, of at least 20 classes and 10
        examples each.
    learner_of: `ways -> learner`, of learners that share `params`, such as
        `mamlkit.recipes.omniglot.learner`; without one only labels are revealed.

    State: `split`, `ways`, `shots`, `rotations`, `seed` and the button `reveal`. Compute: `task`,
    whose ten queries are in random order, and, once revealed, `before` and `after`: the learner's
    scores for them `[10, ways]` before adaptation and after one step. Draw: `picture`.

    Raises ValueError for splits that are too small for the sliders.

    >>> from mamlkit import glyphs
    >>> viewer = EpisodeViewer({"invented": glyphs(20).images})
    >>> viewer.ways.value = 3
    >>> viewer.task.support_x.shape, viewer.task.query_x.shape
    (torch.Size([3, 1, 28, 28]), torch.Size([10, 1, 28, 28]))
    """

    size = 9.2, 4.4

    def __init__(
        self,
        splits: dict[str, Tensor],
        learner_of: Callable[[int], Learner] | None = None,
        params: Any = None,
        *,
        seed: int = 0,
    ) -> None:
        for name, images in splits.items():
            classes, examples = images.shape[:2]
            if classes < MOST_WAYS or examples < EXAMPLES:
                raise ValueError(
                    f"EpisodeViewer: {name} has {classes} classes of {examples} examples; the "
                    f"sliders need {MOST_WAYS} classes of {EXAMPLES}"
                )
        self.splits, self.learner_of, self.params = splits, learner_of, params
        self.first_seed = checks.check_int("EpisodeViewer", "seed", seed, low=0, high=999)
        super().__init__()

    # State

    def build_controls(self) -> widgets.Widget:
        """Return the sliders, the choice of the split and the button."""
        self.split = widgets.Dropdown(options=list(self.splits), description="split", **WIDE)
        self.ways = slider("ways N", 5, 2, MOST_WAYS)
        self.shots = slider("shots K", 1, 1, MOST_SHOTS)
        self.rotations = widgets.Checkbox(description="turn each class", style=WIDE["style"])
        self.seed = slider("episode (seed)", self.first_seed, 0, 999)
        self.reveal = widgets.ToggleButton(description="reveal", tooltip="labels and answers")
        for control in (self.split, self.ways, self.shots, self.rotations, self.seed):
            control.observe(lambda _: self._show_another(), names="value")
        self.watch(self.reveal)
        left = widgets.VBox([self.split, self.ways, self.shots])
        right = widgets.VBox([self.seed, self.rotations, self.reveal])
        return widgets.HBox([left, right])

    def _show_another(self) -> None:
        if self.reveal.value:
            self.reveal.value = False  # refreshes
        else:
            self.refresh()

    # Compute

    def compute(self) -> None:
        """Draw the episode; adapt and answer if that is asked for."""
        ways, generator = self.ways.value, devices.generator(self.seed.value, "cpu")
        images, rotations = self.splits[self.split.value], self.rotations.value
        distribution = FewShot(images, ways, rotations=rotations, device="cpu")
        queries = -(-QUERIES // ways)  # of a class, so that there are ten in all
        task = distribution.sample(1, self.shots.value, queries, generator=generator).task(0)
        order = torch.randperm(len(task.query_y), generator=generator)[:QUERIES]
        self.task = task._replace(query_x=task.query_x[order], query_y=task.query_y[order])
        self.before = self.after = None
        if self.reveal.value and self.learner_of:
            learner = self.learner_of(ways)
            with torch.no_grad():
                path = learner.trajectory(self.params, self.task.support, 1)
                self.before, self.after = (
                    learner.predict(adapted, self.task.query_x) for adapted in path
                )

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        ways, shots = self.ways.value, self.shots.value
        what = (
            f"A {ways}-way {shots}-shot episode of the {self.split.value} split"
            f"{', each class turned by a random right angle or none' * self.rotations.value}: "
            f"{ways * shots} support drawings, labelled, and ten queries."
        )
        if not self.reveal.value:
            return f"{what} Which label has each query? Press reveal to see."
        labels = f"The queries' labels are {', '.join(map(str, self.task.query_y.tolist()))}."
        if self.after is None:
            return f"{what} {labels}"
        undecided = torch.equal(self.before.amax(1), self.before.amin(1))
        start = f"has {self._count_right(self.before)} of ten right"
        answers = ", ".join(map(str, self.after.argmax(1).tolist()))
        return (
            f"{what} {labels} Before adaptation the model "
            f"{'gives every label the same score' if undecided else start}; after one gradient "
            f"step on the support set it says {answers}, and {self._count_right(self.after)} of "
            "its ten answers are right."
        )

    def _count_right(self, scores: Float[Tensor, "queries ways"]) -> int:
        return int((scores.argmax(1) == self.task.query_y).sum())

    # Draw

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw a sheet for the support set and one for the queries, with a text for each image."""
        upper, lower = figure.subplots(2, 1, height_ratios=[MOST_SHOTS, 3.2])
        self._sheets = []
        for ax, rows, columns in ((upper, MOST_SHOTS, MOST_WAYS), (lower, 1, QUERIES)):
            blank = torch.zeros(rows * CELL, columns * CELL)
            look = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
            self._sheets.append(ax.imshow(blank, **look))
            plots.remove_frame(ax)
        upper.set_title("support", loc="left", pad=16)
        lower.set_title("queries", loc="left")
        lower.set_ylim(CELL + 14, 0)
        above = {"ha": "center", "va": "bottom", "fontsize": 10, "color": "#0072B2"}
        below = {"ha": "center", "va": "top", "fontsize": 10}
        middles = [(i + 0.5) * CELL for i in range(MOST_WAYS)]
        self._labels = [upper.text(x, -2, "", **above) for x in middles]
        self._answers = [lower.text(x, CELL + 1, "", **below) for x in middles[:QUERIES]]
        return [*self._sheets, *self._labels, *self._answers]

    def move(self) -> None:
        """Put the drawings on the sheets, and the answers under them."""
        ways, shots = self.ways.value, self.shots.value
        support, y = self.task.support
        sheet = torch.zeros(MOST_SHOTS * CELL, MOST_WAYS * CELL)
        for way in range(ways):
            column = _frame(support[y == way]).flatten(0, 1)  # one under the other
            sheet[: shots * CELL, way * CELL : (way + 1) * CELL] = column
        self._sheets[0].set_data(sheet)
        self._sheets[1].set_data(torch.cat(list(_frame(self.task.query_x)), 1))
        for way, text in enumerate(self._labels):
            text.set_text(str(way) if way < ways else "")
        labels = self.task.query_y.tolist()
        answers = labels if self.after is None else self.after.argmax(1).tolist()
        for text, label, answer in zip(self._answers, labels, answers, strict=True):
            if not self.reveal.value:
                text.set(text="?", color="black")
            elif self.after is None:
                text.set(text=f"is {label}", color="black")
            elif answer == label:
                text.set(text=f"is {label}\nmodel: {answer} ✓", color=RIGHT)
            else:
                text.set(text=f"is {label}\nmodel: {answer} ✗", color=WRONG)


def _frame(images: Float[Tensor, "n channels 28 28"]) -> Float[Tensor, "n cell cell"]:
    return pad(images.mean(1), (1, 1, 1, 1), value=0.15)
