"""`python -m experiments.sines`: sine networks from several seeds, for what notebooks say
of runs that are not on the page. About an hour of one core; a run that is in the file is not
repeated, so it may be stopped and started. Every run has the paper's 70,000 iterations.

Each learner is tested on the 600 waves of notebook 03 and on 2,000 others, and asked what notebook
05 asks of the shipped one: which part of it is enough to adapt, and how a lesson at one point moves
the curve.
"""

from functools import partial
from pathlib import Path

import click
import torch
from torch.func import vmap
from torch.nn.functional import mse_loss

from benchmarks.records import load_average, provenance, read, write
from mamlkit import ANIL, MAML, FirstOrderMAML, SineNetwork, Sinusoids, adapt, evaluate, fit
from mamlkit.devices import generator

RESULTS = Path(__file__).parent / "results" / "sines.json"
PLAIN = partial(MAML, lr=0.01)
RUNS = {  # name: learner, points of a task to adapt on, seeds
    "MAML": (PLAIN, 5, range(10)),
    "first-order MAML": (partial(FirstOrderMAML, lr=0.01), 5, range(6)),
    "pretrained": (partial(MAML, lr=0.01, steps=0), 5, range(4)),
    "ANIL": (partial(ANIL, lr=0.01), 5, range(3)),
    "MAML, trained with K = 10": (PLAIN, 10, range(2)),
    "MAML, step size 0.001": (partial(MAML, lr=0.001), 5, range(1)),
}
FAMILIES = {  # which waves: all, or those that differ in one thing only
    "all": {},
    "phase": {"amplitude": (2.55, 2.55)},
    "amplitude": {"phase": (torch.pi / 2, torch.pi / 2)},
}
PARTS = {
    "nothing": ("none",),
    "everything": ("",),
    "first layer": ("body.0",),
    "its weights": ("body.0.weight",),
    "its biases": ("body.0.bias",),
    "second layer": ("body.2",),
    "head": ("head",),
    "all but the first layer's weights": ("body.0.bias", "body.2", "head"),
}
X = torch.linspace(-5, 5, 200)[:, None]


def part_errors(learner, params, tasks, parts):
    """Mean error of the tasks after one step of 0.01 in which only these parts move."""
    loss = learner.task_loss
    moving = {n: v for n, v in params.items() if n.startswith(parts)}

    def one(task):
        part_loss = lambda moving, x, y: loss({**params, **moving}, x, y)
        moved = adapt(moving, part_loss, task.support, lr=0.01, steps=1, first_order=True)
        return part_loss(moved, *task.query)

    return round(float(vmap(one)(tasks).mean()), 3)


def lesson(learner, params):
    """How much of what one point teaches is a wave, and its size (half) a period away."""

    def nudge(x0):
        at = torch.tensor([[float(x0)]])
        target = learner.predict(params, at) + 1.0
        moved = adapt(params, learner.task_loss, (at, target), lr=0.002, steps=1, first_order=True)
        return learner.predict(moved, X) - learner.predict(params, X)

    changes = torch.cat([nudge(x0) for x0 in X], dim=1)
    basis = torch.linalg.qr(torch.cat([torch.sin(X), torch.cos(X)], dim=1))[0]
    share = (basis.T @ changes).square().sum() / changes.square().sum()

    def away(distance):
        k = round(distance / float(X[1] - X[0]))
        there = torch.cat([changes.diagonal(k), changes.diagonal(-k)]).mean()
        return round(float(there / changes.diagonal().mean()), 3)

    return {
        "a wave": round(float(share), 3),
        "a period": away(2 * torch.pi),
        "half": away(torch.pi),
    }


def measure(kind, shots, seed):
    """Train one network; return its errors after 0, 1, 5 and 10 steps, and what moves in it."""
    torch.manual_seed(seed)
    learner, waves = kind(SineNetwork(), mse_loss), Sinusoids(device="cpu")
    run = fit(learner, waves, iterations=70_000, shots=shots, queries=shots, seed=seed,
              device="cpu", compile=True, progress=False)  # fmt: skip
    tested = learner if learner.steps else PLAIN(learner.module, mse_loss)
    found = {"seed": seed, "seconds": round(run.seconds), "error": {}}
    for k in sorted({5, shots}):
        test = evaluate(tested, run.params, waves, shots=k, queries=100, seed=1)
        found["error"][str(k)] = [round(v, 3) for v in test.mean[[0, 1, 5, 10]].tolist()]
    more = evaluate(tested, run.params, waves, shots=5, queries=100, tasks=2000, seed=2).values
    found["waves of 2,000 above 20 after 10 steps"] = int((more[:, 10] > 20).sum())
    if kind is RUNS["pretrained"][0]:
        sizes = {}
        for size in (0.001, 0.003, 0.01, 0.02, 0.04):
            slow = MAML(learner.module, mse_loss, lr=size)
            sizes[size] = [
                [round(v, 3) for v in evaluate(slow, run.params, waves, shots=5, queries=100,
                                              seed=s).mean[[1, 5, 10]].tolist()]
                for s in (1, 3)
            ]  # fmt: skip
        found["by step size, 1, 5, 10 steps: waves of seed 1, others to choose on"] = sizes
    plain = MAML(learner.module, mse_loss, lr=0.01)
    found["lesson"] = lesson(plain, run.params)
    found["only this moves"] = {}
    for family, limits in FAMILIES.items():
        draw = Sinusoids(device="cpu", **limits)
        tasks = draw.sample(600, shots=5, queries=100, generator=generator(4, "cpu"))
        found["only this moves"][family] = {
            name: part_errors(plain, run.params, tasks, parts) for name, parts in PARTS.items()
        }
    return found


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(RUNS)))
def main(only):
    """Train and measure what is not in the file yet."""
    torch.set_num_threads(1)
    results = read(RESULTS, {})
    results.setdefault("run", provenance(load_average(), "python -m experiments.sines"))
    for turn in range(10):  # the first seed of every learner first
        for name in only or RUNS:
            kind, shots, seeds = RUNS[name]
            done = results.setdefault(name, [])
            if turn in seeds and turn not in [found["seed"] for found in done]:
                done.append(measure(kind, shots, turn))
                write(RESULTS, results)
                click.echo(f"{name}: {done[-1]}")


if __name__ == "__main__":
    main()
