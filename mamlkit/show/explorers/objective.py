"""The meta-objective of two small tasks under a slider for the inner steps (notebook 01)."""

from functools import partial

import torch

from mamlkit import require
from mamlkit.show import plots
from mamlkit.show.explorers.canvas import Canvas
from mamlkit.show.explorers.explorer import Explorer, slider
from mamlkit.show.explorers.words import counted

END = 4  # of the starts that are shown


class ObjectiveExplorer(Explorer):
    """Two tasks L(θ) = ½ a (θ - b)²: where is the best start when m gradient steps follow?

    curvatures, optima: a > 0 and b of each of the two tasks, b between -4 and 4.
    lr: the inner step size α.

    State: the slider `m`. Compute: `objective`, the mean loss after m steps as a function of the
    start `theta`, and `best`, its minimum. Draw: `picture`, a PNG and a sentence.

    Raises ValueError for a number out of these bounds, TypeError where there are not two of each.

    >>> explorer = ObjectiveExplorer()
    >>> round(explorer.best, 2)
    -1.0
    >>> explorer.m.value = 10
    >>> round(explorer.best, 2)
    1.92
    """

    def __init__(self, curvatures=(3.0, 1.0), optima=(-2.0, 2.0), *, lr=0.1):
        two, number = (partial(f, "ObjectiveExplorer") for f in (require.pair, require.number))
        what = "numbers, one a task"
        curvatures = [number("a", a, above=0) for a in two("curvatures", curvatures, what)]
        optima = [number("b", b, least=-END, most=END) for b in two("optima", optima, what)]
        self.curvatures = torch.tensor(curvatures)[:, None]
        self.optima = torch.tensor(optima)[:, None]
        self.lr = require.number("ObjectiveExplorer", "lr", lr, above=0)
        self.theta = torch.linspace(-END, END, 801)
        super().__init__()

    def build_controls(self):
        """The slider."""
        self.m = slider("inner steps m", 0, 0, 10)
        self.watch(self.m)
        return self.m

    def compute(self):
        """Each task's loss after m steps: every step shrinks the distance to b by (1 - αa)."""
        shrink = (1 - self.lr * self.curvatures) ** self.m.value
        self.after = 0.5 * self.curvatures * (shrink * (self.theta - self.optima)) ** 2
        self.objective = self.after.mean(0)
        self.best = float(self.theta[self.objective.argmin()])

    def summary(self):
        """What the picture shows, in words and numbers."""
        loss = float(self.objective.min())
        steps = counted(self.m.value, "inner step")
        return f"With {steps} the best start is θ = {self.best:.2f}; its mean loss is {loss:.2f}."

    def build_figure(self):
        """The two tasks' losses, their mean, and its minimum."""
        with plots.style():
            return self._figure(Canvas(8.6, 3.3))

    def _figure(self, canvas):
        ax = canvas.figure.subplots()
        looks = [
            {key: plots.ROLES[role][key] for key in ("color", "linestyle")}
            for role in ("pretrained", "oracle")
        ]
        pairs = zip(self.curvatures[:, 0].tolist(), self.optima[:, 0].tolist(), strict=True)
        texts = [f"task with a = {a:g}, optimum {b:g}" for a, b in pairs]
        self._tasks = [
            ax.plot(self.theta, self.theta, label=text, **look)[0]
            for text, look in zip(texts, looks, strict=True)
        ]
        (self._mean,) = ax.plot(self.theta, self.theta, label="their mean", color="black")
        (self._best,) = ax.plot([0], [0], "o", color="black", markersize=9, label="best start")
        ax.set(ylim=(0, 12), xlabel="start θ", ylabel="loss after m steps")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        canvas.moving = [*self._tasks, self._mean, self._best]
        return canvas

    def move(self):
        """Move the artists."""
        for line, loss in zip(self._tasks, self.after, strict=True):
            line.set_ydata(loss)
        self._mean.set_ydata(self.objective)
        self._best.set_data([self.best], [float(self.objective.min())])
