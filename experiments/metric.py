"""`python -m experiments.metric`: prototypical and matching networks on Omniglot.

Trains one of `RUNS` with a seed (or goes on where a folder holds a part of it) and tests it on
1,000 new tasks in the four usual settings, fifteen queries of each class together, and on 600 tasks
with one query of each class, each predicted alone beside the support set. Everything goes to
results/metric.json; no iteration is chosen, the last one counts. "snell" is the recipe that ships;
the small ones, of 16 filters, compare training episodes and distances with each other. Every run
uses the learning rate of the paper, halved after each fifth of its episodes.
"""

from functools import partial
from pathlib import Path

import click
import torch
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import StepLR

from benchmarks.records import ROOT, load_average, provenance, read, write
from experiments.accuracy import percent
from mamlkit import MatchingNetwork, PrototypicalNetwork, evaluate, fit, pretrained
from mamlkit.recipes import RECIPES
from mamlkit.recipes.omniglot import SETTINGS
from mamlkit.recipes.omniglot_metric import TRAINING, embedding, tasks
from mamlkit.recipes.recipe import TEST_SEED

RESULTS = Path(__file__).parent / "results" / "metric.json"
PROTO, MATCHING = PrototypicalNetwork, MatchingNetwork
RUNS = {  # the learner; filters; ways, shots and queries of a training episode
    "snell": (PROTO, 64, (20, 1, 5), {}),
    "5-way": (PROTO, 64, (5, 1, 15), {}),
    "small 5-way 1-shot": (PROTO, 16, (5, 1, 15), {}),
    "small 5-way 5-shot": (PROTO, 16, (5, 5, 15), {}),
    "small 20-way 1-shot": (PROTO, 16, (20, 1, 5), {}),
    "small 60-way 1-shot": (PROTO, 16, (60, 1, 5), {}),
    "small cosine": (MATCHING, 16, (20, 1, 5), {"distance": "cosine"}),
    "small cosine, learned": (
        MATCHING, 16, (20, 1, 5), {"distance": "cosine", "learn_temperature": True},
    ),
    "small euclidean": (MATCHING, 16, (20, 1, 5), {"distance": "euclidean"}),
}  # fmt: skip


@click.command()
@click.option("--run", "name", required=True, type=click.Choice(list(RUNS)))
@click.option("--split", type=click.Choice(["vinyals", "main"]), default="vinyals")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--iterations", type=int, default=TRAINING["iterations"], show_default=True)
@click.option("--runs", type=click.Path(path_type=Path), default=ROOT / "runs", help="Checkpoints.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the weights of snell go.")
def main(name, split, seed, iterations, runs, out):
    """Train and test one run. Other rows of metric.json stay."""
    torch.set_num_threads(1)
    load = load_average()
    command = f"python -m experiments.metric --run '{name}' --split {split} --seed {seed}"
    command = f"{command} --iterations {iterations}"
    row = measure(name, split, seed, iterations, runs, out and partial(ship, out, command))
    row["run"] = provenance(load, command)
    key = lambda row: (row["split"], row["name"], row["seed"], row["iterations"])
    write(RESULTS, sorted([*(r for r in read(RESULTS, []) if key(r) != key(row)), row], key=key))


def train(name, split, seed, iterations, runs):
    """Return the run of one of `RUNS`, and a function from ways to its learner in the test."""
    kind, filters, (ways, shots, queries), options = RUNS[name]
    learner = lambda ways: kind(embedding(filters), cross_entropy, ways=ways, **options)
    changes = {"iterations": iterations, "shots": shots, "queries": queries, "seed": seed}
    changes["schedule"] = partial(StepLR, step_size=max(1, iterations // 5), gamma=0.5)
    torch.manual_seed(seed)
    folder = runs / f"{name.replace(',', '').replace(' ', '-')}-{split}-{seed}"
    run = fit(learner(ways), tasks(split, ways), device="cpu", checkpoint=folder,
              checkpoint_every=250, **{**TRAINING, **changes})  # fmt: skip
    return run, learner


def measure(name, split, seed, iterations, runs, save=None):
    """Train and test once; return what metric.json keeps of it."""
    run, learner = train(name, split, seed, iterations, runs)
    row = {"name": name, "split": split, "seed": seed, "iterations": run.iterations}
    row |= {"seconds": round(run.seconds, 1), "together": {}, "apart": {}}
    for ways, shots in SETTINGS:
        test = partial(evaluate, learner(ways), run.params, tasks(split, ways, test=True),
                       shots=shots, steps=0, seed=TEST_SEED)  # fmt: skip
        setting = f"{ways}-way {shots}-shot"
        row["together"][setting] = percent(test(queries=15, tasks=1_000))
        if not name.startswith("small"):
            row["apart"][setting] = percent(test(queries=1, tasks=600, transductive=False))
    log = run.params.temperature.get("log")
    row["temperature"] = None if log is None else round(log.exp().item(), 4)
    if save:
        save(split, run, seed)
    return row


def ship(out, command, split, run, seed):
    """Write weights and cards of the four recipes that "snell" is the training of."""
    for ways, shots in SETTINGS:
        name = f"omniglot-{ways}way-{shots}shot-snell-{split}"
        test = RECIPES[name].test(run.params, device="cpu")
        pretrained.save(out, name, run, test, command=command, seed=seed)


if __name__ == "__main__":
    main()
