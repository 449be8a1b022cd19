"""`python -m benchmarks.accuracy`: the Omniglot recipes, trained and tested on one protocol.

Trains a recipe with a seed (or goes on where `runs/` holds a part of it), tests it on 1,000 new
tasks with 15 queries a class, after as many inner steps as in training, and keeps the numbers in
accuracy.json, from which the tables of the README, ACCURACY.md and notebook 07 are made. One
thread: two runs side by side get more done on two cores than one run on both.
"""

import json
import os
from functools import partial
from pathlib import Path

import click
import nbformat
import torch

from benchmarks import accuracy_table as table
from benchmarks.__main__ import README
from benchmarks.__main__ import run as made_with
from mamlkit import files, shuffled_split
from mamlkit.models.layers import BatchNorm
from mamlkit.recipes import RECIPES

HERE = Path(__file__).parent
RESULTS, REPORT, RUNS = HERE / "accuracy.json", HERE / "ACCURACY.md", HERE.parent / "runs"
NOTEBOOK = HERE.parent / "notebooks" / "07_omniglot_maml.ipynb"
NOTEBOOK_LINK = "../benchmarks/ACCURACY.md"
SAME = 5  # tasks on which both modes are compared, where they cannot differ
OMNIGLOT = sorted(name for name in RECIPES if name.startswith("omniglot"))


@click.command()
@click.option("--recipe", multiple=True, type=click.Choice(OMNIGLOT), help="Some recipes.")
@click.option("--seed", multiple=True, type=click.IntRange(min=0), default=[0], show_default=True)
@click.option("--tables", is_flag=True, help="Only make the tables anew.")
@click.option("--split", type=click.Choice(["main", "shuffled"]), default="main")
def main(recipe, seed, tables, split):
    """Train, test and tabulate. Runs left out keep their numbers in accuracy.json."""
    torch.set_num_threads(1)
    if tables:
        return write(kept())
    for name in recipe or OMNIGLOT:
        for number in seed:
            load = os.getloadavg()[0]
            row = measured(name, number, split)
            command = f"python -m benchmarks.accuracy --recipe {name} --seed {number}"
            command += f" --split {split}" if split != "main" else ""
            keep(row | {"run": made_with(load) | {"command": command}})
            click.echo(f"{name}, seed {number}, {split}: {row['together']}")
            write(kept())


def key(row):
    """What tells two runs apart."""
    return row["split"], row["recipe"], row["seed"]


def keep(row):
    """Put a run into accuracy.json, in place of an earlier one."""
    found = sorted([*(r for r in kept() if key(r) != key(row)), row], key=key)
    files.write_whole(RESULTS, (json.dumps(found, indent=1) + "\n").encode())


def kept():
    """All runs in accuracy.json."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def write(rows):
    """Make the tables that people read anew."""
    REPORT.write_text(table.report(rows))
    README.write_text(table.insert(README.read_text(), rows))
    book = nbformat.read(NOTEBOOK, as_version=4)
    for cell in book.cells:
        cell.source = table.insert(cell.source, rows, NOTEBOOK_LINK)
    nbformat.write(book, NOTEBOOK)


def measured(name, seed, split):
    """One run, trained and tested: what accuracy.json holds of it."""
    recipe = RECIPES[name]
    training, test = tasks_of(recipe, split)
    folder = RUNS / f"{recipe.trained_as or name}-{split}-{seed}"
    run = recipe.train(seed=seed, distribution=training, checkpoint=folder, device="cpu")
    learner = recipe.tester()
    settings = {"distribution": test, "steps": learner.steps, "device": "cpu"}
    judge = partial(recipe.test, run.params, **settings)
    together = judge()
    if mixes_images(learner.module):
        apart = judge(transductive=False)
    else:
        few, alone = judge(tasks=SAME), judge(tasks=SAME, transductive=False)
        torch.testing.assert_close(
            few.values, alone.values, atol=0.02, rtol=0
        )  # a near tie may tip
        apart = together
    return {
        "recipe": name,
        "split": split,
        "seed": seed,
        "iterations": run.iterations,
        "seconds": round(run.seconds, 1),
        "threads": torch.get_num_threads(),
        "data": recipe.data,
        "together": numbers(together),
        "apart": numbers(apart),
    }


def tasks_of(recipe, split):
    """The distributions that train and that test."""
    if split == "main":
        return recipe.tasks(), recipe.test_tasks()
    training, test = shuffled_split(0)
    return recipe.tasks(images=training.images), recipe.test_tasks(images=test.images)


def mixes_images(module):
    """Whether what the module says of an image depends on the others."""
    return any(isinstance(layer, BatchNorm) for layer in module.modules())


def numbers(evaluation):
    """Means and 95 % intervals after 0, 1, ... steps, in percent, and how many tasks."""
    return {
        "tasks": len(evaluation.values),
        "mean": [round(100 * value, 2) for value in evaluation.mean.tolist()],
        "interval": [round(100 * value, 2) for value in evaluation.interval.tolist()],
    }


if __name__ == "__main__":
    main()
