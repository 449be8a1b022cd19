"""Checks of arguments. Each error names the caller, the value, the bound and the remedy."""

import math
from numbers import Integral, Real

import torch
from torch.utils._pytree import tree_leaves

LARGEST = 2**31 - 1  # of sizes and counts, far above what any memory holds


def whole(caller, name, value, *, least, most=LARGEST, hint=""):
    """Return `value` as an int, or raise: a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{caller}: {name} must be a whole number, got {shown(value)}{_then(hint)}")
    if value < least:
        raise ValueError(f"{caller}: {name} must be at least {least}, got {value}{_then(hint)}")
    if value > most:
        raise ValueError(f"{caller}: {name} must be at most {most}, got {value}{_then(hint)}")
    return int(value)


def number(caller, name, value, *, above=None, least=None, most=None, hint=""):
    """Return `value` as a float, or raise: finite, and within the bounds given."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{caller}: {name} must be a number, got {shown(value)}{_then(hint)}")
    if not math.isfinite(value):
        raise ValueError(f"{caller}: {name} must be finite, got {value}{_then(hint)}")
    if above is not None and value <= above:
        raise ValueError(f"{caller}: {name} must be above {above}, got {value}{_then(hint)}")
    if least is not None and value < least:
        raise ValueError(f"{caller}: {name} must be at least {least}, got {value}{_then(hint)}")
    if most is not None and value > most:
        raise ValueError(f"{caller}: {name} must be at most {most}, got {value}{_then(hint)}")
    return float(value)


def interval(caller, name, value, *, least=None):
    """Return `value` as two finite floats (low, high) with low <= high, or raise."""
    try:
        low, high = value
    except (TypeError, ValueError):
        raise TypeError(
            f"{caller}: {name} must be a pair (low, high), got {shown(value)}"
        ) from None
    low = number(caller, f"the lower end of {name}", low, least=least)
    high = number(caller, f"the upper end of {name}", high, least=low)
    return low, high


def choice(caller, name, value, known, other=""):
    """Return `value`, or raise: it must be one of `known`; `other` names what else is good."""
    if not any(type(value) is type(option) and value == option for option in known):
        options = ", ".join([*(repr(option) for option in known), *([other] if other else [])])
        raise ValueError(f"{caller}: {name} must be one of {options}; got {shown(value)}")
    return value


def function(caller, name, value, hint):
    """Return `value`, or raise: something that can be called."""
    if not callable(value):
        raise TypeError(f"{caller}: {name} must be a function, got {shown(value)}; {hint}")
    return value


def pair(caller, name, value, what):
    """Return `value` as a tuple, or raise: two things in a tuple or list, which are `what`."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{caller}: {name} must be two {what}, got {shown(value)}")
    return tuple(value)


def having(caller, name, value, what, *attributes):
    """Return `value`, or raise: `what`, which has these attributes."""
    missing = [attribute for attribute in attributes if not hasattr(value, attribute)]
    if missing:
        raise TypeError(
            f"{caller}: {name} must be {what}, got {shown(value)}, which has no .{missing[0]}"
        )
    return value


def tensors(caller, name, value, hint, *, least=1):
    """Return `value`, or raise: a dict (or any nest) of `least` tensors or more, nothing else."""
    leaves = tree_leaves(value)
    if len(leaves) < least or not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
        raise TypeError(f"{caller}: {name} must be tensors, got {shown(value)}; {hint}")
    return value


def descendable(caller, name, value, hint, *, least=1):
    """Return `value`, or raise: tensors of real numbers, which can have gradients."""
    for leaf in tree_leaves(tensors(caller, name, value, hint, least=least)):
        if not leaf.is_floating_point():
            raise TypeError(f"{caller}: {name} must be floats, got {leaf.dtype}; {hint}")
    return value


def shown(value):
    """A value in an error: as it is typed, or what it is.

    >>> shown("text"), shown(torch.zeros(2, 5))
    ("'text'", 'Tensor of shape (2, 5)')
    """
    if value is None or type(value) in (bool, int, float, str, tuple, list):
        return f"{value!r:.80}"
    kind = type(value).__name__
    if hasattr(value, "shape"):
        return f"{kind} of shape {tuple(value.shape)}"
    return f"{kind} {value!r:.60}"


def finite(caller, name, tensor, *, hint):
    """Return `tensor`, or raise if it holds NaN or infinity."""
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(
            f"{caller}: {name} holds {bad} values that are not finite, of {tensor.numel()}; {hint}"
        )
    return tensor


def _then(hint):
    return f"; {hint}" if hint else ""
