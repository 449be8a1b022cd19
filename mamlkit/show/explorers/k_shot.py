"""The K-shot explorer: trained networks under the reader's hands (notebooks 00 and 04)."""

import math

import ipywidgets as widgets
import torch
from matplotlib.collections import LineCollection

from mamlkit import devices, require
from mamlkit.show import plots
from mamlkit.show.explorers.canvas import Canvas
from mamlkit.show.explorers.explorer import LABEL, Explorer, slider, wide
from mamlkit.show.explorers.starts import alike, require_plain_descent
from mamlkit.show.explorers.words import counted, span, told
from mamlkit.tasks.sinusoids import Sinusoids, Waves, sine

GRID = 200  # points on which fits are drawn and errors measured
MOST_SHOTS = 20
MOST_STEPS = 20
HEIGHT = 9.0  # of the left plot's upper half: room for an amplitude of 8
ERRORS = 0.001, 60.0  # range of the right plot
TRAINED = Sinusoids(device="cpu")  # the amplitudes and phases that training drew from


class KShotExplorer(Explorer):
    """Adapt trained sine networks to a wave of the reader's own, live.

    learners: name -> `(learner, params)`; a name is a role of the plots, such as "MAML". Each is
        adapted by plain gradient descent on its own loss, with the step size of the slider. One
        named "oracle" is told amplitude and phase beside x, and takes no step.
    shown: the names whose boxes are ticked at first; all, if not given.
    seed: of the support points; the button *new points* moves to the next.
    lr: the inner step size at first.

    State: the controls `k`, `steps`, `lr`, `amplitude`, `phase`, `noise`, the boxes `ticks[name]`,
    the `seed` and the points `added` by `add_point(x, y)` or a click on the left plot.
    Compute: `support_x`, `support_y`, `curves` (name -> fit on `x`) and `errors` (name -> MSE on
    the true wave after 0, 1, ... steps). Draw: `picture`, a PNG and a sentence.

    Raises TypeError for a learner whose inner loop is not plain gradient descent, ValueError for a
    name that is no role.

    >>> from mamlkit.show.explorers.starts import sine_learners
    >>> explorer = KShotExplorer(sine_learners(), shown=("MAML", "pretrained"))
    >>> explorer.k.value = 3
    >>> len(explorer.support_x), len(explorer.errors["MAML"])
    (3, 21)
    """

    def __init__(self, learners, *, shown=None, seed=0, lr=0.01):
        if not learners:
            raise ValueError("KShotExplorer: learners is empty; give at least one, by name")
        for name, (learner, _) in learners.items():
            require.choice("KShotExplorer", "a learner's name", name, tuple(plots.ROLES))
            require_plain_descent(name, learner)
        for name in learners if shown is None else shown:
            require.choice("KShotExplorer", "shown", name, tuple(learners))
        self.learners = learners
        self.shown = tuple(learners if shown is None else shown)
        self.seed = require.whole("KShotExplorer", "seed", seed, least=0)
        self.first_lr = require.number("KShotExplorer", "lr", lr, least=1e-4, most=1)
        low, high = TRAINED.x
        self.x = torch.linspace(low, high, GRID)[:, None]
        self.added = []
        self._descents = list(alike(learners))
        super().__init__()

    # State

    def build_controls(self):
        """The controls, as a box."""
        self.k = slider("shots K", 5, 0, MOST_SHOTS)
        self.steps = slider("gradient steps", 1, 0, MOST_STEPS)
        self.lr = widgets.FloatLogSlider(
            value=self.first_lr, min=-4, max=0, step=0.05, description="step size α",
            readout_format=".4f", style=LABEL, layout=wide(),
        )  # fmt: skip
        self.amplitude = slider("amplitude A", 3.0, 0.1, 8.0, 0.1)
        self.phase = slider("phase φ", 1.0, 0.0, round(2 * math.pi, 2), 0.01)
        self.noise = slider("noise (std of y)", 0.0, 0.0, 2.0, 0.05)
        tick = lambda name: widgets.Checkbox(
            value=name in self.shown, description=name, indent=False,
            layout=widgets.Layout(width="auto", margin="0 1.5em 0 0"),
        )  # fmt: skip
        self.ticks = {name: tick(name) for name in self.learners}
        sliders = self.k, self.steps, self.lr, self.amplitude, self.phase, self.noise
        self.watch(*sliders, *self.ticks.values())
        rows = [widgets.HBox([widgets.VBox(sliders[:3]), widgets.VBox(sliders[3:])])]
        return widgets.VBox([*rows, widgets.HBox(list(self.ticks.values())), self._point_row()])

    def _point_row(self):
        button = lambda text, tip, act: _clicked(widgets.Button(description=text, tooltip=tip), act)
        narrow = {"layout": widgets.Layout(width="8em"), "style": {"description_width": "2em"}}
        self.point_x = widgets.FloatText(value=0.0, step=0.5, description="x", **narrow)
        self.point_y = widgets.FloatText(value=0.0, step=0.5, description="y", **narrow)
        self.new_points = button("new points", "Draw the K points anew", self.draw_new_points)
        self.add = button("add point", "Add the point (x, y); or click on the plot", self._add)
        self.remove = button("remove added", "Remove the points that you added", self.remove_added)
        return widgets.HBox([self.new_points, self.point_x, self.point_y, self.add, self.remove])

    def draw_new_points(self):
        """Move to another draw of support points."""
        self.seed += 1
        self.refresh()

    def add_point(self, x, y):
        """Add a support point of the reader's own, wherever it lies in the picture."""
        low, high = TRAINED.x
        x = require.number("KShotExplorer", "x", x, least=low, most=high)
        y = require.number("KShotExplorer", "y", y, least=-HEIGHT, most=HEIGHT)
        self.added.append((x, y))
        self.refresh()

    def remove_added(self):
        """Remove all points that were added."""
        self.added.clear()
        self.refresh()

    def _add(self):
        low, high = TRAINED.x
        self.point_x.value = min(max(self.point_x.value, low), high)
        self.point_y.value = min(max(self.point_y.value, -HEIGHT), HEIGHT)
        self.add_point(self.point_x.value, self.point_y.value)

    def _clicked(self, across, down):
        pixel = across * self.canvas.width, (1 - down) * self.canvas.height
        x, y = (float(value) for value in self.left.transData.inverted().transform(pixel))
        (low, high), top = TRAINED.x, HEIGHT
        if low <= x <= high and -top <= y <= top:
            self.add_point(x, y)

    # Compute

    def compute(self):
        """Adapt every ticked learner to the wave and points that the controls describe."""
        amplitude, phase = self.amplitude.value, self.phase.value
        wave = Waves(torch.full((1, 1, 1), amplitude), torch.full((1, 1, 1), phase))
        # Always the same 20 points of a seed, so that a larger K adds points and moves none.
        drawn = Sinusoids(noise=self.noise.value, device="cpu").points(
            wave, MOST_SHOTS, 1, devices.generator(self.seed, "cpu")
        )
        own = torch.tensor(self.added).view(-1, 2)
        self.support_x = torch.cat([drawn.support_x[0, : self.k.value], own[:, :1]])
        self.support_y = torch.cat([drawn.support_y[0, : self.k.value], own[:, 1:]])
        self.truth = sine(self.x, amplitude, phase)
        self.fits = {}
        for names, descent in self._descents:
            if not any(self.ticks[name].value for name in names):
                continue
            support, x = (self.support_x, self.support_y), self.x
            if names == ("oracle",):  # told all there is to know, it makes nothing of points
                known = torch.tensor([amplitude, phase]).expand(len(x), 2)
                support, x = (support[0][:0], support[1][:0]), torch.cat([x, known], 1)
            found = descent.fits(support, x, lr=self.lr.value, steps=MOST_STEPS)
            self.fits |= dict(zip(names, found, strict=True))
        self.fits = {n: self.fits[n] for n, tick in self.ticks.items() if tick.value}
        self.curves = {name: fits[self.steps.value] for name, fits in self.fits.items()}
        self.errors = {
            name: ((fits - self.truth) ** 2).mean((1, 2)).tolist()
            for name, fits in self.fits.items()
        }

    def summary(self):
        """What the picture shows, in words and numbers."""
        steps, count = self.steps.value, len(self.support_x)
        now = {name: errors[steps] for name, errors in self.errors.items()}
        note = {"oracle": " (told the wave, it takes no steps)"}
        parts = [f"{n} {told(e)}{note.get(n, '')}" for n, e in now.items()]
        points = counted(count, "point")
        if self.added:
            points += f", {len(self.added)} of them added by hand"
        results = (
            f"Mean squared error after {counted(steps, 'gradient step')} of size "
            f"{self.lr.value:.3g}: {', '.join(parts)}."
            if parts
            else "No learner is ticked."
        )
        return (
            f"A wave of amplitude {self.amplitude.value:.1f} and phase {self.phase.value:.2f}, "
            f"seen at {points}. {results}{self._beyond()}"
        )

    def _beyond(self):
        """What the reader should know of settings that training never met."""
        found = [
            f"{name} {control.value:.2f} (training: {span(low, high)})"
            for name, control, (low, high) in (
                ("amplitude", self.amplitude, TRAINED.amplitude),
                ("phase", self.phase, TRAINED.phase),
                ("noise", self.noise, (0.0, 0.0)),
            )
            if not low <= control.value <= high + 0.01  # a slider's last step may pass π
        ]
        return f" Beyond training: {', '.join(found)}." if found else ""

    # Draw

    def build_figure(self):
        """Make the figure once; `move` only moves its artists."""
        with plots.style():
            return self._figure(Canvas(9.2, 3.9))

    def _figure(self, canvas):
        self.left, right = canvas.figure.subplots(1, 2, width_ratios=[3, 2])
        self.left.set_title("The wave and the fits")
        truth = plots.wave(self.left, self.x, 0 * self.x, "truth", label="true wave")
        self._truth, self._lines, self._earlier, self._errors = truth, {}, {}, {}
        steps = range(MOST_STEPS + 1)
        for name in self.learners:
            self._lines[name] = plots.wave(self.left, self.x, 0 * self.x, name)
            look = {"colors": plots.ROLES[name]["color"], "linewidths": 0.8, "alpha": 0.25}
            self._earlier[name] = self.left.add_collection(LineCollection([], **look))
            style = plots.role(name, markersize=3)
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
        canvas.figure.legend(handles, labels, loc="outside upper center", ncols=8, fontsize=9)
        parts = self._lines, self._earlier, self._errors
        artists = [artist for part in parts for artist in part.values()]
        canvas.moving = [truth, *artists, self._support, self._now]
        return canvas

    def draw(self):
        """As for every explorer; clicks on the left plot add points."""
        if not self.picture.clickable:
            self.picture.on_click(self._clicked)
        super().draw()

    def move(self):
        """Move the artists to what was computed."""
        self._truth.set_ydata(self.truth[:, 0])
        now, x = self.steps.value, self.x[:, 0]
        for name in self.learners:
            shown = name in self.curves
            for part in (self._lines, self._earlier, self._errors):
                part[name].set_visible(shown)
            if shown:
                fits = self.fits[name][..., 0].nan_to_num(1e6, 1e6, -1e6).clamp(-1e6, 1e6)
                self._lines[name].set_ydata(fits[now])
                earlier = [torch.stack([x, fit], 1).numpy() for fit in fits[:now]]
                self._earlier[name].set_segments(earlier)
                errors = torch.tensor(self.errors[name]).nan_to_num(1e6)
                self._errors[name].set_ydata(errors.clamp(1e-6, 1e6))
        self._support.set_offsets(torch.cat([self.support_x, self.support_y], 1).numpy())
        self._now.set_xdata([now] * 2)


def _clicked(button, act):
    button.on_click(lambda _: act())
    return button
