"""The tables people read are the numbers that were measured."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import records, render
from benchmarks.__main__ import REPORT, RESULTS
from benchmarks.cases import CASES, FLOOR, MAMLKIT
from benchmarks.floor import flops, products
from benchmarks.measure import compare_gradients, measure
from benchmarks.worker import Worker

ROOT = Path(__file__).parents[1]
FLOOR_SPEC = {
    "target": "benchmarks.floor:Floor",
    "network": "floor",
    "size": {"tasks": 2, "shots": 1, "queries": 1},
}


@pytest.fixture(scope="module")
def results():
    """The numbers of every section; of one that was not measured, none."""
    return json.loads(RESULTS.read_text(encoding="utf8"))


def test_tables_are_what_was_measured(results):
    report = REPORT.read_text(encoding="utf8")
    assert report == records.fill(report, render.report(results))
    assert all(records.marks(name)[0] in report for name in render.report(results))
    readme = records.README.read_text(encoding="utf8")
    assert readme == records.fill(readme, {"bench": render.summary(results)})
    assert records.marks("bench")[0] in readme


def test_results_say_how_they_came_about(results):
    for section in results.values():
        run = section["run"]
        assert run["command"].startswith("python -m benchmarks")
        assert run["machine"]["cpu"] and run["machine"]["cores"] >= 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", run["date"])
        for name in ("mamlkit", "torch", "jax", "optax", "higher", "parallel-metalearn", "python"):
            assert run["versions"][name]


def test_every_contender_was_checked_and_timed(results):
    for name in CASES.keys() & results.keys():
        case, contenders = CASES[name], results[name]["contenders"]
        assert list(contenders) == list(case.specs()) and next(iter(contenders)) == MAMLKIT
        for who, numbers in contenders.items():
            seconds = numbers["seconds"]
            assert 0 < seconds["fastest"] <= seconds["low"] <= seconds["median"] <= seconds["high"]
            assert who == FLOOR or numbers["gradient_distance"] < case.tolerance


def test_a_measured_section_shows_its_numbers_and_a_missing_one_says_so():
    row = {
        "seconds": {"fastest": 0.00042, "low": 0.00043, "median": 0.00044, "high": 0.00045},
        "ratio": {"fastest": 1.25, "low": 1.3, "median": 1.5, "high": 1.6},
        "rounds": 15,
        "first_call_s": 12.0,
        "memory_mb": 700,
        "gradient_distance": 1e-7,
    }
    machine = {"cpu": "a processor", "vectors": "AVX2", "cores": 2, "load_before": 0.25}
    run = {
        "command": "python -m benchmarks",
        "date": "2026-11-25",
        "machine": machine,
        "settings": {"OMP_NUM_THREADS": "1"},
        "versions": {"torch": "2.14.1", "jax": "0.10.2"},
    }
    results = {"sine": {"run": run, "contenders": {MAMLKIT: row, "another": row}}}
    tables = render.report(results) | {"bench": render.summary(results)}
    assert (
        "| another | 0.420 ms | 0.440 ms | 1.25 | 1.50 | 12.0 s | 700 MB |" in tables["bench-sine"]
    )
    assert f"| **{MAMLKIT}** | 0.420 ms | not measured |" in tables["bench"]
    assert "Not measured" in tables["bench-omniglot"]
    assert "--only omniglot`" in tables["bench-omniglot"]
    assert "1 thread, load 0.2 at the start" in tables["bench-sine"]


def test_the_variants_were_measured_with_three_seeds():
    path = ROOT / "experiments" / "results" / "variants.json"
    variants = json.loads(path.read_text(encoding="utf8"))
    assert set(variants) == {"sine", "omniglot"}
    for case in variants.values():
        assert case["run"]["command"] == "python -m experiments.variants"
        assert case["run"]["machine"]["cpu"] and case["run"]["versions"]["torch"]
        for method in case["methods"].values():
            assert [run["seed"] for run in method["runs"]] == [0, 1, 2]


def test_killed_runs_had_something_to_come_back_to():
    """Bar: fifty of fifty, and a run that never began its first step proves nothing."""
    path = ROOT / "tests" / "stress" / "results" / "kill_resume.json"
    kills = json.loads(path.read_text(encoding="utf8"))
    assert [row["mode"] for row in kills["rows"]] == ["eager", "compiled"]
    for row in kills["rows"]:
        after = row["iterations after each"]
        assert row["kills"] == len(after) == 50 and after == sorted(after)
        assert sum(a < b for a, b in itertools.pairwise([0, *after])) >= 25
        assert row["equal to the bit"] or row["largest relative difference"] < 1e-6


def test_the_section_between_the_marks_is_replaced():
    begin, end = records.marks("bench")
    page = f"before {begin}old{end} after"
    assert records.fill(page, {"bench": "new"}) == f"before {begin}\nnew\n{end} after"
    assert records.fill("no marks", {"bench": "new"}) == "no marks"


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
    with Worker(**FLOOR_SPEC) as worker:
        assert worker.ask("run", 1) > 0
        assert worker.ask("memory") > 50
        with pytest.raises(RuntimeError, match="no_such"):
            worker.ask("no_such")
        assert worker.ask("run", 1) > 0


def test_contenders_take_turns_and_the_fastest_of_each_is_compared():
    numbers = measure({"one": FLOOR_SPEC, "other": FLOOR_SPEC}, rounds=2, seconds=0.01)
    one, other = (numbers[name]["seconds"]["fastest"] for name in ("one", "other"))
    assert numbers["one"]["ratio"]["fastest"] == numbers["one"]["ratio"]["median"] == 1
    assert numbers["other"]["ratio"]["fastest"] == other / one
    assert numbers["one"]["rounds"] == numbers["other"]["rounds"] == 2


def test_gradients_that_differ_are_not_timed():
    gradient = {"w": np.ones(4, np.float32)}
    near, far = ({"gradient": {"w": gradient["w"] * scale}} for scale in (1.000001, 1.1))
    compare_gradients({"a": {"gradient": gradient}, "b": near}, 1e-5)
    with pytest.raises(ValueError, match="b: its meta-gradient"):
        compare_gradients({"a": {"gradient": gradient}, "b": far}, 1e-5)
