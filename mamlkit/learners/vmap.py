"""All tasks at once: the one place where a task becomes a batch of tasks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from mamlkit.tasks.batch import TaskBatch


def vmap_tasks(function: Callable[[TaskBatch], Any], module: nn.Module, batch: TaskBatch) -> Any:
    """Apply `function(task) -> tensors` to every task of a TaskBatch, all at once with `vmap`.

    Works around ops of torch without a batching rule or a correct double backward, so that any
    module works: recurrent layers have no batching rule and get a loop over tasks, slower and
    equal; attention and recurrence run on kernels with a second derivative; normalisation is taken
    apart (see `ExactNorms`).

    >>> from mamlkit import Sinusoids
    >>> batch = Sinusoids(device="cpu").sample(7, shots=5, queries=5)
    >>> vmap_tasks(lambda task: task.query_y.mean(), nn.Linear(1, 1), batch).shape
    torch.Size([7])
    """
    with sdpa_kernel(SDPBackend.MATH), ExactNorms():
        recurrent = nn.RNNBase, nn.RNNCellBase
        if not any(isinstance(layer, recurrent) for layer in module.modules()):
            return vmap(function, randomness="different")(batch)
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
            results = [function(batch.task(i)) for i in range(len(batch.support_x))]
            return tree_map(lambda *leaves: torch.stack(leaves), *results)


_STATISTICS, _SCALE = ("running_mean", "running_var"), ("weight", "bias")
_LAYER = functional.layer_norm, ("normalized_shape", *_SCALE, "eps")
_BATCH, _BATCH_END = functional.batch_norm, ("training", "momentum", "eps")
_INSTANCE, _INSTANCE_END = functional.instance_norm, ("use_input_stats", "momentum", "eps")
_NORMS = {  # a norm -> its functional form, and the order in which the norm takes its arguments
    functional.layer_norm: _LAYER,
    torch.layer_norm: _LAYER,
    functional.batch_norm: (_BATCH, (*_STATISTICS, *_SCALE, *_BATCH_END)),
    torch.batch_norm: (_BATCH, (*_SCALE, *_STATISTICS, *_BATCH_END)),
    functional.instance_norm: (_INSTANCE, (*_STATISTICS, *_SCALE, *_INSTANCE_END)),
    torch.instance_norm: (_INSTANCE, (*_SCALE, *_STATISTICS, *_INSTANCE_END)),
}


class ExactNorms(TorchFunctionMode):
    """A mode in which batch, layer and instance norm scale and shift outside torch's kernels.

    Inside, their second derivative is silently wrong under vmap (functorch issue 534; seen with
    torch 2.14: with `nn.BatchNorm2d` the meta-gradient of the Omniglot network was off by 2 to 7
    percent). Without scale and shift the kernels are right.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Intercept the three norms; pass everything else on."""
        kwargs = kwargs or {}
        if func not in _NORMS:
            return func(*args, **kwargs)
        norm, names = _NORMS[func]
        options = {**dict(zip(("input", *names), args, strict=False)), **kwargs}
        options.pop("cudnn_enabled", None)
        options.pop("cudnn_enable", None)
        weight, bias = options.pop("weight", None), options.pop("bias", None)
        y = norm(**options)
        if norm is not functional.layer_norm:  # one scale per channel, the second dimension
            shape = (1, -1, *[1] * (y.ndim - 2))
            weight, bias = (None if t is None else t.view(shape) for t in (weight, bias))
        y = y if weight is None else y * weight
        return y if bias is None else y + bias


def count_fitting_tasks(batch: TaskBatch, numbers: int) -> int:
    """Return how many tasks of a batch have no more than so many numbers as inputs, at least one.

    On a CPU many tasks are computed fastest a few at a time, as long as what they need stays in its
    cache.
    """
    inputs = batch.support_x.numel() + batch.query_x.numel()
    return max(1, numbers * len(batch.query_x) // max(1, inputs))  # a shard may hold no task
