"""All tasks at once: the one place where a task becomes a batch of tasks."""

import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from mamlkit.tasks.batch import TaskBatch


def vmap_tasks(
    function: Callable[[TaskBatch], Any],
    module: nn.Module,
    batch: TaskBatch,
    vectorize: bool = True,
) -> Any:
    """Apply `function(task) -> tensors` to every task of a TaskBatch, all at once with `vmap`.

    Works around ops of torch without a batching rule or a correct double backward, so that any
    module works: recurrent layers have no batching rule and get a loop over tasks, slower and
    equal; attention and recurrence run on kernels with a second derivative; other ops are taken
    apart (see `ExactOps`).

    vectorize: False is a loop over tasks for every module. See `can_vectorize`.

    >>> from mamlkit import Sinusoids
    >>> batch = Sinusoids(device="cpu").sample(7, shots=5, queries=5)
    >>> vmap_tasks(lambda task: task.query_y.mean(), nn.Linear(1, 1), batch).shape
    torch.Size([7])
    """
    with sdpa_kernel(SDPBackend.MATH), ExactOps():
        recurrent = any(isinstance(m, (nn.RNNBase, nn.RNNCellBase)) for m in module.modules())
        if vectorize and not recurrent:
            return vmap(function, randomness="different")(batch)
        with _plain_kernels() if recurrent else nullcontext():
            results = [function(batch.task(i)) for i in range(len(batch.support_x))]
        return tree_map(lambda *leaves: torch.stack(leaves), *results)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Run recurrent layers on torch's own kernels: those of oneDNN and cuDNN derive only once."""
    enabled = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.backends.mkldnn.enabled = enabled


def can_vectorize(
    caller: str,
    function: Callable[[TaskBatch, bool], Any],
    batch: TaskBatch,
    vectorize: bool | str = "auto",
) -> bool:
    """Try `function(batch, vectorize)` on one task, without `vmap`, then with; say if that works.

    What vmap refuses: branches and shapes that depend on values, `.item()`, some random layers. A
    warning then says why and what it costs. Where the task alone fails, the mistake is not vmap's:
    its error is raised, with the shapes that led to it.
    """
    task = TaskBatch(*(tensor[:1] for tensor in batch))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Using a target size")  # that broadcasts to nonsense
            function(task, False)
    except Exception as error:
        raise _explained(caller, error, batch) from error
    if vectorize != "auto":
        return vectorize
    try:
        function(task, True)
    except Exception as error:
        warnings.warn(
            f"{caller}: going through the tasks one by one, which takes up to as many times longer "
            f"as a batch has tasks, since vmap refuses {_where(error)}",
            stacklevel=4,
        )
        return False
    return True


def _where(error: Exception) -> str:
    """Return the innermost line of the user's that led to an error, and the error's first line."""
    own = str(Path(nn.__file__).parents[2]), str(Path(__file__).parents[1])  # site-packages
    calls = traceback.extract_tb(error.__traceback__)
    frames = [call for call in calls if not call.filename.startswith(own)]
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    if not frames:
        return f"an operation of the module or the loss ({reason})"
    return f"`{frames[-1].line}` at {Path(frames[-1].filename).name}:{frames[-1].lineno} ({reason})"


def _explained(caller: str, error: Exception, batch: TaskBatch) -> Exception:
    """Return an error of the same kind that says what was asked of whom."""
    reason = str(error)
    if re.search("differentiate twice|derivative for .*not implemented|once_differ", reason):
        what = (
            "torch has no second derivative here; a learner that needs none works: FirstOrderMAML, "
            "Reptile, or ANIL where this is in the body"
        )
    elif re.search("Expected f.* to return", reason):
        what = "the loss of a task must be one number: take the mean over its points"
    else:
        shapes = (f"{n} {str(t.dtype)[6:]} {[*t.shape]}" for n, t in batch._asdict().items())
        what = f"the first task of {', '.join(shapes)} fails"
    kinds = TypeError, ValueError, IndexError
    kind = next((kind for kind in kinds if isinstance(error, kind)), RuntimeError)
    kind = ValueError if isinstance(error, UserWarning) else kind
    return kind(f"{caller}: {what}; the cause is {_where(error)}")


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


class ExactOps(TorchFunctionMode):
    """A mode in which ops run in parts whose derivatives torch has right.

    Batch, layer and instance norm scale and shift outside torch's kernels. Inside, their second
    derivative is silently wrong under vmap (functorch issue 534; seen with torch 2.14: with
    `nn.BatchNorm2d` the meta-gradient of the Omniglot network was off by 2 to 7 percent).
    `weight_norm` divides by the norm in the open; its kernel's second derivative is wrong always.
    `embedding` keeps the row of `padding_idx` from learning, which vmap forgets, and refuses ids
    beyond its table, where vmap reads another task's.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Intercept these ops; pass everything else on."""
        kwargs = kwargs or {}
        if func in _NORMS:
            return _norm(func, args, kwargs)
        if func is functional.embedding:
            return _embedding(*args, **kwargs)
        if getattr(func, "__name__", "") == "_weight_norm":  # of both torch.nn.utils.weight_norm
            return _weight_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _norm(func: Callable, args: tuple, kwargs: dict) -> Tensor:
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


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    others = [d for d in range(v.ndim) if d != dim % v.ndim] if dim != -1 else [*range(v.ndim)]
    return v * (g / v.square().sum(others, keepdim=True).sqrt())


def _embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, *args: Any, **kwargs: Any
) -> Tensor:
    if kwargs.get("scale_grad_by_freq"):
        raise ValueError("embedding: scale_grad_by_freq=True is no gradient; use False")
    ids, rows = input, len(weight)
    if not torch.compiler.is_compiling():
        ids = _IdsWithin.apply(ids, rows)
    else:  # a program cannot stop, but its loss can be NaN
        beyond = ((ids < 0) | (ids >= rows))[..., None]
        ids = ids.clamp(0, rows - 1)
    if padding_idx is not None:
        row = torch.arange(rows, device=weight.device) == padding_idx % rows
        weight = torch.where(row[:, None], weight.detach(), weight)
    vectors = functional.embedding(ids, weight, None, *args, **kwargs)
    return vectors.masked_fill(beyond, torch.nan) if torch.compiler.is_compiling() else vectors


class _IdsWithin(torch.autograd.Function):
    """Ids as they are, or an error where one is beyond the table; sees through vmap."""

    @staticmethod
    def forward(ids: Tensor, rows: int) -> Tensor:
        if ids.numel() and not bool(((ids >= 0) & (ids < rows)).all()):
            raise IndexError(
                f"embedding: ids from {ids.min()} to {ids.max()} in a table of {rows} rows"
            )
        return ids.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, ids: Tensor, rows: int) -> tuple[Tensor, int]:
        return _IdsWithin.apply(ids, rows), in_dims[0]


def count_fitting_tasks(batch: TaskBatch, numbers: int) -> int:
    """Return how many tasks of a batch have no more than so many numbers as inputs, at least one.

    On a CPU many tasks are computed fastest a few at a time, as long as what they need stays in its
    cache.
    """
    inputs = batch.support_x.numel() + batch.query_x.numel()
    return max(1, numbers * len(batch.query_x) // max(1, inputs))  # a shard may hold no task
