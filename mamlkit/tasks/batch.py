"""The shape in which tasks travel from a distribution to a learner."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor

from mamlkit import checks


class TaskBatch(NamedTuple):
    """Support and query sets of several tasks; every tensor leads with the task.

    A NamedTuple is a pytree, so `torch.func.vmap` maps over it as it is. One task, inside vmap or
    from `batch.task(0)`, is a `TaskBatch` too, without the leading dimension.

    support_x: `[tasks, ways * shots, ...]`, what the learner adapts on.
    support_y: `[tasks, ways * shots, ...]`, its targets (real values, or labels 0 to ways - 1).
    query_x, query_y: `[tasks, ways * queries, ...]`, what the adapted learner is judged on.

    For regression `ways` is 1.

    >>> import torch
    >>> batch = TaskBatch(*(torch.zeros(25, 10, 1) for _ in range(4)))
    >>> len(batch.support_x), batch.task(0).support_x.shape
    (25, torch.Size([10, 1]))
    """

    support_x: Shaped[Tensor, "..."]
    support_y: Shaped[Tensor, "..."]
    query_x: Shaped[Tensor, "..."]
    query_y: Shaped[Tensor, "..."]

    @property
    def support(self) -> tuple[Tensor, Tensor]:
        """The pair `(support_x, support_y)`."""
        return self.support_x, self.support_y

    @property
    def query(self) -> tuple[Tensor, Tensor]:
        """The pair `(query_x, query_y)`."""
        return self.query_x, self.query_y

    def task(self, index: int) -> "TaskBatch":
        """Return the task at `index`, without the leading dimension."""
        return TaskBatch(*(tensor[index] for tensor in self))

    def split(self, size: int) -> Iterator["TaskBatch"]:
        """Yield the tasks in order, at most `size` at a time."""
        for first in range(0, len(self.support_x), size):
            yield TaskBatch(*(tensor[first : first + size] for tensor in self))

    def to(self, device: str | torch.device) -> "TaskBatch":
        """Return the same tasks on another device."""
        return TaskBatch(*(tensor.to(device) for tensor in self))


def check_batch(caller: str, batch: TaskBatch, tasks: int | None = None) -> None:
    """Raise unless this is a TaskBatch of finite tensors, of so many tasks, with y for every x."""
    form = "a distribution's sample(tasks, ...) returns TaskBatch(support_x, support_y, query_x, "
    form += "query_y) of tensors that all lead with the tasks"
    if not isinstance(batch, TaskBatch) or not all(isinstance(t, Tensor) for t in batch):
        kinds = ", ".join(type(part).__name__ for part in batch) if batch else ""
        raise TypeError(f"{caller}: got a {type(batch).__name__} of ({kinds:.60}); {form}")
    shapes = {name: tuple(tensor.shape) for name, tensor in batch._asdict().items()}
    tasks = tasks or (shapes["support_x"] or (0,))[0]
    pairs = batch.support, batch.query
    if any(shape[:1] != (tasks,) for shape in shapes.values()) or any(
        x.shape[1:2] != y.shape[1:2] for x, y in pairs
    ):
        raise ValueError(f"{caller}: {tasks} tasks were asked for, got shapes {shapes}; {form}")
    for name, tensor in batch._asdict().items():
        checks.check_finite(caller, name, tensor, hint="clean the data first")
