"""The episode viewer: N-way K-shot tasks under the reader's hands (notebook 06)."""

import ipywidgets as widgets
import torch
from torch.nn.functional import pad

from mamlkit import devices, require
from mamlkit.show import plots
from mamlkit.show.explorers.canvas import Canvas
from mamlkit.show.explorers.explorer import LABEL, Explorer, slider, wide
from mamlkit.tasks.fewshot import FewShot

MOST_WAYS, MOST_SHOTS, QUERIES = 20, 5, 10
CELL = 30  # pixels of a drawing with its border
RIGHT, WRONG = "#009E73", "#D55E00"


class EpisodeViewer(Explorer):
    """Draw episodes of any split, ways and shots; guess; then *reveal* labels and answers.

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

    def __init__(self, splits, learner_of=None, params=None, *, seed=0):
        needed = MOST_SHOTS + QUERIES // 2  # examples, with two ways
        for name, images in splits.items():
            classes, examples = images.shape[:2]
            if classes < MOST_WAYS or examples < needed:
                raise ValueError(
                    f"EpisodeViewer: {name} has {classes} classes of {examples} examples; the "
                    f"sliders need {MOST_WAYS} classes of {needed}"
                )
        self.splits, self.learner_of, self.params = splits, learner_of, params
        self.first_seed = require.whole("EpisodeViewer", "seed", seed, least=0, most=999)
        self._kept = None, None
        super().__init__()

    # State

    def build_controls(self):
        """The controls, as a box."""
        self.split = widgets.Dropdown(
            options=list(self.splits), description="split", style=LABEL, layout=wide()
        )
        self.ways = slider("ways N", 5, 2, MOST_WAYS)
        self.shots = slider("shots K", 1, 1, MOST_SHOTS)
        self.rotations = widgets.Checkbox(description="turn each class", style=LABEL)
        self.seed = slider("episode (seed)", self.first_seed, 0, 999)
        self.reveal = widgets.ToggleButton(description="reveal", tooltip="labels and answers")
        for control in (self.split, self.ways, self.shots, self.rotations, self.seed):
            control.observe(lambda _: self._hide(), names="value")
        self.watch(self.reveal)
        left = widgets.VBox([self.split, self.ways, self.shots])
        right = widgets.VBox([self.seed, self.rotations, self.reveal])
        return widgets.HBox([left, right])

    def _hide(self):
        """Another episode: its answers are hidden until they are asked for."""
        if self.reveal.value:
            self.reveal.value = False  # refreshes
        else:
            self.refresh()

    # Compute

    def compute(self):
        """Draw the episode; adapt and answer if that is asked for."""
        ways, shots = self.ways.value, self.shots.value
        distribution = self._distribution()
        each = -(-QUERIES // ways)  # so that there are ten in all
        generator = devices.generator(self.seed.value, "cpu")
        task = distribution.sample(1, shots, each, generator=generator).task(0)
        order = torch.randperm(len(task.query_y), generator=generator)[:QUERIES]
        self.task = task._replace(query_x=task.query_x[order], query_y=task.query_y[order])
        self.before = self.after = None
        if self.reveal.value and self.learner_of:
            learner = self.learner_of(ways)
            with torch.no_grad():
                path = learner.trajectory(self.params, self.task.support, 1)
                self.before, self.after = (
                    learner.predict(theta, self.task.query_x) for theta in path
                )

    def _distribution(self):
        """The tasks of these controls; kept, since a move of the seed changes nothing of them."""
        form = self.split.value, self.ways.value, self.rotations.value
        if form != self._kept[0]:
            split, ways, rotations = form
            made = FewShot(self.splits[split], ways, rotations=rotations, device="cpu")
            self._kept = form, made
        return self._kept[1]

    def summary(self):
        """What the picture shows, in words and numbers."""
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
        said = self.after.argmax(1)
        right = int((said == self.task.query_y).sum())
        answers = ", ".join(map(str, said.tolist()))
        return (
            f"{what} {labels} Before adaptation the model {self._undecided()}; after one gradient "
            f"step on the support set it says {answers}, and {right} of its ten answers are right."
        )

    def _undecided(self):
        if torch.equal(self.before.amax(1), self.before.amin(1)):
            return "gives every label the same score"
        right = int((self.before.argmax(1) == self.task.query_y).sum())
        return f"has {right} of ten right"

    # Draw

    def build_figure(self):
        """One sheet for the support set, one for the queries, with a text for each drawing."""
        with plots.style():
            return self._figure(Canvas(9.2, 4.4))

    def _figure(self, canvas):
        upper, lower = canvas.figure.subplots(2, 1, height_ratios=[MOST_SHOTS, 3.2])
        blank = lambda rows, columns: torch.zeros(rows * CELL, columns * CELL)
        show = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        self._sheets = [
            upper.imshow(blank(MOST_SHOTS, MOST_WAYS), **show),
            lower.imshow(blank(1, QUERIES), aspect="equal", **show),
        ]
        for ax, title in ((upper, "support"), (lower, "queries")):
            ax.set_title(title, loc="left", pad=16 if ax is upper else 6)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set_visible(False)
        middle = {"ha": "center", "va": "bottom", "fontsize": 10, "color": "#0072B2"}
        self._labels = [
            upper.text((way + 0.5) * CELL, -2, "", **middle) for way in range(MOST_WAYS)
        ]
        below = {"ha": "center", "va": "top", "fontsize": 10}
        self._answers = [
            lower.text((i + 0.5) * CELL, CELL + 1, "", **below) for i in range(QUERIES)
        ]
        lower.set_ylim(CELL + 14, 0)
        canvas.moving = [*self._sheets, *self._labels, *self._answers]
        return canvas

    def move(self):
        """Put the drawings on the sheets, and the answers under them."""
        ways, shots = self.ways.value, self.shots.value
        support, y = self.task.support
        sheet = torch.zeros(MOST_SHOTS * CELL, MOST_WAYS * CELL)
        for way in range(ways):
            column = _framed(support[y == way]).flatten(0, 1)  # one under the other
            sheet[: shots * CELL, way * CELL : (way + 1) * CELL] = column
        self._sheets[0].set_data(sheet)
        self._sheets[1].set_data(torch.cat(list(_framed(self.task.query_x)), 1))
        for way, text in enumerate(self._labels):
            text.set_text(str(way) if way < ways else "")
        answers = None if self.after is None else self.after.argmax(1).tolist()
        for i, text in enumerate(self._answers):
            label = int(self.task.query_y[i])
            if not self.reveal.value:
                text.set(text="?", color="black")
            elif answers is None:
                text.set(text=f"is {label}", color="black")
            else:
                right = answers[i] == label
                said = f"is {label}\nmodel: {answers[i]} {'✓' if right else '✗'}"
                text.set(text=said, color=RIGHT if right else WRONG)


def _framed(images):
    """Grey pictures `[n, CELL, CELL]` with a thin frame, of `[n, channels, 28, 28]`."""
    return pad(images.mean(1), (1, 1, 1, 1), value=0.15)
