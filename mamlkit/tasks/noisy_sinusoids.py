"""Noisy sine waves, the exact Bayesian answer to them, and metrics of a mean with a deviation."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mamlkit import checks
from mamlkit.tasks.batch import TaskBatch
from mamlkit.tasks.sinusoids import Sinusoids, Waves, sine

NOISE = 0.1  # standard deviation of y where none is named


class NoisySinusoids(Sinusoids):
    """Sine waves whose support *and* query targets carry Gaussian noise of the same deviation.

    With noise in the query too, the log-likelihood of a query point is defined for the exact
    predictive (see `ExactPredictive`), and bounded: no deviation below `noise` pays. Where the
    error on the clean wave is asked for, test on `Sinusoids(noise=...)`, whose query is clean.
    noise, device: as for `Sinusoids`, whose ranges of waves and points these are.

    >>> NoisySinusoids(device="cpu").sample(16, shots=20, queries=20).query_y.shape
    torch.Size([16, 20, 1])
    """

    def __init__(self, *, noise: float = NOISE, device: str | torch.device = "auto") -> None:
        checks.check_float("NoisySinusoids", "noise", noise, above=0, hint="or use Sinusoids()")
        super().__init__(noise=noise, device=device)

    def _build(self, waves: Waves, points: Sequence[Tensor], shots: int) -> TaskBatch:
        clean = super()._build(waves, points, shots)
        return clean._replace(query_y=clean.query_y + self.noise * points[1][:, shots:])


class ExactPredictive:
    """What one task's points say about its wave: Bayes' rule on a grid of amplitude and phase.

    p(A, φ | D) ∝ Π exp(-(y - A sin(x - φ))² / 2σ²) inside the ranges that tasks are drawn from, 0
    outside. The predictive of a new y is a mixture over the grid: the best that any learner can
    say, on average over tasks, about a wave of which it has seen these points.

    support: the task's `(x, y)`, `[points, 1]` each; no points give the prior.
    noise: σ, the standard deviation of y. grid: amplitudes and phases that are tried.

    >>> x = torch.linspace(-5, 5, 10)[:, None]
    >>> exact = ExactPredictive((x, sine(x, 2.0, 1.0)))
    >>> mean, deviation = exact.predict(x).unbind(-1)
    >>> bool(((mean - sine(x, 2.0, 1.0)[:, 0]).abs() < 0.05).all()), bool((deviation > 0.1).all())
    (True, True)
    """

    def __init__(
        self,
        support: tuple[Float[Tensor, "points 1"], Float[Tensor, "points 1"]],
        *,
        noise: float = NOISE,
        tasks: Sinusoids | None = None,
        grid: tuple[int, int] = (96, 320),
    ) -> None:
        self.noise = checks.check_float("ExactPredictive", "noise", noise, above=0)
        tasks = Sinusoids(device="cpu") if tasks is None else tasks
        what = "waves, such as Sinusoids()"
        checks.check_has("ExactPredictive", "tasks", tasks, what, "amplitude", "phase")
        x, y = checks.check_pair("ExactPredictive", "support", support, "tensors, x and y")
        checks.check_float_tensors("ExactPredictive", "support", (x, y), "such as task.support")
        grid = checks.check_pair("ExactPredictive", "grid", grid, "numbers")
        grid = [checks.check_int("ExactPredictive", "grid", number, low=1) for number in grid]
        self.amplitude = _midpoints(tasks.amplitude, grid[0]).to(x)
        self.phase = _midpoints(tasks.phase, grid[1]).to(x)
        error = y[..., None] - self._waves(x)  # [points, amplitudes, phases]
        log_posterior = -(error**2).sum(0) / (2 * self.noise**2)
        self.posterior = log_posterior.flatten().softmax(0).view(log_posterior.shape)

    def _waves(self, x: Float[Tensor, "points 1"]) -> Float[Tensor, "points amplitudes phases"]:
        return sine(x[..., None], self.amplitude[:, None], self.phase)

    def predict(self, x: Float[Tensor, "points 1"]) -> Float[Tensor, "points 2"]:
        """Return mean and standard deviation of y at each x, the noise included."""
        # Over amplitudes first: with the phase φ the wave is A times sin(x - φ).
        first, second = (self.amplitude @ self.posterior), (self.amplitude**2 @ self.posterior)
        unit = torch.sin(x - self.phase)
        mean = unit @ first
        variance = (unit**2 @ second - mean**2).clamp(min=0)
        return torch.stack([mean, (variance + self.noise**2).sqrt()], -1)

    def log_likelihood(
        self, x: Float[Tensor, "points 1"], y: Float[Tensor, "points 1"]
    ) -> Float[Tensor, ""]:
        """Return the mean over points of log p(y | x, D), each point by itself, in nats."""
        normal = log_normal(y[..., None], self._waves(x), torch.as_tensor(self.noise).to(x))
        return (normal + self.posterior.log()).flatten(1).logsumexp(1).mean()


def _midpoints(interval: tuple[float, float], cells: int) -> Float[Tensor, " cells"]:
    low, high = interval
    return low + (high - low) * (torch.arange(cells) + 0.5) / cells


def log_normal(
    y: Float[Tensor, "..."], mean: Float[Tensor, "..."], deviation: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Return log N(y; mean, deviation²), elementwise, in nats.

    >>> round(float(log_normal(torch.zeros(1), torch.zeros(1), torch.tensor([0.1]))), 3)
    1.384
    """
    return -0.5 * ((y - mean) / deviation) ** 2 - deviation.log() - 0.5 * math.log(2 * math.pi)


def log_likelihood(
    prediction: Float[Tensor, "points 2"], target: Float[Tensor, "points 1"]
) -> Float[Tensor, ""]:
    """Return the mean of log N(y; μ, σ²) over points: a metric of predictions (μ, σ), in nats.

    >>> perfect = torch.tensor([[0.0, 0.1]])
    >>> round(float(log_likelihood(perfect, torch.zeros(1, 1))), 3)  # the most that σ = 0.1 gets
    1.384
    """
    _check_target("log_likelihood", prediction, target)
    mean, deviation = prediction.unbind(-1)
    return log_normal(target[..., 0], mean, deviation).mean()


def negative_log_likelihood(
    prediction: Float[Tensor, "points 2"], target: Float[Tensor, "points 1"]
) -> Float[Tensor, ""]:
    """Return the loss that trains a mean and a deviation (Garnelo et al. 2018, equation 4)."""
    return -log_likelihood(prediction, target)


def squared_error(
    prediction: Float[Tensor, "points outputs"], target: Float[Tensor, "points 1"]
) -> Float[Tensor, ""]:
    """Return the mean squared error of a prediction's first column, whether or not a σ follows.

    >>> float(squared_error(torch.tensor([[1.0, 0.1], [2.0, 0.1]]), torch.tensor([[1.0], [4.0]])))
    2.0
    """
    _check_target("squared_error", prediction, target)
    return ((prediction[..., :1] - target) ** 2).mean()


def _check_target(caller: str, prediction: Tensor, target: Tensor) -> None:
    if target.shape != (*prediction.shape[:-1], 1):
        raise ValueError(
            f"{caller}: predictions {[*prediction.shape]} need y {[*prediction.shape[:-1], 1]}, "
            f"this is {[*target.shape]}; give y one column, y[..., None]"
        )
