"""The navigation explorer: put the goal somewhere, and see what steps of experience do."""

from collections.abc import Iterable
from typing import Any

import ipywidgets as widgets
import torch
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from mamlkit import checks, devices
from mamlkit.learners.vmap import vmap_tasks
from mamlkit.show import plots
from mamlkit.show.widgets.explorer import Explorer, button, pluralize, slider
from mamlkit.show.widgets.starts import Learners
from mamlkit.tasks.batch import TaskBatch
from mamlkit.tasks.point_robot import PointRobot

FAR = 1.0  # of the goal from the origin on each axis; training went to half of it
MOST_STEPS = 5
DRAWN, JUDGED = 8, 20  # trajectories
WORST = -120.0  # of the right plot


class NavigationExplorer(Explorer):
    """Walks of trained policies toward a goal of the reader's own, before and after steps.

    learners: name -> `(learner, params)`; a name is a role of the plots, such as "MAML". Each is a
        `PolicyGradientMAML`. One named "oracle" is told the goal, and takes no step.
    shown: the names whose boxes are ticked at first; all, if not given.
    seed: of the noise; the button *new noise* moves to the next.

    State: the controls `goal_x`, `goal_y` (or a click on the left plot), `steps`, the boxes
    `ticks[name]`, and the `seed`. Compute: `paths` (name -> `[steps + 1, walks, horizon, 2]`) and
    `returns` (name -> mean return after 0, 1, ... steps). Draw: `picture`, a PNG and a sentence.

    Raises ValueError for a name that is no role.

    >>> from mamlkit import GaussianPolicy, PolicyGradientMAML
    >>> learner = PolicyGradientMAML(GaussianPolicy(), PointRobot(device="cpu"), lr=0.1)
    >>> explorer = NavigationExplorer({"random": (learner, learner.init())})
    >>> explorer.goal_x.value = -0.4
    >>> len(explorer.returns["random"])
    6
    """

    size = 9.2, 4.2

    def __init__(
        self, learners: Learners, *, shown: Iterable[str] | None = None, seed: int = 0
    ) -> None:
        self.shown = tuple(learners if shown is None else shown)
        for name in learners:
            checks.check_choice("NavigationExplorer", "a learner's name", name, tuple(plots.ROLES))
        for name in self.shown:
            checks.check_choice("NavigationExplorer", "shown", name, tuple(learners))
        self.learners = learners
        self.seed = checks.check_int("NavigationExplorer", "seed", seed, low=0)
        self._walks = {}  # (name, goal, seed) -> paths and returns; moving `steps` walks no more
        super().__init__()
        self.picture.on_click(self._set_goal)

    def build_controls(self) -> widgets.Widget:
        """Return the sliders, the boxes and the button."""
        self.goal_x = slider("goal, x", 0.3, -FAR, FAR, 0.05)
        self.goal_y = slider("goal, y", -0.4, -FAR, FAR, 0.05)
        self.steps = slider("gradient steps", 1, 0, MOST_STEPS)
        tick = lambda name: widgets.Checkbox(
            value=name in self.shown, description=name, indent=False,
            layout={"width": "auto", "margin": "0 1.5em 0 0"},
        )  # fmt: skip
        self.ticks = {name: tick(name) for name in self.learners}
        self.watch(self.goal_x, self.goal_y, self.steps, *self.ticks.values())
        self.new_noise = button("new noise", self.draw_new_noise, "Draw all trajectories anew")
        goal = widgets.VBox([self.goal_x, self.goal_y])
        row = widgets.HBox([*self.ticks.values(), self.new_noise])
        return widgets.VBox([widgets.HBox([goal, self.steps]), row])

    def draw_new_noise(self) -> None:
        """Move to another draw of all trajectories."""
        self.seed += 1
        self.refresh()

    def _set_goal(self, across: float, down: float) -> None:
        pixel = across * self.canvas.width, (1 - down) * self.canvas.height
        x, y = (float(value) for value in self.left.transData.inverted().transform(pixel))
        if abs(x) <= FAR and abs(y) <= FAR:
            self.goal_x.value, self.goal_y.value = x, y

    def compute(self) -> None:
        """Walk, adapt and walk again with every ticked learner."""
        goal = self.goal_x.value, self.goal_y.value
        ticked = [name for name, tick in self.ticks.items() if tick.value]
        walks = {}
        for name in ticked:
            key = name, goal, self.seed
            walks[key] = self._walks[key] if key in self._walks else self._walk(*key)
        self._walks = walks
        self.paths = {name: paths for (name, *_), (paths, _) in walks.items()}
        self.returns = {name: values for (name, *_), (_, values) in walks.items()}

    def _walk(self, name: str, goal: tuple[float, float], seed: int) -> tuple[Tensor, list[float]]:
        learner, params = self.learners[name]
        robot = PointRobot(reveal=name == "oracle", device="cpu")
        shots, generator = MOST_STEPS * learner.trajectories, devices.generator(seed, "cpu")
        batch = robot.toward(torch.tensor([goal]), shots, JUDGED, generator=generator)

        def walk(task: TaskBatch) -> Tensor:
            steps = 0 if name == "oracle" else MOST_STEPS
            policies = list(learner.trajectory(params, task.support, steps))
            paths = [learner.predict(policy, task.query_x) for policy in policies]
            return torch.stack(paths * (1 if steps else MOST_STEPS + 1))

        with torch.no_grad():
            paths = vmap_tasks(walk, learner.module, batch)[0]
        return paths, [float(robot.returns(path, batch.query_y[0])) for path in paths]

    def _walked(self, path: Tensor) -> list[Any]:
        """Return each walk from the origin to its end."""
        goal = torch.tensor([self.goal_x.value, self.goal_y.value]).expand(len(path), 2)
        alive = PointRobot(device="cpu").rewards(path, goal)[1] > 0
        walks = zip(path, alive, strict=True)
        return [torch.cat([torch.zeros(1, 2), walk[here]]).numpy() for walk, here in walks]

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        steps = pluralize(self.steps.value, "gradient step")
        note = {"oracle": " (told the goal, it takes no steps)"}
        parts = [
            f"{name} {values[self.steps.value]:.1f}{note.get(name, '')}"
            for name, values in self.returns.items()
        ]
        results = (
            f"Mean return after {steps}: {', '.join(parts)}." if parts else "No box is ticked."
        )
        beyond = max(abs(self.goal_x.value), abs(self.goal_y.value)) > 0.5
        where = f"A goal at ({self.goal_x.value:.2f}, {self.goal_y.value:.2f})"
        return f"{where}{', beyond the square of training' if beyond else ''}. {results}"

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw the square, the paths and the goal beside the returns over the steps."""
        self.left, right = figure.subplots(1, 2, width_ratios=[1, 1])
        square = [-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5]
        self.left.plot(*square, color="black", linewidth=0.8, linestyle=":")
        limit = 1.1 * FAR
        self.left.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="x", ylabel="y")
        self.left.set(aspect="equal", title="The walks")
        self._lines, self._returns = {}, {}
        for name in self.learners:
            look = {"colors": plots.ROLES[name]["color"], "linewidths": 1, "alpha": 0.7}
            self._lines[name] = self.left.add_collection(LineCollection([], **look))
            steps = range(MOST_STEPS + 1)
            style = plots.role(name)
            (self._returns[name],) = right.plot(steps, [0.0] * len(steps), label=name, **style)
        (self._goal,) = self.left.plot([0], [0], "*", color="black", markersize=13, zorder=5)
        self._now = right.axvline(1, color="black", linewidth=1, alpha=0.5)
        right.set(ylim=(WORST, 5), xlabel="gradient steps", ylabel="mean return")
        right.set_title("The returns")
        figure.legend(*right.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        return [*self._lines.values(), *self._returns.values(), self._goal, self._now]

    def move(self) -> None:
        """Move the artists to what was computed."""
        now = self.steps.value
        for name in self.learners:
            shown = name in self.paths
            self._lines[name].set_visible(shown)
            self._returns[name].set_visible(shown)
            if shown:
                self._lines[name].set_segments(self._walked(self.paths[name][now, :DRAWN]))
                self._returns[name].set_ydata(self.returns[name])
        self._goal.set_data([self.goal_x.value], [self.goal_y.value])
        self._now.set_xdata([now] * 2)
