"""`python -m experiments.model_based`: what notebook 11 shows and takes too long to train there.

Four parts, each kept in results/model_based.json as soon as it is measured: the learners of noisy
sines against the exact predictive, by number of points; memorise or generalise, by number of
training tasks; the recurrent learner's accuracy by presentation; and the cost of an answer.
Nothing is chosen on test tasks.
"""

import json
import time
from functools import partial
from pathlib import Path

import click
import torch
from torch.nn.functional import mse_loss

from benchmarks.records import load_average, provenance, read, write
from mamlkit import (
    ExactPredictive,
    InContextLearner,
    InContextTransformer,
    LinearTasks,
    NoisySinusoids,
    Sinusoids,
    evaluate,
    files,
    fit,
    pretrained,
)
from mamlkit.devices import generator
from mamlkit.learners.vmap import vmap_tasks
from mamlkit.recipes import RECIPES
from mamlkit.show.widgets.predictive import MAML_STEPS, constant_deviation, noisy_sine_learners
from mamlkit.tasks.linear import posterior_over_pool, ridge
from mamlkit.tasks.noisy_sinusoids import NOISE, log_likelihood, squared_error
from mamlkit.tasks.sequences import accuracy_at

RESULTS = Path(__file__).parent / "results" / "model_based.json"
SHOTS = 10, 1, 3, 20
TASKS, QUERIES, SEED = 600, 20, 1_000_000
POOLS = 4, 16, 64, 256, None  # training tasks; None: a fresh one every time
LINEAR = {"inputs": 5, "noise": 0.5}  # of Raventós et al. 2023 the noise; they have 8 inputs
PRESENTATIONS = 1, 2, 3, 5, 10


def main_result(values):
    """The mean over tasks and half of its 95 % interval."""
    values = torch.as_tensor(values, dtype=torch.float64)
    return [round(float(v), 5) for v in (values.mean(), 1.96 * values.std() / len(values) ** 0.5)]


def drawn(tasks, shots, queries=QUERIES):
    """The same tasks that `evaluate` draws with this seed, as one list."""
    source = generator(SEED, "cpu")
    for _ in range(TASKS // 50):
        batch = tasks.sample(50, shots, queries, generator=source)
        yield from (batch.task(i) for i in range(50))


def exact(shots):
    """Error on the clean wave, and nats a point, of the exact predictive."""
    noisy, clean = NoisySinusoids(device="cpu"), Sinusoids(noise=NOISE, device="cpu")
    nats = [ExactPredictive(t.support).log_likelihood(*t.query) for t in drawn(noisy, shots)]
    error = [
        squared_error(ExactPredictive(t.support).predict(t.query_x), t.query_y)
        for t in drawn(clean, shots)
    ]
    return {"nats": torch.stack(nats), "error": torch.stack(error)}


def learned(learners, name, shots):
    """The same of a learner; one without a band gets the best constant deviation."""
    learner, params = learners[name]
    options = {"shots": shots, "queries": QUERIES, "tasks": TASKS, "seed": SEED}
    steps, metric = 0, log_likelihood
    if name == "MAML":
        steps, sigma = MAML_STEPS, constant_deviation(learners, name, shots)
        metric = lambda p, y: log_likelihood(torch.cat([p, torch.full_like(p, sigma)], -1), y)
    test = partial(evaluate, learner, params, steps=steps, **options)
    nats = test(NoisySinusoids(device="cpu"), metric=metric)
    error = test(Sinusoids(noise=NOISE, device="cpu"), metric=squared_error)
    return {"nats": nats.values[:, -1], "error": error.values[:, -1]}


def sines():
    """Every learner by number of points, with its paired distance from the exact predictive."""
    learners, table = noisy_sine_learners(), {}
    for shots in SHOTS:
        best = exact(shots)
        rows = {"exact": best, **{name: learned(learners, name, shots) for name in learners}}
        table[shots] = {
            name: {
                "nats": main_result(row["nats"]),
                "error": main_result(row["error"]),
                "nats below exact": main_result(best["nats"] - row["nats"]),
                "error over exact": round(float(row["error"].mean() / best["error"].mean()), 4),
            }
            for name, row in rows.items()
        }
        print(shots, json.dumps(table[shots]), flush=True)
    return {
        "tasks": TASKS,
        "queries": QUERIES,
        "seed": SEED,
        "noise": NOISE,
        "table": dict(sorted(table.items())),
    }


def diversity_learner():
    """A small transformer that reads linear regression tasks."""
    module = InContextTransformer(
        inputs=LINEAR["inputs"], width=32, layers=2, heads=2, deviation=False
    )
    return InContextLearner(module, mse_loss, vary_shots=True)


def train_on_pool(pool, seed=0, iterations=4_000, progress=False):
    """A transformer trained on so many linear tasks."""
    torch.manual_seed(seed)
    return fit(
        diversity_learner(), LinearTasks(**LINEAR, pool=pool, device="cpu"),
        iterations=iterations, shots=8, queries=8, tasks_per_batch=32, schedule="cosine",
        optimizer=partial(torch.optim.Adam, lr=3e-3), seed=seed, device="cpu",
        progress=progress,
    )  # fmt: skip


def compare_on_fresh_tasks(params, pool, *, shots=8, tasks=TASKS):
    """Squared distances of a network's answers on *new* tasks to the two exact answers, by task."""
    learner, fresh = diversity_learner(), LinearTasks(**LINEAR, device="cpu")
    batch = fresh.sample(tasks, shots, 8, generator=generator(SEED, "cpu"))
    weights = LinearTasks(**LINEAR, pool=pool or 1, device="cpu").weights

    def distances(task):
        answer = learner.predict(learner.adapt(params, task.support), task.query_x)
        flat = ridge(task.support, task.query_x, LINEAR["noise"])
        memory = posterior_over_pool(task.support, task.query_x, LINEAR["noise"], weights)
        return [((answer - other) ** 2).mean() for other in (memory, flat, task.query_y)]

    with torch.no_grad():
        memory, flat, error = vmap_tasks(distances, learner.module, batch)
    return {"to the posterior over the pool": memory, "to ridge": flat, "error": error}


def diversity():
    """Memorise or generalise: nearer to the posterior over the training tasks, or to ridge?"""
    table = {}
    for pool in POOLS:
        run = train_on_pool(pool)
        rows = compare_on_fresh_tasks(run.params, pool)
        entry = {name: main_result(values) for name, values in rows.items()}
        if pool is not None:
            gap = rows["to the posterior over the pool"] - rows["to ridge"]
            entry["posterior minus ridge, paired"] = main_result(gap)
        else:
            del entry["to the posterior over the pool"]
        table[str(pool or "fresh")] = {**entry, "seconds": round(run.seconds, 1)}
        print(pool, json.dumps(table[str(pool or "fresh")]), flush=True)
    return {"tasks": TASKS, "seed": SEED, **LINEAR, "table": table}


def memory():
    """The shipped LSTM's accuracy at each presentation, on characters of the evaluation split."""
    learner, params = pretrained.load("omniglot-5way-lstm", device="cpu")
    tasks = RECIPES["omniglot-5way-lstm"].test_tasks()
    table = {}
    for n in PRESENTATIONS:
        metric = partial(accuracy_at, presentation=n)
        options = {"shots": 1, "queries": 9, "tasks": 1_000, "steps": 0, "seed": SEED}
        table[n] = main_result(evaluate(learner, params, tasks, metric=metric, **options).values)
    print(json.dumps(table), flush=True)
    return {"tasks": 1_000, "seed": SEED, "table": table}


def cost():
    """Milliseconds to adapt to 10 points and answer 100, one task, fastest of 20."""
    table = {}
    task = Sinusoids(noise=NOISE, device="cpu").sample(1, 10, 100).task(0)
    for name, (learner, params) in noisy_sine_learners().items():
        seconds = []
        for _ in range(20):
            begun = time.perf_counter()
            with torch.no_grad():
                *_, adapted = learner.trajectory(params, task.support, MAML_STEPS)
                learner.predict(adapted, task.query_x)
            seconds.append(time.perf_counter() - begun)
        count = sum(value.numel() for value in files.flatten(params).values())
        table[name] = {"milliseconds": round(1e3 * min(seconds), 2), "parameters": count}
    begun = time.perf_counter()
    ExactPredictive(task.support).predict(task.query_x)
    table["exact"] = {"milliseconds": round(1e3 * (time.perf_counter() - begun), 2)}
    print(json.dumps(table), flush=True)
    return {"table": table}


PARTS = {"sines": sines, "diversity": diversity, "memory": memory, "cost": cost}


@click.command()
@click.option("--part", type=click.Choice(list(PARTS)), multiple=True, help="Default: all.")
def main(part):
    """Measure and keep the parts named."""
    torch.set_num_threads(1)
    for name in part or PARTS:
        load = load_average()
        result = PARTS[name]()
        made = provenance(load, f"python -m experiments.model_based --part {name}")
        write(RESULTS, read(RESULTS, {}) | {name: {**result, "made": made}})


if __name__ == "__main__":
    main()
