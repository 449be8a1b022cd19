"""Checks of arguments. Each error names the caller, the value, the bound and the remedy."""

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

LARGEST_INT = 2**31 - 1  # of sizes and counts, far above what any memory holds


def check_int(
    caller: str, name: str, value: Any, *, low: int, high: int = LARGEST_INT, hint: str = ""
) -> int:
    """Return `value` as an int, or raise: a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{caller}: {name} must be a whole number, got {describe(value)}{_then(hint)}"
        )
    _check_bounds(caller, name, value, low, high, hint)
    return int(value)


def check_float(
    caller: str,
    name: str,
    value: Any,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
    hint: str = "",
) -> float:
    """Return `value` as a float, or raise: finite, and within the bounds given."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{caller}: {name} must be a number, got {describe(value)}{_then(hint)}")
    if not math.isfinite(value):
        raise ValueError(f"{caller}: {name} must be finite, got {value}{_then(hint)}")
    if above is not None and value <= above:
        raise ValueError(f"{caller}: {name} must be above {above}, got {value}{_then(hint)}")
    _check_bounds(caller, name, value, low, high, hint)
    return float(value)


def _check_bounds(
    caller: str, name: str, value: Any, low: float | None, high: float | None, hint: str
) -> None:
    if low is not None and value < low:
        raise ValueError(f"{caller}: {name} must be at least {low}, got {value}{_then(hint)}")
    if high is not None and value > high:
        raise ValueError(f"{caller}: {name} must be at most {high}, got {value}{_then(hint)}")


def check_interval(caller: str, name: str, value: Any) -> tuple[float, float]:
    """Return `value` as two finite floats, the first not above the second, or raise."""
    first, second = check_pair(caller, name, value, "numbers (low, high)")
    first = check_float(caller, f"the lower end of {name}", first)
    return first, check_float(caller, f"the upper end of {name}", second, low=first)


def check_choice(caller: str, name: str, value: Any, known: Sequence, other: str = "") -> Any:
    """Return `value`, or raise: it must be one of `known`; `other` names what else is good."""
    if not any(type(value) is type(option) and value == option for option in known):
        options = ", ".join([*(repr(option) for option in known), *([other] if other else [])])
        raise ValueError(f"{caller}: {name} must be one of {options}; got {describe(value)}")
    return value


def check_bool(caller: str, name: str, value: Any) -> bool:
    """Return `value`, or raise: True or False."""
    value = bool(value) if isinstance(value, np.bool_) else value
    return check_choice(caller, name, value, (True, False))


def check_path(caller: str, name: str, value: Any) -> Path:
    """Return `value` as a Path, or raise: a path, or its text."""
    if not isinstance(value, str | Path):
        raise TypeError(f"{caller}: {name} must be a path, got {describe(value)}")
    return Path(value)


def check_counts(caller: str, tasks: int, shots: int, queries: int) -> tuple[int, int, int]:
    """Return how many tasks, shots and queries to draw, or raise: one of each or more."""
    counts = {"tasks": tasks, "shots": shots, "queries": queries}
    return tuple(check_int(caller, name, count, low=1) for name, count in counts.items())


def check_module(caller: str, name: str, value: Any, hint: str = "") -> torch.nn.Module:
    """Return `value`, or raise: an `nn.Module`."""
    if not isinstance(value, torch.nn.Module):
        what = f"{name} must be an nn.Module, got {describe(value)}"
        raise TypeError(f"{caller}: {what}{_then(hint)}")
    return value


def check_callable(
    caller: str, name: str, value: Any, hint: str, arguments: int | None = None
) -> Callable:
    """Return `value`, or raise: something that can be called, with so many arguments."""
    if not callable(value):
        raise TypeError(f"{caller}: {name} must be a function, got {describe(value)}; {hint}")
    try:
        takes = inspect.signature(value) if arguments else None
    except ValueError:  # of a function in C that does not say
        takes = None
    try:
        if takes:
            takes.bind(*range(arguments))
    except TypeError as error:
        raise TypeError(
            f"{caller}: {name}{takes} takes other arguments ({error}); {hint}"
        ) from None
    return value


def check_pair(caller: str, name: str, value: Any, what: str) -> tuple:
    """Return `value` as a tuple, or raise: two things in a tuple or list, which are `what`."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{caller}: {name} must be two {what}, got {describe(value)}")
    return tuple(value)


def check_has(caller: str, name: str, value: Any, what: str, *attributes: str) -> Any:
    """Return `value`, or raise: `what`, which has these attributes."""
    missing = [attribute for attribute in attributes if not hasattr(value, attribute)]
    if missing:
        raise TypeError(
            f"{caller}: {name} must be {what}, got {describe(value)}, which has no .{missing[0]}"
        )
    return value


def check_tensors(caller: str, name: str, value: Any, hint: str) -> Any:
    """Return `value`, or raise: a tensor, or a dict (or any nest) of one or more, nothing else."""
    leaves = tree_leaves(value)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise TypeError(f"{caller}: {name} must be tensors, got {describe(value)}; {hint}")
    return value


def check_float_tensors(caller: str, name: str, value: Any, hint: str) -> Any:
    """Return `value`, or raise: tensors of real numbers, which can have gradients."""
    for leaf in tree_leaves(check_tensors(caller, name, value, hint)):
        if not leaf.is_floating_point():
            raise TypeError(f"{caller}: {name} must be floats, got {leaf.dtype}; {hint}")
    return value


def check_finite(caller: str, name: str, tensor: Tensor, *, hint: str) -> Tensor:
    """Return `tensor`, or raise if it holds NaN or infinity."""
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(
            f"{caller}: {name} holds {bad} values that are not finite, of {tensor.numel()}; {hint}"
        )
    return tensor


def describe(value: Any) -> str:
    """Say in an error what a value is: as it is typed, or its type and shape.

    >>> describe("text"), describe(torch.zeros(2, 5))
    ("'text'", 'Tensor of shape (2, 5)')
    """
    if value is None or type(value) in (bool, int, float, str, tuple, list):
        return f"{value!r:.80}"
    kind = type(value).__name__
    if hasattr(value, "shape"):
        return f"{kind} of shape {tuple(value.shape)}"
    return f"{kind} {value!r:.60}"


def describe_function(function: Any) -> str:
    """Name a function and what is bound to it by `partial`, or write a plain setting.

    >>> from functools import partial
    >>> describe_function(partial(torch.optim.Adam, lr=0.001))
    'Adam(lr=0.001)'
    """
    if isinstance(function, partial):
        keywords = [f"{key}={value}" for key, value in sorted(function.keywords.items())]
        settings = ", ".join([*map(str, function.args), *keywords])
        return f"{describe_function(function.func)}({settings})"
    if isinstance(function, torch.nn.Module):
        own = {k: v for k, v in vars(function).items() if k[0] != "_" and k != "training"}
        return f"{type(function).__name__}({own})"
    return getattr(function, "__qualname__", str(function))


def _then(hint: str) -> str:
    return f"; {hint}" if hint else ""
