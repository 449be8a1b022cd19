"""`check` shows a value and a verdict, on any console, and nbval compares the verdict alone."""

import configparser
import io
import re
import sys
from pathlib import Path

import pytest

from mamlkit.show.checks import check, exercise

SANITIZE = Path(__file__).parents[1] / "notebooks" / "sanitize.cfg"


def sanitized(line):
    """What nbval makes of a line before it compares it."""
    rules = configparser.RawConfigParser()
    rules.read(SANITIZE, encoding="utf8")
    for section in rules.sections():
        line = re.sub(rules.get(section, "regex"), rules.get(section, "replace"), line)
    return line


def printed(capsys, *arguments, **band):
    check(*arguments, **band)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "value, shown",
    [(0.6134, "0.613"), (1523.4, "1523"), (2.4e-7, "2.4e-07"), (-1.62, "-1.62"), (0, "0")],
)
def test_the_value_is_shown_rounded(capsys, value, shown):
    assert f"claim: {shown}, between -2 and 2000" in printed(
        capsys, "claim", value, between=(-2, 2000)
    )


def test_nbval_compares_claim_and_band_but_not_the_value(capsys):
    one = printed(capsys, "error, K = 5: after", 0.61, between=(0.5, 0.8))
    other = printed(capsys, "error, K = 5: after", 7.3e-01, between=(0.5, 0.8))
    wider = printed(capsys, "error, K = 5: after", 0.61, between=(0.5, 0.9))
    assert one != other and sanitized(one) == sanitized(other) != sanitized(wider)
    assert (
        sanitized(printed(capsys, "x", -1e-9, between=(-1, 1))) == "✓ x: VALUE, between -1 and 1\n"
    )


def test_nbval_compares_tables_that_come_from_a_file():
    row = "MAML              19.4 ± 1.1    80.9 ± 1.5        52"
    assert sanitized(row) == row


@pytest.mark.parametrize(
    "here, elsewhere",
    [
        ("alone  86.6% ± 1.3   3.0 ± 1.1 points less", "alone  9.9% ± 0.7  13.7 ± 1 points less"),
        ("all: 83.4 ± 3.5 % over 20 alphabets", "all: 84.0 ± 4 % over 20 alphabets"),
        (
            "right: within 2e-09 of finite differences",
            "right: within 3.1e-10 of finite differences",
        ),
    ],
)
def test_nbval_does_not_compare_digits_that_are_the_processors(here, elsewhere):
    assert sanitized(here) == sanitized(elsewhere) != sanitized(here.replace("e", "a"))


@pytest.mark.parametrize("value", [0.4, float("nan"), float("inf")])
def test_outside_the_band_is_an_error(value):
    with pytest.raises(AssertionError, match="claim"):
        check("claim", value, between=(0.5, 0.8))


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_without_the_sign_gets_a_word(monkeypatch, encoding):
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    check("angle at α = 0.1", 5, between=(3, 9))
    exercise("θ", None, expected=1, tolerance=0)
    console.flush()
    lines = console.buffer.getvalue().decode(encoding).splitlines()
    assert lines == ["ok angle at ? = 0.1: 5, between 3 and 9", "-- ?: yours to find"]
