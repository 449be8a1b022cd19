"""Sine waves to regress: the first experiment of Finn et al. 2017 (section 5.1)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mamlkit import devices, require
from mamlkit.tasks.batch import TaskBatch


def sine(
    x: Float[Tensor, "..."], amplitude: float | Tensor, phase: float | Tensor
) -> Float[Tensor, "..."]:
    """y = A sin(x - φ), broadcast over points and waves.

    >>> float(sine(torch.tensor([[math.pi]]), amplitude=2.0, phase=math.pi / 2))
    2.0
    """
    require.tensors("sine", "x", x, "for example torch.linspace(-5, 5, 100)[:, None]")
    if not isinstance(amplitude, torch.Tensor):
        amplitude = require.number("sine", "amplitude", amplitude)
    if not isinstance(phase, torch.Tensor):
        phase = require.number("sine", "phase", phase)
    shapes = [value.shape for value in (x, amplitude, phase) if isinstance(value, torch.Tensor)]
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
        amplitude=(0.1, 5.0),
        phase=(0.0, math.pi),
        x=(-5.0, 5.0),
        noise=0.0,
        reveal=False,
        device="auto",
    ):
        self.amplitude = require.interval("Sinusoids", "amplitude", amplitude)
        self.phase = require.interval("Sinusoids", "phase", phase)
        self.x = require.interval("Sinusoids", "x", x)
        self.noise = require.number("Sinusoids", "noise", noise, least=0)
        self.reveal = bool(reveal)
        self.device = devices.resolve(device)

    def __repr__(self):
        return (
            f"Sinusoids(amplitude={self.amplitude}, phase={self.phase}, x={self.x}, "
            f"noise={self.noise}, reveal={self.reveal})"
        )

    def to(self, device):
        """The same distribution, drawing on another device."""
        return Sinusoids(
            amplitude=self.amplitude,
            phase=self.phase,
            x=self.x,
            noise=self.noise,
            reveal=self.reveal,
            device=device,
        )

    def waves(self, tasks, *, generator=None) -> Waves:
        """Draw the amplitude and phase of `tasks` waves."""
        tasks = require.whole("Sinusoids", "tasks", tasks, least=1)
        draw = torch.rand(2, tasks, 1, 1, generator=generator, device=self.device)
        return self._waves(draw)

    def sample(self, tasks, shots, queries, *, generator=None) -> TaskBatch:
        """Draw `tasks` waves, each with `shots` support and `queries` query points.

        Returns a TaskBatch of x `[tasks, points, 1]` (`[tasks, points, 3]` if `reveal`) and
        y `[tasks, points, 1]`. `generator`: a `torch.Generator` on this device; without one,
        torch's global one.
        """
        return self.build(self.draw(tasks, shots, queries, generator=generator), shots)

    def draw(self, tasks, shots, queries, *, generator=None) -> tuple[Tensor, ...]:
        """Only the random numbers of `sample`; `build` makes the tasks of them.

        `fit` compiles `build` into the meta-step, which makes sampling nearly free.
        """
        tasks = require.whole("Sinusoids", "tasks", tasks, least=1)
        waves = torch.rand(2, tasks, 1, 1, generator=generator, device=self.device)
        return waves, *self._draw_points(tasks, shots, queries, generator)

    def build(self, drawn, shots) -> TaskBatch:
        """The tasks that these random numbers of `draw` stand for, the first `shots` as support."""
        waves, *points = drawn
        return self._build(self._waves(waves), points, shots)

    def points(self, waves, shots, queries, generator=None) -> TaskBatch:
        """Draw support and query points on given waves."""
        points = self._draw_points(len(waves.amplitude), shots, queries, generator)
        return self._build(waves, points, shots)

    def _waves(self, unit):
        return Waves(_within(self.amplitude, unit[0]), _within(self.phase, unit[1]))

    def _draw_points(self, tasks, shots, queries, generator):
        shots = require.whole("Sinusoids", "shots", shots, least=1)
        queries = require.whole("Sinusoids", "queries", queries, least=1)
        where = {"generator": generator, "device": self.device}
        x = torch.rand(tasks, shots + queries, 1, **where)
        return (x, torch.randn(x.shape, **where)) if self.noise else (x,)

    def _build(self, waves, points, shots):
        x = _within(self.x, points[0])
        y = sine(x, *waves)
        support_y, query_y = y[:, :shots], y[:, shots:]
        if self.noise:
            support_y = support_y + self.noise * points[1][:, :shots]
        if self.reveal:
            x = torch.cat([x, *(wave.expand(x.shape) for wave in waves)], dim=-1)
        return TaskBatch(x[:, :shots], support_y, x[:, shots:], query_y)


def _within(interval, unit):
    low, high = interval
    return low + (high - low) * unit
