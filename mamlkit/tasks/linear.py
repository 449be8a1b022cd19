"""Linear regression tasks, few or endlessly many, and the two exact answers to them."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mamlkit import checks, devices
from mamlkit.tasks.batch import TaskBatch


class LinearTasks:
    """The distribution of tasks y = w · x + noise, with x and w from N(0, I).

    Garg et al. 2022, section 2; with a pool, Raventós et al. 2023, section 2.

    inputs: numbers in x (d). noise: standard deviation of y, in support and query.
    pool: None, a new w for every task; or a number, so many w's that are drawn once, with
        `pool_seed`, and of which every task is one.
    device: where tasks are drawn; "auto" is CUDA, then MPS, then the CPU.

    >>> LinearTasks(5, device="cpu").sample(8, shots=10, queries=1).support_x.shape
    torch.Size([8, 10, 5])
    >>> LinearTasks(2, pool=4, device="cpu").weights.shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        inputs: int,
        *,
        noise: float = 0.0,
        pool: int | None = None,
        pool_seed: int = 0,
        device: str | torch.device = "auto",
    ) -> None:
        self.inputs = checks.check_int("LinearTasks", "inputs", inputs, low=1)
        self.noise = checks.check_float("LinearTasks", "noise", noise, low=0)
        self.pool, self.pool_seed, self.device = pool, pool_seed, devices.resolve(device)
        self.weights = None
        if pool is not None:
            checks.check_int("LinearTasks", "pool", pool, low=1)
            generator = devices.generator(pool_seed, "cpu")
            self.weights = torch.randn(pool, inputs, generator=generator).to(self.device)

    def settings(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON knows them: a run's identity."""
        own = {name: getattr(self, name) for name in ("inputs", "noise", "pool", "pool_seed")}
        return {"distribution": type(self).__name__, **own}

    def to(self, device: str | torch.device) -> "LinearTasks":
        """Return the same distribution, drawing on another device."""
        moved = copy.copy(self)
        moved.device = devices.resolve(device)
        moved.weights = None if self.weights is None else self.weights.to(moved.device)
        return moved

    def sample(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw `tasks` tasks: x `[tasks, points, inputs]`, y `[tasks, points, 1]`."""
        return self.build(self.draw(tasks, shots, queries, generator=generator), shots)

    def draw(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> tuple[Tensor, ...]:
        """Draw only the random numbers of `sample`; `build` makes the tasks of them."""
        tasks, shots, queries = checks.check_counts("LinearTasks", tasks, shots, queries)
        options = {"generator": generator, "device": self.device}
        if self.weights is None:
            w = torch.randn(tasks, self.inputs, **options)
        else:
            w = self.weights[torch.randint(len(self.weights), (tasks,), **options)]
        x = torch.randn(tasks, shots + queries, self.inputs, **options)
        return w, x, torch.randn(tasks, shots + queries, 1, **options)

    def build(self, numbers: tuple[Tensor, ...], shots: int) -> TaskBatch:
        """Return the tasks that the numbers of `draw` stand for, the first `shots` as support."""
        w, x, error = numbers
        y = x @ w[..., None] + self.noise * error
        return TaskBatch(x[:, :shots], y[:, :shots], x[:, shots:], y[:, shots:])


def ridge(
    support: tuple[Tensor, Tensor], x: Float[Tensor, "queries inputs"], noise: float
) -> Float[Tensor, "queries 1"]:
    """Return the Bayesian answer where w is from N(0, I): ridge regression with λ = noise².

    >>> x = torch.eye(2)
    >>> ridge((x, torch.ones(2, 1)), x, noise=1.0)
    tensor([[0.5000],
            [0.5000]])
    """
    support_x, y = support
    penalty = noise**2 * torch.eye(support_x.shape[-1]).to(support_x)
    return x @ torch.linalg.solve(support_x.mT @ support_x + penalty, support_x.mT @ y)


def posterior_over_pool(
    support: tuple[Tensor, Tensor],
    x: Float[Tensor, "queries inputs"],
    noise: float,
    pool: Float[Tensor, "pool inputs"],
) -> Float[Tensor, "queries 1"]:
    """Return the Bayesian answer where w is one of a pool: each w weighed by its likelihood.

    Raventós et al. 2023, equation 4.

    >>> pool = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> x = torch.tensor([[3.0, 0.0]])
    >>> posterior_over_pool((x, torch.tensor([[3.0]])), x, 0.5, pool)
    tensor([[3.]])
    """
    if not noise > 0:
        raise ValueError(f"posterior_over_pool: noise must be above 0, got {noise}")
    support_x, y = support
    likelihood = -((y - support_x @ pool.T) ** 2).sum(0) / (2 * noise**2)
    return x @ (likelihood.softmax(0) @ pool)[:, None]
