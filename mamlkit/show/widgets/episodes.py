"""The episode viewer: N-way K-shot tasks under the reader's hands (notebook 06)."""

import re
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

QUERIES = 10  # of any episode
NAMES = "abcdefghij"  # of the queries
CELL, TEXT = 30, 14  # pixels of a drawing with its border, and of the text under it
ROW = CELL + TEXT
RIGHT, WRONG = "#009E73", "#D55E00"
SCORE = "You: {you} of ten; the model: {model} of ten."
TOTAL = "So far: you {you} of {all}, the model {model} of {all}."


class EpisodeViewer(Explorer):
    """Episodes of any split, ways and shots: type your labels, then *reveal* them and the model's.

    splits: name -> images `[classes, examples, channels, 28, 28]`, of at least 20 classes and 10
        examples each.
    learner_of: `ways -> learner`, of learners that share `params`, such as
        `mamlkit.recipes.omniglot.learner`; without one only labels are revealed.

    State: `split`, `ways`, `shots`, `rotations`, `seed`, the reader's own `labels` and the button
    `reveal`. Compute: `task`, whose ten queries are in random order, and, once revealed, `before`
    and `after`: the learner's scores for them `[10, ways]` before adaptation and after one step;
    `results`, how many of the ten the reader and the model had right in each episode; what was
    typed before its first *reveal* counts. Draw: `picture`; its sentence ends with the score.

    Raises ValueError for splits that are too small for the sliders. Labels that are not ten
    numbers below `ways` reveal nothing; the sentence says what to type.

    >>> from mamlkit import glyphs
    >>> viewer = EpisodeViewer({"invented": glyphs(20).images})
    >>> viewer.ways.value = 3
    >>> viewer.task.support_x.shape, viewer.task.query_x.shape
    (torch.Size([3, 1, 28, 28]), torch.Size([10, 1, 28, 28]))
    >>> viewer.labels.value, viewer.reveal.value = "0011020021", True
    >>> viewer.summary().split(". ")[1:]
    ["The queries' labels are 0, 0, 1, 1, 0, 2, 0, 1, 2, 2", 'You: 8 of ten.']
    """

    size = 9.2, 4.4
    most_ways, most_shots = 20, 5  # of the sliders, and of the sheet of the support set
    columns = 10  # of the sheet of queries

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
            if classes < self.most_ways or examples < self.most_shots + QUERIES // 2:
                raise ValueError(
                    f"EpisodeViewer: {name} has {classes} classes of {examples} examples; the "
                    f"sliders need {self.most_ways} classes of {self.most_shots + QUERIES // 2}"
                )
        self.splits, self.learner_of, self.params = splits, learner_of, params
        self.results: dict[tuple, tuple[int, int | None]] = {}
        self.first_seed = checks.check_int("EpisodeViewer", "seed", seed, low=0, high=999)
        super().__init__()

    # State

    def build_controls(self) -> widgets.Widget:
        """Return the sliders, the choice of the split and the button."""
        self.split = widgets.Dropdown(options=list(self.splits), description="split", **WIDE)
        self.ways = slider("ways N", 5, 2, self.most_ways)
        self.shots = slider("shots K", 1, 1, self.most_shots)
        self.rotations = widgets.Checkbox(description="turn each class", style=WIDE["style"])
        self.seed = slider("episode (seed)", self.first_seed, 0, 999)
        hint = {"placeholder": "ten, for a to j", "continuous_update": False}
        self.labels = widgets.Text(description="your labels", **hint, **WIDE)
        self.reveal = widgets.ToggleButton(description="reveal", tooltip="labels and answers")
        for control in (self.split, self.ways, self.shots, self.rotations, self.seed):
            control.observe(lambda _: self._show_another(), names="value")
        self.watch(self.labels, self.reveal)
        left = widgets.VBox([self.split, self.ways, self.shots])
        right = widgets.VBox([self.seed, self.rotations, self.labels, self.reveal])
        return widgets.HBox([left, right])

    def _show_another(self) -> None:
        if self.reveal.value or self.labels.value:
            self.reveal.value, self.labels.value = False, ""  # each refreshes
        else:
            self.refresh()

    # Compute

    def compute(self) -> None:
        """Draw the episode; adapt, answer and count if that is asked for."""
        ways, generator = self.ways.value, devices.generator(self.seed.value, "cpu")
        images, rotations = self.splits[self.split.value], self.rotations.value
        distribution = FewShot(images, ways, rotations=rotations, device="cpu")
        queries = -(-QUERIES // ways)  # of a class, so that there are ten in all
        task = distribution.sample(1, self.shots.value, queries, generator=generator).task(0)
        order = torch.randperm(len(task.query_y), generator=generator)[:QUERIES]
        self.task = task._replace(query_x=task.query_x[order], query_y=task.query_y[order])
        labels = parse_labels(self.labels.value, ways)
        self.revealed = self.reveal.value and (labels is not None or not self.labels.value.strip())
        self.before = self.after = self.result = None
        if self.revealed and self.learner_of:
            learner = self.learner_of(ways)
            with torch.no_grad():
                path = learner.trajectory(self.params, self.task.support, 1)
                self.before, self.after = (
                    learner.predict(adapted, self.task.query_x) for adapted in path
                )
        if self.revealed:  # what was typed before the answers were seen; None: only looked
            result = None
            if labels:
                yours = int((torch.tensor(labels) == self.task.query_y).sum())
                result = yours, None if self.after is None else self._count_right(self.after)
            episode = self.split.value, ways, self.shots.value, rotations, self.seed.value
            self.result = self.results.setdefault(episode, result)

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
        if not self.revealed:
            return (
                f"{what} Your labels should be ten numbers from 0 to {ways - 1}, one for each "
                "query, a to j, such as 0 1 0 1 0 1 0 1 0 1; nothing is revealed yet."
            )
        labels = f"The queries' labels are {', '.join(map(str, self.task.query_y.tolist()))}."
        if self.after is None:
            return f"{what} {labels}{self._format_result()}"
        undecided = torch.equal(self.before.amax(1), self.before.amin(1))
        start = f"has {self._count_right(self.before)} of ten right"
        answers = ", ".join(map(str, self.after.argmax(1).tolist()))
        return (
            f"{what} {labels} Before adaptation the model "
            f"{'gives every label the same score' if undecided else start}; after one gradient "
            f"step on the support set it says {answers}, and {self._count_right(self.after)} of "
            f"its ten answers are right.{self._format_result()}"
        )

    def _format_result(self) -> str:
        """Return the reader's score, and from the second episode on the sums of all."""
        if self.result is None:
            return ""
        you, model = self.result
        if model is None:
            return f" You: {you} of ten."
        text = " " + SCORE.format(you=you, model=model)
        counted = [result for result in self.results.values() if result]
        if len(counted) > 1:
            you, model = map(sum, zip(*counted, strict=True))
            text += " " + TOTAL.format(you=you, model=model, all=QUERIES * len(counted))
        return text

    def _count_right(self, scores: Float[Tensor, "queries ways"]) -> int:
        return int((scores.argmax(1) == self.task.query_y).sum())

    # Draw

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw a sheet for the support set and one for the queries, with a text for each image."""
        rows = QUERIES // self.columns
        ratios = [self.most_shots * self.columns, 1.6 * rows * self.most_ways]
        upper, lower = figure.subplots(2, 1, height_ratios=ratios)
        self._sheets = []
        sheets = (upper, self.most_shots * CELL, self.most_ways), (lower, rows * ROW, self.columns)
        for ax, height, columns in sheets:
            blank = torch.zeros(height, columns * CELL)
            look = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
            self._sheets.append(ax.imshow(blank, **look))
            plots.remove_frame(ax)
        upper.set_title("support", loc="left", pad=16)
        lower.set_title("queries", loc="left")
        above = {"ha": "center", "va": "bottom", "fontsize": 10, "color": "#0072B2"}
        below = {"ha": "center", "va": "top", "fontsize": 10}
        middles = [(i + 0.5) * CELL for i in range(max(self.most_ways, self.columns))]
        self._labels = [upper.text(x, -2, "", **above) for x in middles[: self.most_ways]]
        places = [(x, row * ROW + CELL + 1) for row in range(rows) for x in middles[: self.columns]]
        self._answers = [lower.text(x, y, "", **below) for x, y in places]
        return [*self._sheets, *self._labels, *self._answers]

    def move(self) -> None:
        """Put the drawings on the sheets, and the answers under them."""
        ways, shots = self.ways.value, self.shots.value
        support, y = self.task.support
        sheet = torch.zeros(self.most_shots * CELL, self.most_ways * CELL)
        for way in range(ways):
            column = _frame(support[y == way]).flatten(0, 1)  # one under the other
            sheet[: shots * CELL, way * CELL : (way + 1) * CELL] = column
        self._sheets[0].set_data(sheet)
        rows = pad(_frame(self.task.query_x), (0, 0, 0, TEXT)).split(self.columns)
        self._sheets[1].set_data(torch.cat([torch.cat(list(row), 1) for row in rows]))
        wide = CELL * max(self.columns, ways, shots * self.most_ways // self.most_shots)
        ax = self._sheets[0].axes  # shows no more of the sheet than it must
        ax.set(xlim=(0, wide), ylim=(wide * self.most_shots / self.most_ways, 0))
        for way, text in enumerate(self._labels):
            text.set_text(str(way) if way < ways else "")
        labels = self.task.query_y.tolist()
        answers = labels if self.after is None else self.after.argmax(1).tolist()
        for text, query, label, answer in zip(self._answers, NAMES, labels, answers, strict=True):
            if not self.revealed:
                text.set(text=f"{query} ?", color="black")
            elif self.after is None:
                text.set(text=f"is {label}", color="black")
            elif answer == label:
                text.set(text=f"is {label}\nmodel: {answer} ✓", color=RIGHT)
            else:
                text.set(text=f"is {label}\nmodel: {answer} ✗", color=WRONG)


def _frame(images: Float[Tensor, "n channels 28 28"]) -> Float[Tensor, "n cell cell"]:
    return pad(images.mean(1), (1, 1, 1, 1), value=0.15)


def parse_labels(text: str, ways: int) -> list[int] | None:
    """Return the ten labels that a reader typed, or None where the text is anything else.

    >>> parse_labels("0123401234", 5) == parse_labels("0 1 2 3 4, 0 1 2 3 4", 5)
    True
    >>> parse_labels("01234", 5), parse_labels("0123456789", 5), parse_labels("ten", 5)
    (None, None, None)
    """
    words = text.replace(",", " ").split()
    words = list(words[0]) if len(words) == 1 else words
    labels = [int(word) for word in words if re.fullmatch(r"\d\d?", word)]
    is_complete = len(words) == len(labels) == QUERIES and max(labels) < ways
    return labels if is_complete else None
