"""The accuracies people read are those that were measured, and each says how."""

import json
import re

import nbformat
import pytest
from click.testing import CliRunner

from benchmarks import records
from experiments import accuracy, accuracy_table, omniglot_variants, search
from mamlkit.recipes import RECIPES
from mamlkit.recipes.omniglot import DATA

MARK = records.marks("accuracy")[0]


@pytest.fixture(scope="module")
def rows():
    return json.loads(accuracy.RESULTS.read_text(encoding="utf8"))


def test_tables_are_what_was_measured(rows):
    report = accuracy.REPORT.read_text(encoding="utf8")
    assert report == records.fill(report, accuracy_table.report(rows))
    assert all(records.marks(name)[0] in report for name in accuracy_table.report(rows))
    readme = records.README.read_text(encoding="utf8")
    assert records.fill(readme, accuracy_table.small(rows)) == readme and MARK in readme
    book = nbformat.read(accuracy.NOTEBOOK, as_version=4)
    cells = [cell.source for cell in book.cells if MARK in cell.source]
    assert len(cells) == 1 and cells[0] == records.fill(cells[0], accuracy_table.summary(rows))


def test_a_changed_number_shows(rows):
    """The comparison above can fail."""
    wrong = json.loads(json.dumps(rows))
    wrong[0]["apart"]["mean"][-1] -= 1
    report = accuracy.REPORT.read_text(encoding="utf8")
    assert report != records.fill(report, accuracy_table.report(wrong))


def test_each_run_says_how_it_came_about(rows):
    for row in rows:
        assert row["recipe"] in RECIPES and row["data"] == DATA
        command = row["run"]["command"]
        assert f"--recipe {row['recipe']} --seed {row['seed']}" in command
        assert command.startswith("python -m experiments.accuracy")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["run"]["date"])
        assert row["run"]["machine"]["cpu"] and row["run"]["versions"]["mamlkit"]
        assert row["together"]["tasks"] >= 1_000 and row["seconds"] > 0


def test_before_adaptation_is_chance_in_every_row(rows):
    for row in rows:
        ways = int(re.search(r"(\d+)way", row["recipe"])[1])
        for mode in ("together", "apart"):
            if len(row[mode]["mean"]) == 1:
                continue  # a prototypical network takes no step, and this is its answer
            mean, interval = row[mode]["mean"][0], row[mode]["interval"][0]
            # Of twenty rows, one lies outside its 95 % interval by chance alone; three standard
            # errors, 1.53 times as much, are left by one row in 370.
            assert abs(mean - 100 / ways) <= 1.53 * interval + 0.005, row["recipe"]


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


@pytest.mark.parametrize("settings", ['{"depth": 5}', '{"lr": -1}', "0.1", "lr=0.1"])
def test_a_variant_tells_of_wrong_settings(settings):
    result = CliRunner().invoke(omniglot_variants.main, ["reptile", settings])
    assert result.exit_code == 1 and "SETTINGS must be JSON of Reptile's arguments" in result.output
