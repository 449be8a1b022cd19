"""`python -m experiments.variants`: every variant of MAML on one protocol, error against cost.

Each method runs in a process of its own, which gives its peak memory, with three training seeds.
Nothing is chosen on the test tasks, and little is tuned: two settings were lowered because training
blew up, the inner steps of MAML++ (from 5) and the inner step size of Reptile (from 0.02), and the
meta-gradient of iMAML is clipped for the same reason.
"""

import json
import multiprocessing
import resource
from functools import partial
from pathlib import Path

import click
import torch
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.records import load_average, provenance, read, write
from mamlkit import (
    ANIL,
    BOIL,
    MAML,
    FewShot,
    FirstOrderMAML,
    ImplicitMAML,
    MAMLPlusPlus,
    MetaSGD,
    OmniglotNetwork,
    ProtoMAML,
    Reptile,
    SineNetwork,
    Sinusoids,
    evaluate,
    fit,
    omniglot,
)

RESULTS = Path(__file__).parent / "results" / "variants.json"
SEEDS = 0, 1, 2
COMMAND = "python -m experiments.variants"
ADAM, OUTER_SGD = partial(torch.optim.Adam, lr=1e-3), partial(torch.optim.SGD, lr=1.0)

SINE = {
    "MAML": partial(MAML, lr=0.01),
    "first-order MAML": partial(FirstOrderMAML, lr=0.01),
    "ANIL": partial(ANIL, lr=0.01),
    "BOIL": partial(BOIL, lr=0.01),
    "Meta-SGD": partial(MetaSGD, lr=0.01),
    "MAML++": partial(MAMLPlusPlus, lr=0.01, steps=2),  # five blow up late in training
    "iMAML": partial(ImplicitMAML, lr=0.01, steps=16, strength=2.0),
    "Reptile": partial(Reptile, lr=0.01, steps=8, minibatch=5),
}
OMNIGLOT = {
    "MAML": partial(MAML, lr=0.4),
    "first-order MAML": partial(FirstOrderMAML, lr=0.4),
    "ANIL": partial(ANIL, lr=0.4),
    "Meta-SGD": partial(MetaSGD, lr=0.4),
    "ProtoMAML": partial(ProtoMAML, lr=0.1),
}


def train_sine(method, seed):
    """Train with 5 points, 20,000 iterations; return the errors on 600 new waves, too."""
    torch.manual_seed(seed)
    learner, waves = SINE[method](SineNetwork(), mse_loss), Sinusoids(device="cpu")
    optimizer = OUTER_SGD if method == "Reptile" else ADAM
    clip = 10.0 if method == "iMAML" else None  # without, its loss is not a number after 2,084
    run = fit(learner, waves, iterations=20_000, shots=5, queries=5, optimizer=optimizer, clip=clip,
              compile=True, seed=seed, device="cpu", progress=False)  # fmt: skip
    test = partial(evaluate, learner, run.params, waves, queries=100, seed=1_000_000)
    tests = {str(shots): test(shots=shots).values[:, [0, 1, 5, 10]] for shots in (5, 10, 20)}
    return run, tests


def train_omniglot(method, seed):
    """Train 5-way 1-shot for 200 iterations; return accuracies on other alphabets, too."""
    torch.manual_seed(seed)
    learner = OMNIGLOT[method](OmniglotNetwork(ways=5), cross_entropy)
    training = FewShot(omniglot("background").images, ways=5, rotations=True, device="cpu")
    testing = FewShot(omniglot("evaluation").images, ways=5, device="cpu")
    optimizer = partial(torch.optim.Adam, lr=3e-3)
    run = fit(learner, training, iterations=200, shots=1, queries=5, tasks_per_batch=16,
              optimizer=optimizer, schedule="cosine", compile=True, seed=seed, device="cpu",
              progress=False)  # fmt: skip
    steps = learner.steps
    test = evaluate(learner, run.params, testing, shots=1, queries=5, steps=steps, seed=1_000_000)
    return run, {"1": test.values[:, [0, -1]]}


def rounded(values):
    """Return values as JSON can hold them: None stands for what has left all bounds."""
    return [round(v, 4) if v < 1e4 else None for v in values.tolist()]


def measure(train, method, results):
    """Put the numbers of all seeds of one method, and their cost, into the queue `results`."""
    runs = []
    for seed in SEEDS:
        run, tests = train(method, seed)
        runs.append(
            {
                "seed": seed,
                "seconds": round(run.seconds, 2),
                "first iteration, seconds": round(run.compile_seconds, 2),
                "mean": {k: rounded(t.mean(0)) for k, t in tests.items()},
                "standard deviation over tasks": {k: rounded(t.std(0)) for k, t in tests.items()},
            }
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put({"runs": runs, "peak memory, MB": round(memory)})


CASES = {"omniglot": (train_omniglot, OMNIGLOT), "sine": (train_sine, SINE)}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(CASES)))
@click.option("--method", multiple=True, help="Some methods.")
def main(only, method):
    """Train and test every method; the others keep their numbers in variants.json."""
    results = read(RESULTS, {})
    spawn = multiprocessing.get_context("spawn")
    for name in only or CASES:
        train, methods = CASES[name]
        section = results.setdefault(name, {"methods": {}})
        if not method:
            section["run"] = provenance(load_average(), COMMAND)
        for each in method or methods:
            queue = spawn.Queue()
            process = spawn.Process(target=measure, args=(train, each, queue))
            process.start()
            process.join()
            if process.exitcode:
                raise click.ClickException(f"{each} on {name} failed; the error stands above")
            section["methods"][each] = queue.get()
            write(RESULTS, results)
            click.echo(f"{name} {each}: {json.dumps(section['methods'][each])}")


if __name__ == "__main__":
    main()
