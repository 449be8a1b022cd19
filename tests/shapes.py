"""The checker of annotations that tests run with: of shapes alone, at every call."""

from typing import Any, get_args

import jaxtyping
from beartype import beartype


def check_shapes(function):
    """Have beartype check those annotations that name shapes.

    Others are for the reader: a test that hands a function nonsense wants the function's own words.
    """
    hints = getattr(function, "__annotations__", {})
    function.__annotations__ = {n: h if _has_shape(h) else Any for n, h in hints.items()}
    return beartype(function)


def _has_shape(hint):
    is_array = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return is_array or any(_has_shape(part) for part in get_args(hint))
