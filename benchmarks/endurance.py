"""`python -m benchmarks.endurance`: an hour of training and evaluation in turns; is memory flat?

One process. In each turn the sinusoid learner goes on training with checkpoints (without the
compiler, and in every tenth turn with it) and is evaluated, and so is the Omniglot network on
glyphs. After each turn: resident memory, objects that Python keeps, open files. The first quarter
of the time is warm-up; after it, the medians of memory over each minute must stay within 2 %.
endurance.json keeps them, and the least and the most of single turns.
"""

import gc
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import psutil
import torch
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.__main__ import run as made_with
from mamlkit import MAML, FewShot, OmniglotNetwork, SineNetwork, Sinusoids, evaluate, files, fit
from mamlkit.tasks.glyphs import glyphs

RESULTS = Path(__file__).parent / "endurance.json"
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
        self.done[compiled] += self.steps
        run = fit(
            self.learner, self.distribution, iterations=self.done[compiled], compile=compiled,
            tasks_per_batch=8, checkpoint=self.folder / str(compiled), checkpoint_every=self.steps,
            device="cpu", progress=False, **self.points,
        )  # fmt: skip
        evaluate(self.learner, run.params, self.distribution, tasks=self.tasks, **self.points)


def experiments(folder):
    """The series' two."""
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
    """What must not grow."""
    memory = process.memory_info().rss / 2**20
    return {"mb": memory, "objects": len(gc.get_objects()), "files": process.num_fds()}


def measured(minutes, say):
    """One row for each minute: medians over its turns."""
    process, begun, rows, turns = psutil.Process(), time.monotonic(), {}, 0
    with tempfile.TemporaryDirectory() as name:
        both = experiments(Path(name))
        while (now := time.monotonic() - begun) < 60 * minutes:
            for experiment in both:
                experiment.turn(compiled=turns % COMPILED_EVERY == 0)
            turns += 1
            gc.collect()
            minute = rows.setdefault(int(now // 60), [])
            minute.append(state(process))
            if len(minute) == 1:
                say(f"minute {int(now // 60)}, turn {turns}: {minute[0]}")
    return turns, [{"minute": minute, **_summary(seen)} for minute, seen in rows.items()]


def _summary(seen):
    """Medians over a minute's turns; of memory also the least and the most."""
    sizes = [each["mb"] for each in seen]
    extremes = {"least mb": min(sizes), "most mb": max(sizes)}
    medians = {key: median(each[key] for each in seen) for key in seen[0]}
    return {key: round(value, 1) for key, value in (medians | extremes).items()}


def spread(table):
    """How far apart the least and the most memory are after the warm-up, in % of the least."""
    late = [row["mb"] for row in table[int(WARM_SHARE * len(table)) :]]
    return 100 * (max(late) / min(late) - 1)


@click.command()
@click.option("--minutes", default=60, show_default=True)
def main(minutes):
    """Train and evaluate in turns; keep the memory of each minute."""
    load = os.getloadavg()[0]
    turns, table = measured(minutes, click.echo)
    facts = {
        "turns": turns,
        "spread after the warm-up, %": round(spread(table), 2),
        "rows": table,
        "run": made_with(load) | {"command": "python -m benchmarks.endurance"},
    }
    files.write_whole(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())
    click.echo({name: value for name, value in facts.items() if name in list(facts)[:2]})


if __name__ == "__main__":
    main()
