"""The K-shot explorer: trained networks under the reader's hands (notebooks 00 and 04)."""

import math
from collections.abc import Iterable

import ipywidgets as widgets
import torch
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mamlkit import checks, devices
from mamlkit.show import plots
from mamlkit.show.widgets.explorer import WIDE, Explorer, button, format_error, pluralize, slider
from mamlkit.show.widgets.starts import Learners, check_plain_descent, descend, group_alike
from mamlkit.tasks.sinusoids import Sinusoids, Waves, sine

GRID = 200  # points on which fits are drawn and errors measured
MOST_SHOTS = 20
MOST_STEPS = 20
HEIGHT = 9.0  # of the left plot's upper half: room for an amplitude of 8
ERRORS = 0.001, 60.0  # range of the right plot
TRAINED = Sinusoids(device="cpu")  # the amplitudes and phases that training drew from


class KShotExplorer(Explorer):
    """Adaptation of trained sine networks to a wave of the reader's own, live.

    learners: name -> `(learner, params)`; a name is a role of the plots, such as "MAML". Each is
        adapted by plain gradient descent on its own loss, with the step size of the slider. One
        named "oracle" is told amplitude and phase beside x, and takes no step.
    shown: the names whose boxes are ticked at first; all, if not given.
    seed: of the support points; the button *new points* moves to the next.

    State: the controls `k`, `steps`, `lr`, `amplitude`, `phase`, `noise`, the boxes `ticks[name]`,
    the `seed` and the points `added` by `add_point(x, y)` or a click on the left plot.
    Compute: `support_x`, `support_y`, `curves` (name -> fit on `x`) and `errors` (name -> MSE on
    the true wave after 0, 1, ... steps). Draw: `picture`, a PNG and a sentence.

    Raises TypeError for a learner whose inner loop is not plain gradient descent, ValueError for a
    name that is no role.

    >>> from mamlkit.show.widgets.starts import sine_learners
    >>> explorer = KShotExplorer(sine_learners(), shown=("MAML", "pretrained"))
    >>> explorer.k.value = 3
    >>> len(explorer.support_x), len(explorer.errors["MAML"])
    (3, 21)
    """

    def __init__(
        self, learners: Learners, *, shown: Iterable[str] | None = None, seed: int = 0
    ) -> None:
        if not learners:
            raise ValueError("KShotExplorer: learners is empty; give at least one, by name")
        self.shown = tuple(learners if shown is None else shown)
        for name, (learner, _) in learners.items():
            checks.check_choice("KShotExplorer", "a learner's name", name, tuple(plots.ROLES))
            check_plain_descent("KShotExplorer", name, learner)
        for name in self.shown:
            checks.check_choice("KShotExplorer", "shown", name, tuple(learners))
        self.learners = learners
        self.seed = checks.check_int("KShotExplorer", "seed", seed, low=0)
        self.x = torch.linspace(*TRAINED.x, GRID)[:, None]
        self.added = []
        self._groups = list(group_alike(learners))
        super().__init__()
        self.picture.on_click(self._add_clicked)

    # State

    def build_controls(self) -> widgets.Widget:
        """Return the sliders, the boxes and the row of points."""
        self.k = slider("shots K", 5, 0, MOST_SHOTS)
        self.steps = slider("gradient steps", 1, 0, MOST_STEPS)
        self.lr = widgets.FloatLogSlider(
            value=0.01, min=-4, max=0, step=0.05, description="step size α",
            readout_format=".4f", **WIDE,
        )  # fmt: skip
        self.amplitude = slider("amplitude A", 3.0, 0.1, 8.0, 0.1)
        self.phase = slider("phase φ", 1.0, 0.0, round(2 * math.pi, 2), 0.01)
        self.noise = slider("noise (std of y)", 0.0, 0.0, 2.0, 0.05)
        tick = lambda name: widgets.Checkbox(
            value=name in self.shown, description=name, indent=False,
            layout={"width": "auto", "margin": "0 1.5em 0 0"},
        )  # fmt: skip
        self.ticks = {name: tick(name) for name in self.learners}
        left, right = (self.k, self.steps, self.lr), (self.amplitude, self.phase, self.noise)
        self.watch(*left, *right, *self.ticks.values())
        sliders = widgets.HBox([widgets.VBox(left), widgets.VBox(right)])
        ticks = widgets.HBox(list(self.ticks.values()))
        return widgets.VBox([sliders, ticks, self._build_point_row()])

    def _build_point_row(self) -> widgets.Widget:
        narrow = {"layout": {"width": "8em"}, "style": {"description_width": "2em"}, "step": 0.5}
        low, high = TRAINED.x
        self.point_x = widgets.BoundedFloatText(0, min=low, max=high, description="x", **narrow)
        self.point_y = widgets.BoundedFloatText(
            0, min=-HEIGHT, max=HEIGHT, description="y", **narrow
        )
        add = lambda: self.add_point(self.point_x.value, self.point_y.value)
        self.new_points = button("new points", self.draw_new_points, "Draw the K points anew")
        self.add = button("add point", add, "Add the point (x, y); or click on the plot")
        self.remove = button("remove added", self.remove_added, "Remove the points that you added")
        return widgets.HBox([self.new_points, self.point_x, self.point_y, self.add, self.remove])

    def draw_new_points(self) -> None:
        """Move to another draw of support points."""
        self.seed += 1
        self.refresh()

    def add_point(self, x: float, y: float) -> None:
        """Add a support point of the reader's own."""
        self.added.append((x, y))
        self.refresh()

    def remove_added(self) -> None:
        """Remove all points that were added."""
        self.added.clear()
        self.refresh()

    def _add_clicked(self, across: float, down: float) -> None:
        pixel = across * self.canvas.width, (1 - down) * self.canvas.height
        x, y = (float(value) for value in self.left.transData.inverted().transform(pixel))
        if TRAINED.x[0] <= x <= TRAINED.x[1] and abs(y) <= HEIGHT:
            self.add_point(x, y)

    # Compute

    def compute(self) -> None:
        """Adapt every ticked learner to the wave and points that the controls describe."""
        amplitude, phase = self.amplitude.value, self.phase.value
        wave = Waves(torch.full((1, 1, 1), amplitude), torch.full((1, 1, 1), phase))
        # Always the same 20 points of a seed, so that a larger K adds points and moves none.
        task = (
            Sinusoids(noise=self.noise.value, device="cpu")
            .points(wave, MOST_SHOTS, 1, devices.generator(self.seed, "cpu"))
            .task(0)
        )
        added = torch.tensor(self.added).view(-1, 2)
        self.support_x = torch.cat([task.support_x[: self.k.value], added[:, :1]])
        self.support_y = torch.cat([task.support_y[: self.k.value], added[:, 1:]])
        self.truth = sine(self.x, amplitude, phase)
        self.fits = {}
        for names, learner, starts in self._groups:
            if not any(self.ticks[name].value for name in names):
                continue
            support, x = (self.support_x, self.support_y), self.x
            if "oracle" in names:  # told all there is to know, it makes nothing of points
                x = torch.cat([x, torch.tensor([amplitude, phase]).expand(len(x), 2)], 1)
                support = support[0][:0], support[1][:0]
            fits = descend(learner, starts, support, x, lr=self.lr.value, steps=MOST_STEPS)
            self.fits |= dict(zip(names, fits, strict=True))
        self.fits = {name: self.fits[name] for name, tick in self.ticks.items() if tick.value}
        self.curves = {name: fits[self.steps.value] for name, fits in self.fits.items()}
        self.errors = {
            name: ((fits - self.truth) ** 2).mean((1, 2)).tolist()
            for name, fits in self.fits.items()
        }

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        steps = self.steps.value
        points = pluralize(len(self.support_x), "point")
        if self.added:
            points += f", {len(self.added)} of them added by hand"
        note = {"oracle": " (told the wave, it takes no steps)"}
        parts = [
            f"{name} {format_error(errors[steps])}{note.get(name, '')}"
            for name, errors in self.errors.items()
        ]
        results = "No learner is ticked."
        if parts:
            size = f"{pluralize(steps, 'gradient step')} of size {self.lr.value:.3g}"
            results = f"Mean squared error after {size}: {', '.join(parts)}."
        return (
            f"A wave of amplitude {self.amplitude.value:.1f} and phase {self.phase.value:.2f}, "
            f"seen at {points}. {results}{self._warn_beyond_training()}"
        )

    def _warn_beyond_training(self) -> str:
        ranges = {
            "amplitude": (self.amplitude.value, *TRAINED.amplitude),
            "phase": (self.phase.value, *TRAINED.phase),
            "noise": (self.noise.value, 0.0, 0.0),
        }
        beyond = [
            f"{name} {value:.2f} (training: {f'{low:.1f} to {high:.2f}' if high else 'none'})"
            for name, (value, low, high) in ranges.items()
            if not low <= value <= high + 0.01  # a slider's last step may pass π
        ]
        return f" Beyond training: {', '.join(beyond)}." if beyond else ""

    def state(self) -> dict[str, object]:
        """Return the state as plain numbers and lists, under the names that `k_shot.js` uses."""
        sliders = "k", "steps", "lr", "amplitude", "phase", "noise"
        shown = [name for name, tick in self.ticks.items() if tick.value]
        values = {name: getattr(self, name).value for name in sliders}
        return {**values, "shown": shown, "seed": self.seed, "added": [list(a) for a in self.added]}

    # Draw

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw the wave and the fits beside the errors over the steps."""
        self.left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        self.left.set_title("The wave and the fits")
        self._truth = plots.wave(self.left, self.x, 0 * self.x, "truth", label="true wave")
        self._lines, self._earlier, self._errors = {}, {}, {}
        steps = range(MOST_STEPS + 1)
        for name in self.learners:
            self._lines[name] = plots.wave(self.left, self.x, 0 * self.x, name)
            faint = {"colors": plots.ROLES[name]["color"], "linewidths": 0.8, "alpha": 0.25}
            self._earlier[name] = self.left.add_collection(LineCollection([], **faint))
            style = plots.role(name, markersize=5, markevery=5)
            (self._errors[name],) = right.plot(steps, [1] * len(steps), label=name, **style)
        self._support = plots.support(self.left, self.x[:1], self.x[:1])
        self._now = right.axvline(1, color="black", linewidth=1, alpha=0.5)
        self.left.set(ylim=(-HEIGHT, HEIGHT), xlim=TRAINED.x)
        right.set(
            yscale="log", ylim=ERRORS, xlabel="gradient steps", ylabel="mean squared error",
            title="Error on the whole wave",
        )  # fmt: skip
        right.set_xticks(range(0, MOST_STEPS + 1, 5))
        handles, labels = self.left.get_legend_handles_labels()
        handles.insert(1, handles.pop())  # the points come before the learners, who come and go
        labels.insert(1, labels.pop())
        legend = figure.legend(handles, labels, loc="outside upper center", ncols=8, fontsize=9)
        entries = zip(legend.legend_handles, legend.get_texts(), strict=True)
        self._keys = dict(zip(labels, entries, strict=True))
        parts = self._lines, self._earlier, self._errors
        artists = [artist for part in parts for artist in part.values()]
        return [self._truth, *artists, self._support, self._now, legend]

    def move(self) -> None:
        """Move the artists to what was computed."""
        self._truth.set_ydata(self.truth[:, 0])
        now, x = self.steps.value, self.x[:, 0]
        for name in self.learners:
            shown = name in self.curves
            for part in (self._lines, self._earlier, self._errors):
                part[name].set_visible(shown)
            for artist in self._keys[name]:
                artist.set_visible(shown)
            if shown:
                fits = self.fits[name][..., 0].nan_to_num(1e6, 1e6, -1e6).clamp(-1e6, 1e6)
                self._lines[name].set_ydata(fits[now])
                earlier = [torch.stack([x, fit], 1).numpy() for fit in fits[:now]]
                self._earlier[name].set_segments(earlier)
                errors = torch.tensor(self.errors[name]).nan_to_num(1e6)
                self._errors[name].set_ydata(errors.clamp(1e-6, 1e6))
        self._support.set_offsets(torch.cat([self.support_x, self.support_y], 1).numpy())
        self._now.set_xdata([now] * 2)
