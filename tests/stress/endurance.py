"""`python -m tests.stress endurance`: whether memory stays flat in an hour of training.

One process. In each turn the sinusoid learner goes on training with checkpoints (without the
compiler, and in every tenth turn with it) and is evaluated, and so is the Omniglot network on
glyphs. After each turn: resident memory, objects that Python keeps, open files. The first quarter
of the time is warm-up; after it, the medians of memory over each minute must stay within 2 %.
results/endurance.json keeps them, and the least and the most of single turns.
"""

import gc
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import psutil
import torch
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.records import load_average, provenance, write
from mamlkit import MAML, FewShot, OmniglotNetwork, SineNetwork, Sinusoids, evaluate, fit, glyphs

RESULTS = Path(__file__).parent / "results" / "endurance.json"
LARGEST_SPREAD = 2.0  # percent
COMPILED_EVERY = 10  # turns
WARM_SHARE = 0.25


class Experiment:
    """One learner on one distribution, trained further in each turn, then evaluated."""

    def __init__(self, folder, learner, distribution, *, steps, shots, queries, tasks):
        self.folder, self.learner, self.distribution = folder, learner, distribution
        self.steps, self.tasks = steps, tasks
        self.points = {"shots": shots, "queries": queries}
        self.done = {True: 0, False: 0}

    def turn(self, compiled):
        """Train on, and evaluate."""
        self.done[compiled] += self.steps
        run = fit(
            self.learner, self.distribution, iterations=self.done[compiled], compile=compiled,
            tasks_per_batch=8, checkpoint=self.folder / str(compiled), checkpoint_every=self.steps,
            device="cpu", progress=False, **self.points,
        )  # fmt: skip
        evaluate(self.learner, run.params, self.distribution, tasks=self.tasks, **self.points)


def experiments(folder):
    """Return the series' two."""
    torch.manual_seed(0)
    episodes = FewShot(glyphs(40, seed=1).images, ways=5, device="cpu")
    sine = MAML(SineNetwork(), mse_loss, lr=0.01)
    characters = MAML(OmniglotNetwork(ways=5), cross_entropy, lr=0.4)
    return [
        Experiment(folder / "sine", sine, Sinusoids(device="cpu"),
                   steps=100, shots=5, queries=10, tasks=200),
        Experiment(folder / "glyphs", characters, episodes,
                   steps=3, shots=1, queries=5, tasks=20),
    ]  # fmt: skip


def state(process):
    """Return what must not grow."""
    memory = process.memory_info().rss / 2**20
    return {"mb": memory, "objects": len(gc.get_objects()), "files": process.num_fds()}


def measure(minutes):
    """Return how many turns there were, and for each minute the medians over its turns."""
    process, start, rows, turns = psutil.Process(), time.monotonic(), {}, 0
    with tempfile.TemporaryDirectory() as name:
        both = experiments(Path(name))
        while (now := time.monotonic() - start) < 60 * minutes:
            for experiment in both:
                experiment.turn(compiled=turns % COMPILED_EVERY == 0)
            turns += 1
            gc.collect()
            minute = rows.setdefault(int(now // 60), [])
            minute.append(state(process))
            if len(minute) == 1:
                click.echo(f"minute {int(now // 60)}, turn {turns}: {minute[0]}")
    return turns, [{"minute": minute, **_summary(states)} for minute, states in rows.items()]


def _summary(states):
    """Return medians over a minute's turns; of memory also the least and the most."""
    sizes = [each["mb"] for each in states]
    extremes = {"least mb": min(sizes), "most mb": max(sizes)}
    medians = {key: median(each[key] for each in states) for key in states[0]}
    return {key: round(value, 1) for key, value in (medians | extremes).items()}


def spread(table):
    """Return how far the most memory after the warm-up is above the least, in percent."""
    late = [row["mb"] for row in table[int(WARM_SHARE * len(table)) :]]
    return 100 * (max(late) / min(late) - 1)


@click.command()
@click.option("--minutes", default=60.0, show_default=True)
def main(minutes):
    """Train and evaluate in turns; keep the memory of each minute."""
    load = load_average()
    turns, table = measure(minutes)
    outcome = {"turns": turns, "spread after the warm-up, %": round(spread(table), 2)}
    click.echo(outcome)
    if spread(table) > LARGEST_SPREAD:
        raise click.ClickException(f"memory is not flat to {LARGEST_SPREAD} %")
    run = provenance(load, "python -m tests.stress endurance")
    write(RESULTS, {**outcome, "rows": table, "run": run})
