"""`python -m experiments.paper`: the paper's Omniglot experiment, trained and tested its way.

Trains a recipe `omniglot-...-paper` on a split with a seed (or goes on where `runs/` holds a part
of it), with a look at 600 validation tasks every 1,000 iterations where the split has a validation
part, and tests it on 1,000 new tasks in three ways: as many queries of each class together as there
are shots (the paper's), fifteen of each together, and each query alone beside the support set.
Everything goes to results/paper.json; no iteration is chosen, the last one counts.
One thread: two runs side by side get more done on two cores than one run on both.
"""

from pathlib import Path

import click
import torch

from benchmarks.records import ROOT, load_average, provenance, read, write
from experiments.accuracy import percent
from mamlkit import FewShot, evaluate, vinyals_split
from mamlkit.recipes import RECIPES
from mamlkit.recipes.omniglot import test_tasks
from mamlkit.recipes.omniglot_paper import OMNIGLOT_PAPER, training_tasks

RESULTS, RUNS = Path(__file__).parent / "results" / "paper.json", ROOT / "runs"
VALIDATION_SEED, VALIDATION_TASKS, VALIDATE_EVERY = 2_000_000, 600, 1_000


@click.command()
@click.option("--recipe", required=True, type=click.Choice(sorted(OMNIGLOT_PAPER)))
@click.option("--split", type=click.Choice(["vinyals", "main"]), default="vinyals")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--iterations", type=int, default=60_000, show_default=True, help="Stop there.")
@click.option("--runs", type=click.Path(path_type=Path), default=RUNS, help="Checkpoints.")
def main(recipe, split, seed, iterations, runs):
    """Train and test one recipe. Other rows of paper.json stay."""
    torch.set_num_threads(1)
    load = load_average()
    row = measure(recipe, split, seed, iterations, runs)
    command = f"python -m experiments.paper --recipe {recipe} --split {split} --seed {seed}"
    row["run"] = provenance(load, f"{command} --iterations {iterations}")
    write(RESULTS, sorted([*(r for r in read(RESULTS, []) if key(r) != key(row)), row], key=key))


def key(row):
    """Return what tells two rows apart."""
    return row["split"], row["recipe"], row["seed"], row["iterations"]


def measure(name, split, seed, iterations, runs):
    """Train and test once; return what paper.json keeps of it."""
    recipe = RECIPES[name]
    ways, shots = recipe.start(0).module.head.out_features, recipe.training["shots"]
    learner, (training, validation, test) = recipe.tester(), split_tasks(split, ways)
    settings = {"shots": shots, "queries": shots, "tasks": VALIDATION_TASKS, "steps": learner.steps}

    def validate(params):
        seen = evaluate(learner, params, validation, seed=VALIDATION_SEED, **settings)
        return seen.mean[-1]

    options = {"seed": seed, "distribution": training, "device": "cpu", "iterations": iterations}
    if validation is not None:
        options |= {"validate": validate, "validate_every": VALIDATE_EVERY}
    folder = runs / f"{name}-{split}-{seed}"
    run = recipe.train(checkpoint=folder, checkpoint_every=500, **options)

    def judge(**changes):
        seen = recipe.test(run.params, distribution=test, device="cpu", **changes)
        return percent(seen) | {"queries": changes.get("queries", shots)}

    return {
        "recipe": name,
        "split": split,
        "seed": seed,
        "iterations": run.iterations,
        "seconds": round(run.seconds, 1),
        "steps": learner.steps,
        "validation": [
            [int(done), round(100 * value, 2)]
            for done, _, value in run.history.get("validation", torch.zeros(0, 3)).tolist()
        ],
        "together": judge(),
        "fifteen": judge(queries=15),
        "apart": judge(transductive=False),
    }


def split_tasks(split, ways):
    """Return the distributions that train, validate (None for the main split) and test."""
    if split == "main":
        return training_tasks(ways), None, test_tasks(ways)
    parts = vinyals_split()
    return tuple(FewShot(part.images, ways, rotations=True, device="cpu") for part in parts)


if __name__ == "__main__":
    main()
