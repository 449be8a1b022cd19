"""The K-shot explorer: trained networks under sliders (notebook 04)."""

import math

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from mamlkit import devices, require
from mamlkit.show import plots, still
from mamlkit.tasks.sinusoids import Sinusoids, Waves, sine

GRID = 200  # points on which fits are drawn and errors measured
MOST_SHOTS = 20
MOST_STEPS = 20


class KShotExplorer:
    """Adapt trained sine networks to a wave of the reader's own, live.

    learners: name -> `(learner, params)`; a name is a role of the plots, such as "MAML".
    seed: of the support points; the button *new points* moves to the next.

    State: the controls `k`, `steps`, `amplitude`, `phase` and the `seed`. Compute: `compute()`
    turns them into `curves` (name -> fit on `x`) and `errors` (name -> MSE after 0, 1, ... steps).
    Draw: `draw()` turns those into the PNG in `picture`. Setting a control's `.value` in Python
    does what moving its slider does.

    >>> from mamlkit import MAML, SineNetwork
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> explorer = KShotExplorer({"MAML": (maml, maml.init())})
    >>> explorer.k.value = 3
    >>> len(explorer.support_x), len(explorer.errors["MAML"])
    (3, 21)
    """

    def __init__(self, learners, *, seed=0):
        if not learners:
            raise ValueError("KShotExplorer: learners is empty; give at least one, by name")
        for name in learners:
            require.choice("KShotExplorer", "a learner's name", name, tuple(plots.ROLES))
        self.learners = learners
        self.seed = require.whole("KShotExplorer", "seed", seed, least=0)
        low, high = Sinusoids(device="cpu").x
        self.x = torch.linspace(low, high, GRID)[:, None]
        self._build_controls()
        self._build_figure()
        self.refresh()

    # State

    def _build_controls(self):
        look = {"continuous_update": True, "style": {"description_width": "9em"}}
        wide = widgets.Layout(width="26em")
        slide = lambda kind, text, value, least, most, step: kind(
            value=value, min=least, max=most, step=step, description=text, layout=wide, **look
        )
        whole, real = widgets.IntSlider, widgets.FloatSlider
        self.k = slide(whole, "shots K", 5, 1, MOST_SHOTS, 1)
        self.steps = slide(whole, "gradient steps", 1, 0, MOST_STEPS, 1)
        self.amplitude = slide(real, "amplitude A", 3.0, 0.1, 5.0, 0.1)
        self.phase = slide(real, "phase φ", 1.0, 0.0, round(math.pi, 2), 0.01)
        self.new_points = widgets.Button(description="new points", tooltip="draw other x")
        for control in (self.k, self.steps, self.amplitude, self.phase):
            control.observe(lambda _: self.refresh(), names="value")
        self.new_points.on_click(lambda _: self.draw_new_points())
        self.picture = widgets.Image(format="png", layout=widgets.Layout(width="920px"))
        self.sentence = widgets.HTML()
        left = widgets.VBox([self.k, self.steps])
        right = widgets.VBox([self.amplitude, self.phase, self.new_points])
        self.box = widgets.VBox([widgets.HBox([left, right]), self.picture, self.sentence])

    def draw_new_points(self):
        """Move to another draw of support points."""
        self.seed += 1
        self.refresh()

    def refresh(self):
        """Compute and draw what the controls now say."""
        self.compute()
        self.draw()

    # Compute

    def compute(self):
        """Adapt every learner to the wave and points that the controls describe."""
        amplitude, phase = self.amplitude.value, self.phase.value
        wave = Waves(torch.full((1, 1, 1), amplitude), torch.full((1, 1, 1), phase))
        # Always the same 20 points of a seed, so that a larger K adds points and moves none.
        drawn = Sinusoids(device="cpu").points(
            wave, MOST_SHOTS, 1, devices.generator(self.seed, "cpu")
        )
        self.support_x = drawn.support_x[0, : self.k.value]
        self.support_y = drawn.support_y[0, : self.k.value]
        self.truth = sine(self.x, amplitude, phase)
        self.curves, self.errors = {}, {}
        with torch.no_grad():
            for name, (learner, params) in self.learners.items():
                path = learner.trajectory(params, (self.support_x, self.support_y), MOST_STEPS)
                fits = [learner.predict(adapted, self.x) for adapted in path]
                self.curves[name] = fits[self.steps.value]
                self.errors[name] = [float(((fit - self.truth) ** 2).mean()) for fit in fits]

    def summary(self):
        """What the picture shows, in words and numbers."""
        steps, k = self.steps.value, self.k.value
        now = {name: errors[steps] for name, errors in self.errors.items()}
        # With one or two points a fit can blow up; twenty digits would say no more.
        parts = [f"{name} {e:.2f}" if e < 1000 else f"{name} over 1000" for name, e in now.items()]
        return (
            f"A wave of amplitude {self.amplitude.value:.1f} and phase {self.phase.value:.2f}, "
            f"seen at {k} point{'s' * (k != 1)}. Mean squared error after {steps} gradient "
            f"step{'s' * (steps != 1)}: {', '.join(parts)}."
        )

    # Draw

    def _build_figure(self):
        """Make the figure once, without pyplot; `draw` only moves its artists."""
        with plots.style():
            self.figure = Figure(figsize=(9.2, 3.7), layout="constrained")
            left, right = self.figure.subplots(1, 2, width_ratios=[3, 2])
        self._truth = plots.wave(left, self.x, 0 * self.x, "truth", label="true wave")
        self._fits, self._curves = {}, {}
        steps = range(MOST_STEPS + 1)
        for name in self.learners:
            self._fits[name] = plots.wave(left, self.x, 0 * self.x, name)
            (self._curves[name],) = right.plot(
                steps, [1] * len(steps), label=name, **plots.role(name, markersize=3)
            )
        self._support = plots.support(left, self.x[:1], self.x[:1])
        self._now = right.axvline(1, color="black", linewidth=1, alpha=0.5)
        self._title = left.set_title("")
        left.set(ylim=(-6, 6))
        right.set(
            yscale="log",
            ylim=(0.003, 40),
            xlabel="gradient steps",
            ylabel="mean squared error",
            title="Error on the whole wave",
        )
        right.set_xticks(range(0, MOST_STEPS + 1, 5))
        left.legend(loc="upper right", fontsize=8, ncols=2)

    def draw(self):
        """Move the artists to what was computed; render the PNG and the sentence."""
        self._truth.set_ydata(self.truth[:, 0])
        for name, fit in self.curves.items():
            self._fits[name].set_ydata(fit[:, 0])
            self._curves[name].set_ydata(self.errors[name])
        self._support.set_offsets(torch.cat([self.support_x, self.support_y], 1).numpy())
        self._title.set_text(
            f"A = {self.amplitude.value:.1f}, φ = {self.phase.value:.2f}, K = {self.k.value}, "
            f"steps: {self.steps.value}"
        )
        self._now.set_xdata([self.steps.value] * 2)
        self.picture.value = still.render(self.figure)
        self.sentence.value = self.summary()

    def _repr_mimebundle_(self, **_):
        return still.bundle(self)
