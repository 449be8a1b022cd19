"""A point that walks to a goal it is not told: 2-D navigation (Finn et al. 2017, section 5.3.1)."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mamlkit import checks, devices
from mamlkit.tasks.batch import TaskBatch

Act = Callable[[Tensor, Tensor], Tensor]


class PointRobot:
    """The distribution of tasks "walk from the origin to a goal that only the rewards tell of".

    Finn et al. 2017, section 5.3.1, as their released code has it: a goal uniform in a square; a
    trajectory of 100 steps; an action is a displacement, clipped to ±0.1 on each axis; the reward
    of a step is minus the distance that is left after it (the paper says squared, its figures and
    its code are plain); within 0.01 of the goal on both axes the trajectory ends.

    A task carries its noise: an example is one trajectory, its x the standard normal numbers ε
    that a policy turns into actions, its y the goal. So a rollout is a function of parameters and
    data, which can be vmapped, compiled, repeated and differentiated.

    square: `(low, high)` of the goal on each axis. horizon: steps of a trajectory.
    speed: the largest displacement on an axis; an action of 1 is as much.
    tolerance: how near to the goal, on both axes, a trajectory ends; 0 for never.
    reveal: append the goal to every ε, so x has four columns: what an oracle is told.
    device: where tasks are drawn; "auto" is CUDA, then MPS, then the CPU.

    Raises ValueError or TypeError, naming the bound, for settings out of bounds.

    >>> robot = PointRobot(device="cpu")
    >>> batch = robot.sample(40, shots=20, queries=10)
    >>> batch.support_x.shape, batch.query_y.shape
    (torch.Size([40, 20, 100, 2]), torch.Size([40, 10, 2]))
    >>> stand = robot.rollout(lambda observation, noise: 0 * noise, batch.query_x[0])[0]
    >>> bool(torch.isclose(robot.loss(stand, batch.query_y[0]), 100 * batch.query_y[0, 0].norm()))
    True
    """

    def __init__(
        self,
        *,
        square: tuple[float, float] = (-0.5, 0.5),
        horizon: int = 100,
        speed: float = 0.1,
        tolerance: float = 0.01,
        reveal: bool = False,
        device: str | torch.device = "auto",
    ) -> None:
        self.square = checks.check_interval("PointRobot", "square", square)
        self.horizon = checks.check_int("PointRobot", "horizon", horizon, low=1)
        self.speed = checks.check_float("PointRobot", "speed", speed, above=0)
        self.tolerance = checks.check_float("PointRobot", "tolerance", tolerance, low=0)
        self.reveal = checks.check_bool("PointRobot", "reveal", reveal)
        self.device = devices.resolve(device)

    def __repr__(self) -> str:
        own = ", ".join(f"{k}={v}" for k, v in self.settings().items() if k != "distribution")
        return f"PointRobot({own})"

    def settings(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON knows them: a run's identity."""
        names = ("horizon", "speed", "tolerance", "reveal")
        own = {"square": list(self.square), **{name: getattr(self, name) for name in names}}
        return {"distribution": type(self).__name__, **own}

    def to(self, device: str | torch.device) -> "PointRobot":
        """Return the same distribution, drawing on another device."""
        moved = copy.copy(self)
        moved.device = devices.resolve(device)
        return moved

    def sample(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw a goal for each task and the noise of `shots` + `queries` trajectories.

        Returns a TaskBatch of x `[tasks, trajectories, horizon, 2]` (4 if `reveal`) and y
        `[tasks, trajectories, 2]`, the task's goal once for each trajectory.
        """
        tasks = checks.check_int("PointRobot", "tasks", tasks, low=1)
        low, high = self.square
        unit = torch.rand(tasks, 2, generator=generator, device=self.device)
        return self.toward(low + (high - low) * unit, shots, queries, generator=generator)

    def toward(
        self,
        goals: Float[Tensor, "tasks 2"],
        shots: int,
        queries: int,
        *,
        generator: Generator | None = None,
    ) -> TaskBatch:
        """Draw the noise of trajectories toward given goals; otherwise as `sample`."""
        shots = checks.check_int("PointRobot", "shots", shots, low=1)
        queries = checks.check_int("PointRobot", "queries", queries, low=1)
        shape = len(goals), shots + queries, self.horizon, 2
        x = torch.randn(shape, generator=generator, device=self.device)
        y = goals.to(self.device)[:, None].expand(-1, shots + queries, -1)
        if self.reveal:
            x = torch.cat([x, y[:, :, None].expand(shape)], dim=-1)
        return TaskBatch(x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])

    def rollout(
        self, act: Act, x: Float[Tensor, "trajectories horizon columns"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Walk from the origin with the noise x; differentiable by whatever `act` depends on.

        act: a function of observations `[trajectories, 2]` (4 with a goal revealed) and noise
            `[trajectories, 2]` to actions `[trajectories, 2]`.

        Returns the positions after each step, what was observed before it, and the actions,
        `[trajectories, horizon, ...]` each. All 100 steps are walked: `rewards` ends trajectories.
        """
        noise, goal = x[..., :2], x[..., 2:]
        position = torch.zeros_like(noise[:, 0])
        path, observations, actions = [], [], []
        for t in range(x.shape[1]):
            observations.append(torch.cat([position, goal[:, t]], dim=-1))
            actions.append(act(observations[-1], noise[:, t]))
            position = position + self.speed * actions[-1].clamp(-1, 1)
            path.append(position)
        return tuple(torch.stack(steps, dim=1) for steps in (path, observations, actions))

    def rewards(
        self,
        path: Float[Tensor, "trajectories horizon 2"],
        goal: Float[Tensor, "trajectories 2"],
    ) -> tuple[Float[Tensor, "trajectories horizon"], Float[Tensor, "trajectories horizon"]]:
        """Return the reward of each step, 0 after the end, and 1 for each step before the end."""
        away = path - goal[:, None]
        arrived = (away.abs() < self.tolerance).all(-1).to(path.dtype)
        alive = (arrived.cumsum(1) - arrived < 0.5).to(path.dtype)  # the step of arrival counts
        return -alive * (away.square().sum(-1) + 1e-12).sqrt(), alive

    def returns(self, path: Tensor, goal: Tensor) -> Tensor:
        """Return the mean over trajectories of the sum of their rewards, the paper's figure."""
        return self.rewards(path, goal)[0].sum(1).mean()

    def loss(self, path: Tensor, goal: Tensor) -> Tensor:
        """Return minus the return."""
        return -self.returns(path, goal)
