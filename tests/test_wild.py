"""Calls that make no sense and files that are damaged, fewer than `benchmarks` has of each."""

import random
from collections import Counter

import pytest

from benchmarks import fuzz, wild


@pytest.mark.parametrize(
    "kind, build", [("checkpoint", fuzz.checkpoint), ("archive", fuzz.archive)]
)
def test_a_damaged_file_is_an_error_or_harmless(kind, build):
    found = fuzz.tried(kind, build, 150, random.Random(1))
    assert set(found) <= {"error", "the exact data"} and found["error"] > 100


def test_a_wrong_outcome_would_be_seen(tmp_path):
    """The comparison above can fail."""
    good, read, same = fuzz.checkpoint(tmp_path)
    found = read(good)
    assert same(found)
    found.tensors["params"]["w"][0, 0] += 1
    assert not same(found)


def test_names_changed_in_an_archive_are_noticed(tmp_path):
    good, read, _ = fuzz.archive(tmp_path)
    with pytest.raises(ValueError, match="other names"):
        read(good.replace(b"Runes", b"Ruins"))


def test_wild_calls_end_in_a_sentence():
    seen, said = Counter(), Counter()
    wild.api(6, seen)
    wild.words(20, said)
    strange = {key for key in seen if key[1] not in ("worked", "refused")}
    assert not strange and len({name for name, _ in seen}) > 20
    assert set(said) == {("mamlkit", "said")}
