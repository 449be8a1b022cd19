"""The accuracies people read are those that were measured, and each says how."""

import json
import re

import nbformat
import pytest
import torch
from click.testing import CliRunner

from benchmarks import records
from experiments import accuracy, accuracy_table, omniglot_variants, paper, search
from mamlkit.devices import generator
from mamlkit.recipes import RECIPES
from mamlkit.recipes.omniglot import DATA
from mamlkit.recipes.omniglot_variants import LR, OUTER_STEPS, TEMPERATURE

MARK = records.marks("accuracy")[0]


@pytest.fixture(scope="module")
def rows():
    paper = accuracy_table.of_the_paper(records.read(accuracy.PAPER, []))
    return [*records.read(accuracy.RESULTS), *paper]


def test_tables_are_what_was_measured(rows):
    rows = [*rows, *accuracy_table.of_snell(records.read(accuracy.METRIC, []))]
    report = accuracy.REPORT.read_text(encoding="utf8")
    assert report == records.fill(report, accuracy_table.report(rows))
    assert all(records.marks(name)[0] in report for name in accuracy_table.report(rows))
    readme = records.README.read_text(encoding="utf8")
    assert records.fill(readme, accuracy_table.small(rows)) == readme and MARK in readme
    book = nbformat.read(accuracy.NOTEBOOK, as_version=4)
    cells = [cell.source for cell in book.cells if MARK in cell.source]
    assert len(cells) == 1 and cells[0] == records.fill(cells[0], accuracy_table.summary(rows))


def test_the_network_of_snell_et_al_was_tested_as_published():
    """1,000 tasks, fifteen queries of each class; a test of another kind is not in the tables."""
    found = records.read(accuracy.METRIC, [])
    whole = accuracy_table.of_snell(found)
    assert {row["split"] for row in whole} == {"main", "vinyals, validation in training"}
    assert len(whole) == 2 * len(accuracy_table.SETTINGS) < len(found)
    for row in whole:
        assert row["fifteen"]["tasks"] >= 1_000 and row["run"]["machine"]["cpu"]
        assert row["run"]["command"].startswith("python -m experiments.metric --run 'snell'")
        assert "--quick" not in row["run"]["command"]


def test_a_changed_number_shows(rows):
    """The comparison above can fail."""
    wrong = json.loads(json.dumps(rows))
    wrong[0]["apart"]["mean"][-1] -= 1
    report = accuracy.REPORT.read_text(encoding="utf8")
    assert report != records.fill(report, accuracy_table.report(wrong))


def test_each_run_says_how_it_came_about(rows):
    for row in rows:
        paper = "-paper" in row["recipe"]
        name = f"{row['recipe']}-{row['split']}" if paper else row["recipe"]
        assert name in RECIPES and row.get("data", DATA) == DATA
        command = row["run"]["command"]
        assert f"--recipe {name} --seed {row['seed']}" in command
        assert command.startswith(f"python -m experiments.{'paper' if paper else 'accuracy'}")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["run"]["date"])
        assert row["run"]["machine"]["cpu"] and row["run"]["versions"]["mamlkit"]
        begun = "--curve" in command  # has validations in place of a test
        assert row["validation"] if begun else row["together"]["tasks"] >= 1_000
        assert row["seconds"] > 0


def test_before_adaptation_is_chance_in_every_row(rows):
    for row in rows:
        ways = int(re.search(r"(\d+)way", row["recipe"])[1])
        for mode in () if "--curve" in row["run"]["command"] else ("together", "apart"):
            if len(row[mode]["mean"]) == 1:
                continue  # a prototypical network takes no step, and this is its answer
            mean, interval = row[mode]["mean"][0], row[mode]["interval"][0]
            # Of twenty rows, one lies outside its 95 % interval by chance alone; three standard
            # errors, 1.53 times as much, are left by one row in 370.
            assert abs(mean - 100 / ways) <= 1.53 * interval + 0.005, row["recipe"]


def test_what_is_asked_in_three_ways_is_compared_on_the_same_tasks(rows):
    for row in rows:
        if "harder by" in row:
            for how, gap in row["harder by"].items():
                means = [row[way]["mean"][row["steps"]] for way in ("together", how)]
                assert abs(means[0] - means[1] - gap["mean"][row["steps"]]) < 0.02
                assert gap["tasks"] >= 600


def test_leads_over_the_zero_head_are_differences_of_its_row(rows):
    zero = {row["recipe"]: row for row in rows if (row["split"], row["seed"]) == ("main", 0)}
    for row in rows:
        if "minus zero head" in row:
            lead, other = row["minus zero head"], zero[row["recipe"].rpartition("-")[0]]
            means = [each["together"]["mean"][-1] for each in (row, other)]
            assert abs(means[0] - means[1] - lead["mean"][0]) < 0.05
            assert lead["tasks"] >= 1_000
            if "prototypes" in row["recipe"]:  # the two controls are within a point of each other
                assert abs(lead["mean"][0]) < 1


@pytest.mark.parametrize("split, classes", [("main", (964, 659)), ("shuffled", (1200, 423))])
def test_a_split_trains_and_tests_on_its_own_characters(split, classes, omniglot):
    training, test = accuracy.split_tasks(RECIPES["omniglot-5way-1shot"], split)
    assert (training.episodes.classes, test.classes) == classes
    assert (training.episodes.ways, test.ways) == (20, 5)


def test_the_log_of_tries_is_what_was_measured():
    rows = json.loads(search.RESULTS.read_text(encoding="utf8"))
    report = search.REPORT.read_text(encoding="utf8")
    assert report == records.fill(report, search.report(rows)) and len(rows) > 10
    assert records.marks("search")[0] in report


def test_a_try_refuses_what_it_does_not_know():
    result = CliRunner().invoke(search.main, ['{"learner": "MAML", "depth": 5}'])
    assert result.exit_code != 0 and "settings may be learner, steps, filters" in result.output


def test_a_tested_run_is_not_replaced_by_its_curve():
    run = "--recipe omniglot-5way-1shot-paper-vinyals --seed 1 --iterations 60000 --curve"
    result = CliRunner().invoke(paper.main, run.split())
    assert result.exit_code != 0 and "this run is tested" in result.output


def test_variants_are_trained_as_the_best_try_was():
    rows = records.read(omniglot_variants.RESULTS)
    own = {("maml", ways): scale for ways, scale in LR.items()} | {("prototypes", 20): TEMPERATURE}
    assert {(row["member"], row["ways"]) for row in rows} == set(own)
    for (member, ways), scale in own.items():
        tries = [row for row in rows if (row["member"], row["ways"]) == (member, ways)]
        assert len(tries) == len({(row["scale"], row["outer step"]) for row in tries}) > 2
        best = max(tries, key=lambda row: row["mean"][-1])
        assert (best["scale"], best["outer step"]) == (scale, OUTER_STEPS[member])


@pytest.mark.parametrize("ways", [5, 20])
def test_every_layer_moves_in_the_rows_that_say_so(ways, omniglot):
    """The inner loop's gradient reaches each tensor that is said to adapt, from the start."""
    for name in (f"omniglot-{ways}way-1shot-maml", f"omniglot-{ways}way-1shot-paper-main"):
        learner = RECIPES[name].start(seed=0)
        task = RECIPES[name].test_tasks().sample(1, 1, 1, generator=generator(0, "cpu")).task(0)
        start = learner.init_fast_weights(learner.init(), task.support)
        gradient = torch.func.grad(learner.task_loss)(start, *task.support)
        layers = {key for key in gradient if learner.is_adapted(key)}
        assert sum("weight" in key for key in layers) >= 5  # four convolutions and the head
        assert all(gradient[key].norm() > 0 for key in layers)
