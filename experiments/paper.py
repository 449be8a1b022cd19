"""`python -m experiments.paper`: the paper's Omniglot experiment, trained and tested its way.

Trains one of `OMNIGLOT_PAPER` with a seed (or goes on where `runs/` has a part of it), with a look
at 600 validation tasks now and then where the split has a validation part, and tests it
on 1,000 new tasks in three ways: as many queries of each class together as there are shots (the
paper's), fifteen of each together, and one of each class, each alone beside the support set. The
support sets are the same, so what each way is harder by is a paired difference, in points.
With --curve a run that has only begun is not tested.
Everything goes to results/paper.json; no iteration is chosen, the last one counts.
One thread: two runs side by side get more done on two cores than one run on both. The device draws
the tasks, so a seed names other tasks on a GPU than on a CPU.
"""

from functools import partial
from pathlib import Path

import click
import torch

from benchmarks.records import ROOT, load_average, provenance, read, upsert
from experiments.accuracy import percent
from mamlkit import Evaluation, devices, evaluate, pretrained
from mamlkit.recipes import RECIPES
from mamlkit.recipes.omniglot_paper import OMNIGLOT_PAPER, tasks

RESULTS, RUNS = Path(__file__).parent / "results" / "paper.json", ROOT / "runs"
VALIDATION_SEED, VALIDATION_TASKS = 2_000_000, 600


@click.command()
@click.option("--recipe", required=True, type=click.Choice(sorted(OMNIGLOT_PAPER)))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--iterations", type=int, default=60_000, show_default=True, help="Stop there.")
@click.option("--every", type=int, default=1_000, show_default=True, help="Validate so often.")
@click.option("--runs", type=click.Path(path_type=Path), default=RUNS, help="Checkpoints.")
@click.option("--out", type=click.Path(path_type=Path), help="Of weights and card of a whole run.")
@click.option("--curve", is_flag=True, help="No test: a run that has only begun.")
@click.option("--device", default="cpu", show_default=True, help="Or cuda.")
def main(recipe, seed, iterations, every, runs, out, curve, device):
    """Train and test one recipe. Other rows of paper.json stay."""
    if curve and out:
        raise click.UsageError("--out is for a whole training and test: a card would say so")
    here = {"recipe": recipe, "seed": seed, "iterations": iterations}
    if curve and any(key(row) == key(here) and "together" in row for row in read(RESULTS, [])):
        raise click.UsageError("this run is tested: --curve would forget it")
    torch.set_num_threads(1)
    load = load_average()
    row = measure(recipe, seed, iterations, every, runs, out, curve, device)
    command = f"python -m experiments.paper --recipe {recipe} --seed {seed}"
    command += f" --iterations {iterations} --every {every}" + " --curve" * curve
    row["run"] = provenance(load, command + f" --device {device}" * (device != "cpu"))
    upsert(RESULTS, row, key)


def key(row):
    """Return what tells two rows apart."""
    return row["recipe"], row["seed"], row["iterations"]


def measure(name, seed, iterations, every, runs, out, curve, device):
    """Train and test once; return what paper.json keeps of it."""
    device = devices.resolve(device)
    recipe = RECIPES[name]
    ways, shots = recipe.start(0).module.head.out_features, recipe.training["shots"]
    learner, options = recipe.tester(), {"seed": seed, "device": device, "iterations": iterations}
    options["checkpoint_every"] = min(every, 500)
    settings = {"shots": shots, "queries": shots, "tasks": VALIDATION_TASKS, "steps": learner.steps}
    if name.endswith("vinyals"):
        validation = tasks(ways, "vinyals", "validation").to(device)
        learner.module.to(device)
        options["validate_every"] = every
        options["validate"] = lambda params: evaluate(
            learner, params, validation, seed=VALIDATION_SEED, **settings
        ).mean[-1]
    run = recipe.train(checkpoint=runs / f"{name}-{seed}", **options)
    test = partial(recipe.test, run.params, device=device)  # the same episodes for all three
    tests = {}
    if not curve:
        apart = test(queries=1, transductive=False)
        tests = {"together": test(), "fifteen": test(queries=15), "apart": apart}
    if out and run.iterations == recipe.training["iterations"]:  # what the card says
        command = f"mamlkit train {name} --seed {seed}"
        pretrained.save(out, name, run, tests["together"], command=command, seed=seed)
    return {
        "recipe": name,
        "seed": seed,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "iterations": run.iterations,
        "seconds": round(run.seconds, 1),
        "steps": learner.steps,
        "validation": [
            [int(done), round(100 * value, 2)]
            for done, _, value in run.history.get("validation", torch.zeros(0, 3)).tolist()
        ],
        **{how: percent(seen) for how, seen in tests.items()},
        "harder by": {
            how: percent(Evaluation(tests["together"].values - tests[how].values))
            for how in tests
            if how != "together"
        },
    }


if __name__ == "__main__":
    main()
