"""Checks of arguments. Each error names the caller, the value, the bound and the remedy."""

import math
from numbers import Integral, Real

import torch


def whole(caller, name, value, *, least, most=None, hint=""):
    """Return `value` as an int, or raise: a whole number from `least` to `most` (or any more)."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{caller}: {name} must be a whole number, got {value!r}{_then(hint)}")
    if value < least:
        raise ValueError(f"{caller}: {name} must be at least {least}, got {value}{_then(hint)}")
    if most is not None and value > most:
        raise ValueError(f"{caller}: {name} must be at most {most}, got {value}{_then(hint)}")
    return int(value)


def number(caller, name, value, *, above=None, least=None, most=None, hint=""):
    """Return `value` as a float, or raise: finite, and within the bounds given."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{caller}: {name} must be a number, got {value!r}{_then(hint)}")
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
        raise TypeError(f"{caller}: {name} must be a pair (low, high), got {value!r}") from None
    low = number(caller, f"the lower end of {name}", low, least=least)
    high = number(caller, f"the upper end of {name}", high, least=low)
    return low, high


def choice(caller, name, value, known):
    """Return `value`, or raise: it must be one of `known`."""
    if value not in known:
        options = ", ".join(repr(option) for option in known)
        raise ValueError(f"{caller}: {name} must be one of {options}; got {value!r}")
    return value


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
