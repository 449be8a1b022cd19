"""The meta-objective of two small tasks under a slider for the inner steps (notebook 01)."""

import ipywidgets as widgets
import torch
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from mamlkit import checks
from mamlkit.show import plots
from mamlkit.show.widgets.explorer import Explorer, pluralize, slider

END = 4  # of the starts that are shown
CALLER = "ObjectiveExplorer"


class ObjectiveExplorer(Explorer):
    """Two tasks L(θ) = ½ a (θ - b)² and the best start when m gradient steps follow.

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

    size = 8.6, 3.3

    def __init__(
        self,
        curvatures: tuple[float, float] = (3.0, 1.0),
        optima: tuple[float, float] = (-2.0, 2.0),
        *,
        lr: float = 0.1,
    ) -> None:
        curvatures = checks.check_pair(CALLER, "curvatures", curvatures, "numbers, one a task")
        optima = checks.check_pair(CALLER, "optima", optima, "numbers, one a task")
        a = [checks.check_float(CALLER, "a", value, above=0) for value in curvatures]
        b = [checks.check_float(CALLER, "b", value, low=-END, high=END) for value in optima]
        self.curvatures, self.optima = torch.tensor(a)[:, None], torch.tensor(b)[:, None]
        self.lr = checks.check_float(CALLER, "lr", lr, above=0)
        self.theta = torch.linspace(-END, END, 801)
        super().__init__()

    def build_controls(self) -> widgets.Widget:
        """Return the slider."""
        self.m = slider("inner steps m", 0, 0, 10)
        self.watch(self.m)
        return self.m

    def compute(self) -> None:
        """Compute each task's loss after m steps, of which each shrinks θ - b by (1 - αa)."""
        shrink = (1 - self.lr * self.curvatures) ** self.m.value
        self.after = 0.5 * self.curvatures * (shrink * (self.theta - self.optima)) ** 2
        self.objective = self.after.mean(0)
        self.best = float(self.theta[self.objective.argmin()])

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        loss = float(self.objective.min())
        steps = pluralize(self.m.value, "inner step")
        return f"With {steps} the best start is θ = {self.best:.2f}; its mean loss is {loss:.2f}."

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw the two tasks' losses, their mean, and its minimum."""
        ax = figure.subplots()
        self._tasks = []
        pairs = zip(self.curvatures[:, 0], self.optima[:, 0], strict=True)
        for (a, b), name in zip(pairs, ("pretrained", "oracle"), strict=True):
            look = plots.role(name, marker=None, label=f"task with a = {a:g}, optimum {b:g}")
            self._tasks += ax.plot(self.theta, self.theta, **look)
        (self._mean,) = ax.plot(self.theta, self.theta, label="their mean", color="black")
        (self._best,) = ax.plot([0], [0], "o", color="black", markersize=9, label="best start")
        ax.set(ylim=(0, 12), xlabel="start θ", ylabel="loss after m steps")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return [*self._tasks, self._mean, self._best]

    def move(self) -> None:
        """Move the artists to what was computed."""
        for line, loss in zip(self._tasks, self.after, strict=True):
            line.set_ydata(loss)
        self._mean.set_ydata(self.objective)
        self._best.set_data([self.best], [float(self.objective.min())])
