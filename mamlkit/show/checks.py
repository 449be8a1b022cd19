"""Claims that are checked: a measured value, a band, and a verdict that turns CI red."""

import math
from typing import SupportsFloat


def check(claim: str, value: SupportsFloat, *, between: tuple[float, float]) -> None:
    """Print whether `value` lies in the band `between=(low, high)`, or raise if it does not.

    A notebook prints measured numbers only through this: the claim and the band are the same on
    every machine, the value need not be. Bands come from runs with ten seeds.

    Raises AssertionError outside the band (or for NaN).

    >>> check("query MSE after one step", 0.61, between=(0.5, 0.8))
    ✓ query MSE after one step: between 0.5 and 0.8
    """
    low, high = between
    value = float(value)
    if math.isnan(value) or not low <= value <= high:
        raise AssertionError(f"{claim}: {value:.4g} is not between {low:g} and {high:g}")
    print(f"✓ {claim}: between {low:g} and {high:g}")


def exercise(task: str, answer: SupportsFloat | None, *, expected: float, tolerance: float) -> None:
    """Say whether the reader's answer to an exercise is right; `None` means not tried yet.

    Raises AssertionError for a wrong answer, with how far off it is.

    >>> exercise("the query MSE of the mean wave", None, expected=2.9, tolerance=0.1)
    ○ the query MSE of the mean wave: yours to find
    >>> exercise("the query MSE of the mean wave", 2.95, expected=2.9, tolerance=0.1)
    ✓ the query MSE of the mean wave: right
    """
    if answer is None:
        print(f"○ {task}: yours to find")
        return
    error = abs(float(answer) - expected)
    if not error <= tolerance:
        raise AssertionError(f"{task}: {float(answer):.4g} is {error:.2g} off; try again")
    print(f"✓ {task}: right")
