"""Calls that make no sense and files that are damaged, fewer than `tests/stress` has of each."""

import random
from collections import Counter

import pytest

from tests.stress import fuzz, fuzz_api


@pytest.mark.parametrize(
    "kind, build", [("checkpoint", fuzz.checkpoint), ("archive", fuzz.archive)]
)
def test_a_damaged_file_is_an_error_or_harmless(kind, build):
    outcomes = fuzz.count_outcomes(kind, build, 150, random.Random(1))
    assert set(outcomes) <= {"error", "the exact data"} and outcomes["error"] > 100


def test_a_wrong_outcome_would_be_seen(tmp_path):
    """The comparison above can fail."""
    good, read, same = fuzz.checkpoint(tmp_path)
    data = read(good)
    assert same(data)
    data.tensors["params"]["w"][0, 0] += 1
    assert not same(data)


def test_names_changed_in_an_archive_are_noticed(tmp_path):
    good, read, _ = fuzz.archive(tmp_path)
    with pytest.raises(ValueError, match="names hash to"):
        read(good.replace(b"Runes", b"Ruins"))


def test_senseless_calls_end_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "cpu" is a path, too
    calls, commands = Counter(), Counter()
    fuzz_api.call_api(6, calls)
    fuzz_api.call_command_line(20, commands)
    strange = {key for key in calls if key[1] not in ("worked", "refused")}
    assert not strange and len({name for name, _ in calls}) > 20
    assert set(commands) == {("mamlkit", "said")}
