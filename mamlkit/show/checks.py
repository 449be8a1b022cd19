"""Claims that are checked: a measured value, a band, and a verdict that turns CI red."""

import math
import sys
from typing import SupportsFloat


def check(claim: str, value: SupportsFloat, *, between: tuple[float, float]) -> None:
    """Print `value` and that it lies in the band `between=(low, high)`, or raise if it does not.

    The claim and the band are the same on every machine, the last digits of the value need not be:
    `notebooks/sanitize.cfg` has nbval compare the line without its value. The spread of the values
    over seeds lies in `experiments/results/bands.json`.

    Raises AssertionError outside the band (or for NaN).

    >>> check("query MSE after one step", 0.6134, between=(0.5, 0.8))
    ✓ query MSE after one step: 0.613, between 0.5 and 0.8
    """
    low, high = between
    value = float(value)
    if math.isnan(value) or not low <= value <= high:
        raise AssertionError(f"{claim}: {value:.4g} is not between {low:g} and {high:g}")
    rounded = f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
    _say("✓", f"{claim}: {rounded}, between {low:g} and {high:g}")


def exercise(task: str, answer: SupportsFloat | None, *, expected: float, tolerance: float) -> None:
    """Say whether the reader's answer to an exercise is right; `None` means not tried yet.

    Raises AssertionError for a wrong answer, with how far off it is.

    >>> exercise("the query MSE of the mean wave", None, expected=2.9, tolerance=0.1)
    ○ the query MSE of the mean wave: yours to find
    >>> exercise("the query MSE of the mean wave", 2.95, expected=2.9, tolerance=0.1)
    ✓ the query MSE of the mean wave: right
    """
    if answer is None:
        _say("○", f"{task}: yours to find")
        return
    error = abs(float(answer) - expected)
    if not error <= tolerance:
        raise AssertionError(f"{task}: {float(answer):.4g} is {error:.2g} off; try again")
    _say("✓", f"{task}: right")


def _say(mark: str, line: str) -> None:
    """Print a line; a console without ✓ (cp1252, ASCII) gets a word, and ? for other signs."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        mark.encode(encoding)
    except UnicodeEncodeError:
        mark = {"✓": "ok", "○": "--"}[mark]
    print(f"{mark} {line}".encode(encoding, "replace").decode(encoding))
