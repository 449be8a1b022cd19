"""Claims that are checked: a measured value, a band, and a verdict that turns CI red."""

import math


def check(claim, value, *, between):
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
