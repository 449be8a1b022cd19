"""The tables people read are the numbers that were measured."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import render
from benchmarks.cases import CASES, FLOOR, OURS
from benchmarks.floor import flops, products
from benchmarks.measure import _agree
from benchmarks.worker import Worker

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def results():
    path = ROOT / "benchmarks" / "results.json"
    if not path.exists():
        pytest.skip("no benchmarks/results.json yet: run `make bench`")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def machines(results):
    """name -> section, for the main machine and for those kept apart."""
    return [{k: v for k, v in results.items() if k != "apart"}, *results.get("apart", {}).values()]


def test_tables_are_what_was_measured(results):
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text() == render.report(results)
    readme = (ROOT / "README.md").read_text()
    assert render.insert(readme, results) == readme


def test_results_say_how_they_came_about(machines):
    for section in itertools.chain(*(found.values() for found in machines)):
        run = section["run"]
        assert run["command"].startswith("python -m benchmarks")
        assert run["machine"]["cpu"] and run["machine"]["cores"] >= 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", run["date"])
        for name in ("mamlkit", "torch", "jax", "optax", "higher", "parallel-metalearn", "python"):
            assert run["versions"][name]


def test_every_contender_was_checked_and_timed(machines):
    for name, found in itertools.product(CASES, machines):
        if name not in found:
            continue
        case, contenders = CASES[name], found[name]["contenders"]
        assert list(contenders) == list(case.specs()) and next(iter(contenders)) == OURS
        for who, numbers in contenders.items():
            seconds = numbers["seconds"]
            assert 0 < seconds["low"] <= seconds["median"] <= seconds["high"]
            assert who == FLOOR or numbers["gradient_distance"] < case.tolerance


def test_the_family_was_measured_with_three_seeds():
    family = json.loads((ROOT / "benchmarks" / "family.json").read_text())
    assert set(family) == {"sine", "omniglot"}
    for case in family.values():
        assert case["run"]["command"] == "python -m benchmarks.family"
        assert case["run"]["machine"]["cpu"] and case["run"]["versions"]["torch"]
        for method in case["methods"].values():
            assert [run["seed"] for run in method["runs"]] == [0, 1, 2]


def test_killed_runs_had_something_to_come_back_to():
    """Bar: fifty of fifty, and a run that never began its first step proves nothing."""
    kills = json.loads((ROOT / "benchmarks" / "kills.json").read_text())
    assert [row["mode"] for row in kills["rows"]] == ["eager", "compiled"]
    for row in kills["rows"]:
        after = row["iterations after each"]
        assert row["kills"] == len(after) == 50 and after == sorted(after)
        assert sum(a < b for a, b in itertools.pairwise([0, *after])) >= 25
        assert row["equal to the bit"] or row["largest relative difference"] < 1e-6


def test_the_section_between_the_marks_is_replaced():
    text = f"before {render.BEGIN}old{render.END} after"
    assert render.insert(text, {}) == f"before {render.BEGIN}\n\n{render.END} after"
    assert render.insert("no marks", {}) == "no marks"


def test_floor_counts_every_product_once():
    """By hand: multiplications per image of each layer, and how often each is needed."""
    layers = [
        2 * side**2 * 9 * channels * 64 for side, channels in ((14, 1), (7, 64), (4, 64), (2, 64))
    ]
    support = 4 * layers[0] + 9 * sum(layers[1:])
    query = 2 * layers[0] + 3 * sum(layers[1:])
    assert flops(tasks=32, shots=1, queries=15) == 32 * 5 * (support + 15 * query)
    assert len(products(tasks=32, shots=1, queries=1)) == 6 + 3 * 12


def test_a_worker_runs_on_its_own_and_tells_what_went_wrong():
    size = {"tasks": 2, "shots": 1, "queries": 1}
    spec = {"target": "benchmarks.floor:Floor", "network": "floor", "size": size}
    with Worker(**spec) as worker:
        assert worker.ask("run", 1) > 0
        assert worker.ask("memory") > 50
        with pytest.raises(RuntimeError, match="no_such"):
            worker.ask("no_such")
        assert worker.ask("run", 1) > 0


def test_gradients_that_differ_are_not_timed():
    gradient = {"w": np.ones(4, np.float32)}
    _agree({"a": {"gradient": gradient}, "b": {"gradient": {"w": gradient["w"] * 1.000001}}}, 1e-5)
    with pytest.raises(ValueError, match="b: its meta-gradient"):
        _agree({"a": {"gradient": gradient}, "b": {"gradient": {"w": gradient["w"] * 1.1}}}, 1e-5)
