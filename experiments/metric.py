"""`python -m experiments.metric`: prototypical, matching and relation networks on Omniglot.

Trains one of `RUNS` with a seed (or goes on where a folder holds a part of it) and tests it in the
four usual settings, fifteen queries of each class together on 1,000 new tasks: answered by
prototypes, and, 5-way 5-shot, by attention to single drawings, as a matching network does (with one
shot the two are the same); with 5 ways also on 600 tasks with one query of each class, each
predicted alone beside the support set. With --quick it is 600 tasks and three queries of each class
together. "snell" is the recipe omniglot-20way-1shot-snell-vinyals, or -main. The small runs, of 32
filters that step over every other position, compare training episodes and distances with each
other, on 600 tasks with three queries of each class. Everything goes to results/metric.json; no
iteration is chosen, the last one counts. The small runs halve the learning rate of the paper after
each fifth of their episodes, the others as the recipe does, however early they are stopped.
"""

from functools import partial
from pathlib import Path

import click
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import StepLR

from benchmarks.records import ROOT, load_average, provenance, upsert
from experiments.accuracy import FEW, percent
from mamlkit import (
    MatchingNetwork,
    OmniglotNetwork,
    PrototypicalNetwork,
    RelationNetwork,
    evaluate,
    fit,
    pretrained,
    relation_loss,
)
from mamlkit.recipes.omniglot import SETTINGS
from mamlkit.recipes.omniglot_metric import TRAINING, embedding, tasks
from mamlkit.recipes.recipe import TEST_SEED

RESULTS = Path(__file__).parent / "results" / "metric.json"
EUCLIDEAN, COSINE = {"distance": "euclidean"}, {"distance": "cosine"}
LEARNED = {"learn_temperature": True}
RUNS = {  # filters; ways, shots and queries of a training episode; the learner's options
    "snell": (64, (20, 1, 5), EUCLIDEAN),
    "5-way": (64, (5, 1, 15), EUCLIDEAN),
    "small 5-way 1-shot": (32, (5, 1, 15), EUCLIDEAN),
    "small 5-way 5-shot": (32, (5, 5, 15), EUCLIDEAN),
    "small 20-way 1-shot": (32, (20, 1, 5), EUCLIDEAN),
    "small 60-way 1-shot": (32, (60, 1, 5), EUCLIDEAN),
    "small cosine": (32, (20, 1, 5), COSINE),
    "small cosine, learned": (32, (20, 1, 5), COSINE | LEARNED),
    "small cosine, sharp": (32, (20, 1, 5), COSINE | {"temperature": 0.05}),
    "small Euclidean, soft": (32, (20, 1, 5), EUCLIDEAN | {"temperature": 10.0}),
    "small relation": (32, (20, 1, 5), None),
}


@click.command()
@click.option("--run", "name", required=True, type=click.Choice(list(RUNS)))
@click.option("--split", type=click.Choice(["vinyals", "main"]), default="vinyals")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--iterations", type=int, default=TRAINING["iterations"], show_default=True)
@click.option("--runs", type=click.Path(path_type=Path), default=ROOT / "runs", help="Checkpoints.")
@click.option("--quick", is_flag=True, help="Test on 600 tasks, 3 queries a class, together.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the weights of snell go.")
def main(name, split, seed, iterations, runs, quick, out):
    """Train and test one run. Other rows of metric.json stay."""
    if out and name != "snell":
        raise click.UsageError(f"--out is for weights that have a recipe, snell; {name} has none")
    if out and (quick or iterations != TRAINING["iterations"]):
        raise click.UsageError("--out is for a whole training and test: a card would say so")
    torch.set_num_threads(1)
    load = load_average()
    command = f"python -m experiments.metric --run '{name}' --split {split} --seed {seed}"
    command = f"{command} --iterations {iterations}"
    command += " --quick" if quick else ""
    row, run, tests = measure(name, split, seed, iterations, runs, quick)
    row["run"] = provenance(load, command)
    key = lambda row: tuple(row[k] for k in ("split", "name", "seed", "iterations", "queries"))
    upsert(RESULTS, row, key)
    if out:
        ship(out, split, run, seed, tests)


def build(name, ways, kind=PrototypicalNetwork):
    """Return the learner of a run for so many ways."""
    filters, _, options = RUNS[name]
    if name.startswith("small"):
        module = OmniglotNetwork(ways, filters=filters, features="all").body
    else:
        module = embedding(filters)
    if options is None:
        layers = nn.Linear(2 * 4 * filters, 64), nn.ReLU(), nn.Linear(64, 1)
        return RelationNetwork(module, nn.Sequential(*layers), relation_loss, ways=ways)
    return kind(module, cross_entropy, ways=ways, **options)


def train(name, split, seed, iterations, runs):
    """Return the run of one of `RUNS`, trained or found."""
    ways, shots, queries = RUNS[name][1]
    changes = {"iterations": iterations, "shots": shots, "queries": queries, "seed": seed}
    torch.manual_seed(seed)
    folder = runs / f"{name.replace(',', '').replace(' ', '-')}-{split}-{seed}"
    if name.startswith("small"):
        changes["schedule"] = partial(StepLR, step_size=max(1, iterations // 5), gamma=0.5)
        changes["compile"] = False
    return fit(build(name, ways), tasks(split, ways), device="cpu", checkpoint=folder,
               checkpoint_every=250, **{**TRAINING, **changes})  # fmt: skip


def measure(name, split, seed, iterations, runs, quick=False):
    """Train and test once; return what metric.json keeps of it, the run and the tests."""
    run = train(name, split, seed, iterations, runs)
    row = {"name": name, "split": split, "seed": seed, "iterations": run.iterations}
    row |= {"seconds": round(run.seconds, 1), "episode": RUNS[name][1]}
    log = run.params.temperature.get("log")
    row["temperature"] = None if log is None else round(log.exp().item(), 4)
    full = not (quick or name.startswith("small"))
    size = {"queries": 15, "tasks": 1_000} if full else {"queries": 3, "tasks": 600}
    row["queries"] = size["queries"]
    tests = {}
    for ways, shots in SETTINGS:
        setting, episodes = f"{ways}-way {shots}-shot", tasks(split, ways, test=True)
        judge = partial(evaluate, params=run.params, distribution=episodes, shots=shots, steps=0,
                        seed=TEST_SEED, vectorize=False)  # fmt: skip
        learner, few = compiled(build(name, ways)), size | {"tasks": FEW}
        torch.testing.assert_close(
            judge(learner, **few).values, judge(build(name, ways), **few).values, atol=0.02, rtol=0
        )  # compiled and plain; one query may tip
        tests[ways, shots] = judge(learner, **size)
        row.setdefault("prototypes", {})[setting] = percent(tests[ways, shots])
        if full and (ways, shots) == (5, 5):
            attention = judge(compiled(build(name, ways, MatchingNetwork)), **size)
            row["attention"] = {setting: percent(attention)}
        if full and ways == 5:
            alone = {"queries": 1, "tasks": 600, "transductive": False}
            row.setdefault("apart", {})[setting] = percent(judge(learner, **alone))
    return row, run, tests


def compiled(learner):
    """Compile the forward pass in place: the whole test takes 8 minutes where it took 45."""
    parts = learner.module
    for part in parts.values() if isinstance(parts, nn.ModuleDict) else [parts]:
        part.compile()
    return learner


def ship(out, split, run, seed, tests):
    """Write weights and cards of the four recipes that "snell" is the training of."""
    for (ways, shots), test in tests.items():
        name = f"omniglot-{ways}way-{shots}shot-snell-{split}"
        command = f"mamlkit train {name} --seed {seed}"  # the same training
        pretrained.save(out, name, run, test, command=command, seed=seed)


if __name__ == "__main__":
    main()
