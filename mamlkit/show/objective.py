"""The meta-objective of two small tasks under a slider for the inner steps (notebook 01)."""

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from mamlkit import require
from mamlkit.show import plots, still


class ObjectiveExplorer:
    """Two tasks L(θ) = ½ a (θ - b)²: where is the best start when m gradient steps follow?

    curvatures, optima: a and b of each task. lr: the inner step size α.

    State: the slider `m`. Compute: `objective`, the mean loss after m steps as a function of the
    start `theta`, and `best`, its minimum. Draw: the PNG in `picture`.

    >>> explorer = ObjectiveExplorer()
    >>> round(explorer.best, 2)
    -1.0
    >>> explorer.m.value = 10
    >>> round(explorer.best, 2)
    1.92
    """

    def __init__(self, curvatures=(3.0, 1.0), optima=(-2.0, 2.0), *, lr=0.1):
        self.curvatures = torch.tensor(curvatures)[:, None]
        self.optima = torch.tensor(optima)[:, None]
        self.lr = require.number("ObjectiveExplorer", "lr", lr, above=0)
        self.theta = torch.linspace(-4, 4, 801)
        self.m = widgets.IntSlider(
            value=0, min=0, max=10, description="inner steps m", continuous_update=True
        )
        self.m.style.description_width = "8em"
        self.m.observe(lambda _: self.refresh(), names="value")
        self.picture = widgets.Image(format="png", layout=widgets.Layout(width="860px"))
        self.sentence = widgets.HTML()
        self.box = widgets.VBox([self.m, self.picture, self.sentence])
        self._build_figure()
        self.refresh()

    def refresh(self):
        """Compute and draw what the slider now says."""
        self.compute()
        self.draw()

    def compute(self):
        """Each task's loss after m steps: every step shrinks the distance to b by (1 - αa)."""
        shrink = (1 - self.lr * self.curvatures) ** self.m.value
        self.after = 0.5 * self.curvatures * (shrink * (self.theta - self.optima)) ** 2
        self.objective = self.after.mean(0)
        self.best = float(self.theta[self.objective.argmin()])

    def summary(self):
        """What the picture shows, in words and numbers."""
        loss = float(self.objective.min())
        steps = f"{self.m.value} inner step{'s' * (self.m.value != 1)}"
        return f"With {steps} the best start is θ = {self.best:.2f}; its mean loss is {loss:.2f}."

    def _build_figure(self):
        with plots.style():
            self.figure = Figure(figsize=(8.6, 3.3), layout="constrained")
            ax = self.figure.subplots()
        colours = (plots.ROLES["pretrained"], plots.ROLES["oracle"])
        self._tasks = [
            ax.plot(self.theta, self.theta, label=text, color=c["color"], linestyle=c["linestyle"])[
                0
            ]
            for text, c in zip(
                ("steep task, optimum -2", "flat task, optimum 2"), colours, strict=True
            )
        ]
        (self._mean,) = ax.plot(self.theta, self.theta, label="their mean", color="black")
        (self._best,) = ax.plot([0], [0], "o", color="black", markersize=9, label="best start")
        ax.set(ylim=(0, 12), xlabel="start θ", ylabel="loss after m steps")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    def draw(self):
        """Move the artists; render the PNG and the sentence."""
        for line, loss in zip(self._tasks, self.after, strict=True):
            line.set_ydata(loss)
        self._mean.set_ydata(self.objective)
        self._best.set_data([self.best], [float(self.objective.min())])
        self.picture.value = still.render(self.figure)
        self.sentence.value = self.summary()

    def _repr_mimebundle_(self, **_):
        return still.bundle(self)
