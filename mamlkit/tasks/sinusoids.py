"""Sine waves to regress: the first experiment of Finn et al. 2017 (section 5.1)."""

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mamlkit import checks, devices
from mamlkit.tasks.batch import TaskBatch


def sine(
    x: Float[Tensor, "..."], amplitude: float | Tensor, phase: float | Tensor
) -> Float[Tensor, "..."]:
    """Return y = A sin(x - φ), broadcast over points and waves.

    >>> float(sine(torch.tensor([[math.pi]]), amplitude=2.0, phase=math.pi / 2))
    2.0
    """
    checks.check_tensors("sine", "x", x, "for example torch.linspace(-5, 5, 100)[:, None]")
    if not isinstance(amplitude, Tensor):
        amplitude = checks.check_float("sine", "amplitude", amplitude)
    if not isinstance(phase, Tensor):
        phase = checks.check_float("sine", "phase", phase)
    shapes = [value.shape for value in (x, amplitude, phase) if isinstance(value, Tensor)]
    try:
        torch.broadcast_shapes(*shapes)
    except RuntimeError:
        raise ValueError(
            f"sine: x, amplitude and phase of shapes {', '.join(str(tuple(s)) for s in shapes)} do "
            "not fit together; give each wave a number, or tensors [waves, 1, 1]"
        ) from None
    return amplitude * torch.sin(x - phase)


class Waves(NamedTuple):
    """Amplitude and phase of each task, `[tasks, 1, 1]` each."""

    amplitude: Float[Tensor, "tasks 1 1"]
    phase: Float[Tensor, "tasks 1 1"]


class Sinusoids:
    """The distribution of tasks y = A sin(x - φ), one wave a task.

    Finn et al. 2017, section 5.1: A uniform in [0.1, 5], φ in [0, π], x in [-5, 5], no noise.

    amplitude, phase, x: `(low, high)`, sampled uniformly (units: of y, radians, radians).
    noise: standard deviation of Gaussian noise on the support targets; the query stays clean.
    reveal: append the wave's amplitude and phase to every x, so x has three columns: what the
        paper's oracle sees.
    device: where tasks are drawn; "auto" is CUDA, then MPS, then the CPU.

    Raises ValueError or TypeError, naming the bound, for a range that is not one.

    >>> tasks = Sinusoids(device="cpu").sample(25, shots=5, queries=10)
    >>> tasks.support_x.shape, tasks.query_y.shape
    (torch.Size([25, 5, 1]), torch.Size([25, 10, 1]))
    """

    def __init__(
        self,
        *,
        amplitude: tuple[float, float] = (0.1, 5.0),
        phase: tuple[float, float] = (0.0, math.pi),
        x: tuple[float, float] = (-5.0, 5.0),
        noise: float = 0.0,
        reveal: bool = False,
        device: str | torch.device = "auto",
    ) -> None:
        self.amplitude = checks.check_interval("Sinusoids", "amplitude", amplitude)
        self.phase = checks.check_interval("Sinusoids", "phase", phase)
        self.x = checks.check_interval("Sinusoids", "x", x)
        self.noise = checks.check_float("Sinusoids", "noise", noise, low=0)
        self.reveal = checks.check_bool("Sinusoids", "reveal", reveal)
        self.device = devices.resolve(device)

    def __repr__(self) -> str:
        return (
            f"Sinusoids(amplitude={self.amplitude}, phase={self.phase}, x={self.x}, "
            f"noise={self.noise}, reveal={self.reveal})"
        )

    def settings(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON knows them: a run's identity."""
        ranges = {name: list(getattr(self, name)) for name in ("amplitude", "phase", "x")}
        own = {"noise": self.noise, "reveal": self.reveal}
        return {"distribution": type(self).__name__, **ranges, **own}

    def to(self, device: str | torch.device) -> "Sinusoids":
        """Return the same distribution, drawing on another device."""
        moved = copy.copy(self)
        moved.device = devices.resolve(device)
        return moved

    def waves(self, tasks: int, *, generator: Generator | None = None) -> Waves:
        """Draw the amplitude and phase of `tasks` waves."""
        return self._waves(self._draw_waves(tasks, generator))

    def sample(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw `tasks` waves, each with `shots` support and `queries` query points.

        Returns a TaskBatch of x `[tasks, points, 1]` (`[tasks, points, 3]` if `reveal`) and
        y `[tasks, points, 1]`. `generator`: a `torch.Generator` on this device; without one,
        torch's global one.
        """
        return self.build(self.draw(tasks, shots, queries, generator=generator), shots)

    def draw(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> tuple[Tensor, ...]:
        """Draw only the random numbers of `sample`; `build` makes the tasks of them.

        `fit` compiles `build` into the meta-step, which makes sampling nearly free.
        """
        waves = self._draw_waves(tasks, generator)
        return waves, *self._draw_points(waves.shape[1], shots, queries, generator)

    def build(self, numbers: tuple[Tensor, ...], shots: int) -> TaskBatch:
        """Return the tasks that the numbers of `draw` stand for, the first `shots` as support."""
        waves, *points = numbers
        return self._build(self._waves(waves), points, shots)

    def points(
        self, waves: Waves, shots: int, queries: int, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw support and query points on given waves."""
        points = self._draw_points(len(waves.amplitude), shots, queries, generator)
        return self._build(waves, points, shots)

    def _draw_waves(self, tasks: int, generator: Generator | None) -> Float[Tensor, "2 tasks 1 1"]:
        tasks = checks.check_int("Sinusoids", "tasks", tasks, low=1)
        return torch.rand(2, tasks, 1, 1, generator=generator, device=self.device)

    def _draw_points(
        self, tasks: int, shots: int, queries: int, generator: Generator | None
    ) -> tuple[Tensor, ...]:
        shots = checks.check_int("Sinusoids", "shots", shots, low=1)
        queries = checks.check_int("Sinusoids", "queries", queries, low=1)
        options = {"generator": generator, "device": self.device}
        x = torch.rand(tasks, shots + queries, 1, **options)
        return (x, torch.randn(x.shape, **options)) if self.noise else (x,)

    def _waves(self, unit: Float[Tensor, "2 tasks 1 1"]) -> Waves:
        return Waves(_scale(unit[0], self.amplitude), _scale(unit[1], self.phase))

    def _build(self, waves: Waves, points: Sequence[Tensor], shots: int) -> TaskBatch:
        x = _scale(points[0], self.x)
        y = sine(x, *waves)
        support_y, query_y = y[:, :shots], y[:, shots:]
        if self.noise:
            support_y = support_y + self.noise * points[1][:, :shots]
        if self.reveal:
            x = torch.cat([x, *(wave.expand(x.shape) for wave in waves)], dim=-1)
        return TaskBatch(x[:, :shots], support_y, x[:, shots:], query_y)


def _scale(unit: Float[Tensor, "..."], interval: tuple[float, float]) -> Float[Tensor, "..."]:
    low, high = interval
    return low + (high - low) * unit
