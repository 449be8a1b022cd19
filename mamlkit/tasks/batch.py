"""The shape in which tasks travel from a distribution to a learner."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor
from torch.func import vmap

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

    def masked(self, support: Bool[Tensor, "..."], query: Bool[Tensor, "..."]) -> "TaskBatch":
        """Return the same tasks, without the points where a mask `[tasks, points]` is False.

        Their x becomes 0 and their y a mark, which `masked(loss)`, `cross_entropy` and `accuracy`
        leave out. So tasks may differ in their numbers of points (see `pad_tasks`).
        """
        keep = support, support, query, query
        spread = lambda mask, tensor: mask.view(*mask.shape, *[1] * (tensor.ndim - 2))
        fills = 0, _mark(self.support_y), 0, _mark(self.query_y)
        return TaskBatch(*(
            torch.where(spread(mask, tensor), tensor, torch.as_tensor(fill, dtype=tensor.dtype))
            for tensor, mask, fill in zip(self, keep, fills, strict=True)
        ))  # fmt: skip

    def to(self, device: str | torch.device) -> "TaskBatch":
        """Return the same tasks on another device."""
        return TaskBatch(*(tensor.to(device) for tensor in self))


IGNORED = -100  # the label of a point that does not count: torch's own `ignore_index`


def _mark(y: Tensor) -> float | int:
    """Return what y is where a point does not count: beyond any target, yet finite."""
    return torch.finfo(y.dtype).max if y.is_floating_point() else IGNORED


def pad_tasks(tasks: Sequence[TaskBatch]) -> TaskBatch:
    """Stack tasks with different numbers of points into one batch.

    tasks: each a TaskBatch without a leading dimension of tasks. The shorter ones are filled up
    with points that do not count, for losses that leave them out: `cross_entropy`, or any other in
    `masked(loss)`. A module that mixes points, as batch norm does, sees them as zeros.

    >>> lengths = 2, 5
    >>> tasks = [TaskBatch(*(torch.ones(n, 1) for _ in range(4))) for n in lengths]
    >>> pad_tasks(tasks).support_x.shape
    torch.Size([2, 5, 1])
    """

    def pad(tensors: Sequence[Tensor], fill: float | int) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)

    several = isinstance(tasks, Iterable) and not isinstance(tasks, TaskBatch)
    singles = list(tasks) if several else []
    if not singles or not all(isinstance(task, TaskBatch) for task in singles):
        got = checks.describe(tasks)
        raise ValueError(f"pad_tasks: needs a list of tasks, got {got}; give [task, task, ...]")
    support_x, support_y, query_x, query_y = zip(*singles, strict=True)
    return TaskBatch(
        pad(support_x, 0),
        pad(support_y, _mark(support_y[0])),
        pad(query_x, 0),
        pad(query_y, _mark(query_y[0])),
    )


def masked(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss that leaves out the points of a padded or masked task (see `pad_tasks`).

    loss: `(prediction, target) -> scalar`, a mean over points; it is taken point by point, and the
    mean over those that count.

    >>> loss = masked(torch.nn.functional.mse_loss)
    >>> ones = TaskBatch(*[torch.ones(1, 3, 1)] * 4)
    >>> some = ones.masked(torch.tensor([[True, True, False]]), torch.ones(1, 3, dtype=torch.bool))
    >>> loss(torch.zeros(3, 1), some.support_y[0])
    tensor(1.)
    """

    @functools.wraps(loss, updated=())
    def masked_loss(prediction: Tensor, target: Tensor) -> Tensor:
        counts = (target != _mark(target)).view(len(target), -1).all(1)
        spread = counts.view(-1, *[1] * (target.ndim - 1))
        target = torch.where(spread, target, torch.zeros_like(target))
        one_point = lambda p, t: loss(p[None], t[None])
        losses = vmap(one_point, randomness="different")(prediction, target)
        if losses.ndim != 1:
            raise ValueError(
                "masked: the loss of one point must be one number, its shape is "
                f"{[*losses.shape[1:]]}; use reduction='mean'"
            )
        return torch.where(counts, losses, 0).sum() / counts.sum().clamp(min=1)

    return masked_loss


def check_batch(caller: str, batch: TaskBatch, tasks: int | None = None) -> None:
    """Raise unless this is a TaskBatch of finite tensors, of so many tasks, with y for every x."""
    form = "a distribution's sample(tasks, ...) returns TaskBatch(support_x, support_y, query_x, "
    form += "query_y) of tensors that all lead with the tasks"
    if not isinstance(batch, TaskBatch) or not all(isinstance(t, Tensor) for t in batch):
        parts = batch if isinstance(batch, tuple) else ()
        kinds = ", ".join(type(part).__name__ for part in parts)
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
