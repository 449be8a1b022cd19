"""Mean and band of one learner beside the exact Bayesian ones, under sliders (notebook 11)."""

import ipywidgets as widgets
import torch
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from torch import Tensor

from mamlkit import checks, devices, pretrained
from mamlkit.evaluation import evaluate
from mamlkit.show import plots
from mamlkit.show.widgets.explorer import WIDE, Explorer, button, format_error, pluralize, slider
from mamlkit.show.widgets.starts import Learners
from mamlkit.tasks.noisy_sinusoids import (
    NOISE,
    ExactPredictive,
    NoisySinusoids,
    log_normal,
    squared_error,
)
from mamlkit.tasks.sinusoids import sine

MOST_POINTS, TRAINED_POINTS, GRID = 20, 10, 200
LOOKS = {"CNP": "pretrained", "attentive NP": "best guess", "transformer": "first-order"}
LOOKS |= {"MAML": "MAML", "exact": "oracle"}
MAML_STEPS = 10


def noisy_sine_learners() -> Learners:
    """Return the shipped learners of noisy sines by name, and the MAML of notebook 03."""
    names = {"CNP": "noisy-sine-cnp", "attentive NP": "noisy-sine-anp"}
    names |= {"transformer": "noisy-sine-transformer", "MAML": "sinusoid-maml"}
    return {name: pretrained.load(recipe, device="cpu") for name, recipe in names.items()}


def mean_and_band(
    learners: Learners,
    name: str,
    support: tuple[Tensor, Tensor],
    x: Float[Tensor, "points 1"],
    deviation: float | None = None,
) -> Float[Tensor, "points 2"]:
    """Return what a learner says at x: mean and deviation.

    deviation: for one that gives no band, such as MAML after 10 steps, the one to take.
    """
    learner, params = learners[name]
    with torch.no_grad(), learner.mode(training=False):
        *_, adapted = learner.trajectory(params, support, MAML_STEPS)
        answer = learner.predict(adapted, x)
    if answer.shape[-1] == 2:
        return answer
    return torch.cat([answer, torch.full_like(answer, deviation or NOISE)], -1)


def constant_deviation(learners: Learners, name: str, shots: int) -> float:
    """Return the best constant deviation for a learner that gives none: its root mean error.

    Measured on 200 training waves (seed 1), noise in the query included.
    """
    learner, params = learners[name]
    options = {"shots": shots, "queries": 20, "tasks": 200, "steps": MAML_STEPS, "seed": 1}
    test = evaluate(learner, params, NoisySinusoids(device="cpu"), metric=squared_error, **options)
    return float(test.mean[-1].sqrt())


class PredictiveExplorer(Explorer):
    """One learner's mean and band of two deviations beside the exact ones, live.

    learners: name -> `(learner, params)`, such as `noisy_sine_learners()`. A learner that gives no
        band gets the best constant one for its number of points.

    State: the sliders `points` and `noise`, the menu `choice`, the `seed`. Compute: `support`, the
    `answers` of the learner and of the exact predictive, their `errors` on the clean wave and
    their `nats`, the log-likelihood of noisy points. Draw: `picture`, a PNG and a sentence.

    >>> explorer = PredictiveExplorer(noisy_sine_learners())
    >>> explorer.points.value = 3
    >>> sorted(explorer.errors), len(explorer.support[0])
    (['CNP', 'exact'], 3)
    """

    size = 9.2, 3.9

    def __init__(self, learners: Learners, *, seed: int = 0) -> None:
        if not learners:
            raise ValueError("PredictiveExplorer: learners is empty; give at least one, by name")
        for name in learners:
            checks.check_choice("PredictiveExplorer", "a learner's name", name, tuple(LOOKS))
        self.learners = learners
        self.seed = checks.check_int("PredictiveExplorer", "seed", seed, low=0)
        self.x = torch.linspace(-5, 5, GRID)[:, None]
        self._constants = {}
        super().__init__()

    def build_controls(self) -> widgets.Widget:
        """Return the sliders, the menu and the button."""
        self.points = slider("points seen", 5, 1, MOST_POINTS)
        self.noise = slider("noise (std of y)", NOISE, 0.02, 1.0, 0.02)
        options = list(self.learners)
        self.choice = widgets.Dropdown(options=options, description="learner", **WIDE)
        self.new_wave = button("new wave", self.draw_new_wave, "Draw another wave and points")
        self.watch(self.points, self.noise, self.choice)
        left = widgets.VBox([self.points, self.noise])
        return widgets.HBox([left, widgets.VBox([self.choice, self.new_wave])])

    def draw_new_wave(self) -> None:
        """Move to another wave."""
        self.seed += 1
        self.refresh()

    def compute(self) -> None:
        """Ask the learner and Bayes' rule for the wave, from the same points."""
        tasks = NoisySinusoids(noise=self.noise.value, device="cpu")
        generator = devices.generator(self.seed, "cpu")
        waves = tasks.waves(1, generator=generator)
        # Always the same 20 points of a seed, so that more points move none.
        task = tasks.points(waves, MOST_POINTS, 1, generator).task(0)
        self.support = tuple(part[: self.points.value] for part in task.support)
        self.truth = sine(self.x, *waves)[0]
        noise = torch.randn(self.x.shape, generator=generator) * self.noise.value
        name = self.choice.value
        exact = ExactPredictive(self.support, noise=self.noise.value).predict(self.x)
        answer = mean_and_band(self.learners, name, self.support, self.x, self._constant(name))
        self.answers = {"exact": exact, name: answer}
        self.errors = {n: float(squared_error(a, self.truth)) for n, a in self.answers.items()}
        nats = lambda a: log_normal((self.truth + noise)[:, 0], a[:, 0], a[:, 1]).mean()
        self.nats = {n: float(nats(a)) for n, a in self.answers.items()}

    def _constant(self, name: str) -> float | None:
        key = name, min(self.points.value, TRAINED_POINTS)
        if name == "MAML" and key not in self._constants:
            self._constants[key] = constant_deviation(self.learners, *key)
        return self._constants.get(key)

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        parts = [
            f"{name} {format_error(self.errors[name])} and {max(self.nats[name], -1000):.2f}"
            for name in self.answers
        ]
        beyond = self.points.value > TRAINED_POINTS or abs(self.noise.value - NOISE) > 1e-6
        note = f" Training saw 1 to {TRAINED_POINTS} points and noise {NOISE}." if beyond else ""
        return (
            f"{pluralize(self.points.value, 'point')} with noise {self.noise.value:.2f}. Squared "
            f"error on the true wave, and nats a noisy point: {', '.join(parts)}.{note}"
        )

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw the wave, the points, and two means with their bands."""
        ax = figure.subplots()
        self._truth = plots.wave(ax, self.x, 0 * self.x, "truth", label="true wave")
        self._lines, self._bands = {}, {}
        for name in ("exact", *self.learners):
            self._lines[name] = plots.wave(ax, self.x, 0 * self.x, LOOKS[name], label=name)
            zero = torch.zeros(GRID)
            color, faint = plots.ROLES[LOOKS[name]]["color"], {"alpha": 0.2, "linewidth": 0}
            self._bands[name] = ax.fill_between(self.x[:, 0], zero, zero, color=color, **faint)
        self._support = plots.support(ax, self.x[:1], self.x[:1])
        ax.set(ylim=(-7, 7), xlim=(-5, 5), title="Mean, and a band of two deviations")
        legend = ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        entries = zip(legend.legend_handles, legend.get_texts(), strict=True)
        self._keys = {text.get_text(): (handle, text) for handle, text in entries}
        return [*self._bands.values(), self._truth, *self._lines.values(), self._support, legend]

    def move(self) -> None:
        """Move the artists to what was computed."""
        self._truth.set_ydata(self.truth[:, 0])
        self._support.set_offsets(torch.cat(self.support, 1).numpy())
        for name, line in self._lines.items():
            shown = name in self.answers
            for artist in (line, self._bands[name], *self._keys[name]):
                artist.set_visible(shown)
            if shown:
                mean, deviation = self.answers[name].unbind(-1)
                line.set_ydata(mean)
                edge = lambda sign, m=mean, d=deviation: torch.stack(
                    [self.x[:, 0], m + sign * d], 1
                )
                self._bands[name].set_verts([torch.cat([edge(2), edge(-2).flip(0)]).numpy()])
