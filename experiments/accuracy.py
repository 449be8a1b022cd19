"""`python -m experiments.accuracy`: one recipe, three learners, trained and tested alike.

Trains MAML, the zero head or prototypes with a seed (or goes on where `runs/` holds a part of it),
tests it on 1,000 new tasks with 15 queries a class, after as many inner steps as in training, and
keeps the numbers in results/accuracy.json, from which, with paper.json and metric.json, the tables
of the README, of ACCURACY.md and of notebook 07 are made.
One thread: two runs side by side get more done on two cores than one run on both.
"""

from functools import partial
from pathlib import Path

import click
import nbformat
import torch

from benchmarks.records import README, ROOT, fill, load_average, provenance, read, refill, upsert
from experiments import accuracy_table as table
from mamlkit import Evaluation, pretrained, shuffled_split
from mamlkit.recipes import RECIPES
from mamlkit.recipes.omniglot import OMNIGLOT
from mamlkit.recipes.omniglot_variants import OMNIGLOT_VARIANTS

HERE = Path(__file__).parent
RESULTS, REPORT, RUNS = HERE / "results" / "accuracy.json", HERE / "ACCURACY.md", ROOT / "runs"
NOTEBOOK = ROOT / "notebooks" / "07_omniglot_maml.ipynb"
FEW = 5  # tasks on which two tests are compared that cannot differ
PAPER, METRIC = HERE / "results" / "paper.json", HERE / "results" / "metric.json"
QUICK = sorted({**OMNIGLOT, **OMNIGLOT_VARIANTS})


@click.command()
@click.option("--recipe", multiple=True, type=click.Choice(QUICK), help="Some recipes.")
@click.option("--seed", multiple=True, type=click.IntRange(min=0), default=[0], show_default=True)
@click.option("--tables", is_flag=True, help="Only fill the tables anew.")
@click.option("--split", type=click.Choice(["main", "shuffled"]), default="main")
@click.option("--runs", type=click.Path(path_type=Path), default=RUNS, help="Checkpoints.")
@click.option("--out", type=click.Path(path_type=Path), help="Where weights and cards go.")
def main(recipe, seed, tables, split, runs, out):
    """Train, test and tabulate. Runs left out keep their numbers in accuracy.json."""
    torch.set_num_threads(1)
    rows = read(RESULTS, [])
    for name in [] if tables else recipe or QUICK:
        for number in seed:
            load = load_average()
            row = measure(name, number, split, runs, out)
            command = f"python -m experiments.accuracy --recipe {name} --seed {number}"
            command += f" --split {split}" if split != "main" else ""
            row["run"] = provenance(load, command)
            rows = upsert(RESULTS, row, key)
            click.echo(f"{name}, seed {number}, {split}: {row['together']}")
    fill_tables(rows)


def key(row):
    """Return what tells two runs apart."""
    return row["split"], row["recipe"], row["seed"]


def fill_tables(rows):
    """Fill the tables that people read anew."""
    rows = [*rows, *table.of_the_paper(read(PAPER, [])), *table.of_snell(read(METRIC, []))]
    refill(REPORT, table.report(rows))
    refill(README, table.small(rows))
    book = nbformat.read(NOTEBOOK, as_version=4)
    sources = [fill(cell.source, table.summary(rows)) for cell in book.cells]
    if sources != [cell.source for cell in book.cells]:
        for cell, source in zip(book.cells, sources, strict=True):
            cell.source = source
        nbformat.write(book, NOTEBOOK)


def measure(name, seed, split, runs=RUNS, out=None):
    """Train and test once; return what accuracy.json keeps of it."""
    recipe = RECIPES[name]
    training, test = split_tasks(recipe, split)
    folder = runs / f"{recipe.trained_as or name}-{split}-{seed}"
    run = recipe.train(seed=seed, distribution=training, checkpoint=folder, device="cpu")
    here = {"distribution": test, "device": "cpu"}
    judge = partial(recipe.test, run.params, **here)
    together, few, alone = judge(), judge(tasks=FEW), judge(tasks=FEW, transductive=False)
    near_tie = 0.02  # one query may tip
    torch.testing.assert_close(few.values, alone.values, atol=near_tie, rtol=0)
    if out and split == "main":  # what the card says
        command = f"mamlkit train {name} --seed {seed}"
        pretrained.save(out, name, run, together, command=command, seed=seed)
    row = {
        "recipe": name,
        "split": split,
        "seed": seed,
        "iterations": run.iterations,
        "seconds": round(run.seconds, 1),
        "threads": torch.get_num_threads(),
        "data": recipe.data,
        "together": percent(together),
        "apart": percent(together),  # layer norm: seen on the few
    }
    if name in OMNIGLOT_VARIANTS and split == "main":
        row["minus zero head"] = percent(minus_zero_head(name, together, here))
    return row


def minus_zero_head(name, test, here):
    """Return the lead over the zero head that ships, task by task: both see the same tasks."""
    setting = name.rpartition("-")[0]
    _, params = pretrained.load(setting, device="cpu")
    other = RECIPES[setting].test(params, **here)
    return Evaluation(test.values[:, -1:] - other.values[:, -1:])


def split_tasks(recipe, split):
    """Return the distributions that train and that test."""
    if split == "main":
        return recipe.tasks(), recipe.test_tasks()
    training, test = shuffled_split(0)
    return recipe.tasks(images=training.images), recipe.test_tasks(images=test.images)


def percent(evaluation):
    """Return means and 95 % intervals after 0, 1, ... steps, and how many tasks."""
    return {
        "tasks": len(evaluation.values),
        "mean": [round(100 * value, 2) for value in evaluation.mean.tolist()],
        "interval": [round(100 * value, 2) for value in evaluation.interval.tolist()],
    }


if __name__ == "__main__":
    main()
