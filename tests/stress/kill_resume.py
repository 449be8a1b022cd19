"""`python -m tests.stress kill_resume`: fifty runs killed at random moments, each resumed.

A short run of the sinusoid recipe's learner checkpoints after every iteration and is killed
(SIGKILL) after a random time, again and again, until it has been killed so often; then it goes on
to its end. Its parameters must be those of a run that was never stopped: to the bit without the
compiler, to 1e-6 with it. results/kill_resume.json keeps the outcome.
"""

import itertools
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import torch

from benchmarks.records import load_average, provenance, write
from mamlkit.training import checkpoint as checkpoints

RESULTS = Path(__file__).parent / "results" / "kill_resume.json"
# Seconds to the kill, at most; up to the first checkpoint it takes 1 to 4.
LONGEST = {"eager": 5.0, "compiled": 25.0}
PROGRAM = """
import sys, torch
from mamlkit import MAML, SineNetwork, Sinusoids, fit
torch.manual_seed(0)
maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
print("ready", flush=True)
fit(maml, Sinusoids(device="cpu"), iterations=int(sys.argv[2]), shots=5, queries=5, device="cpu",
    checkpoint=sys.argv[1], checkpoint_every=1, compile=sys.argv[3] == "compiled", progress=False)
"""


def start(folder, iterations, mode):
    """Start the program in a process of its own; return once its imports are done."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(iterations), mode]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        raise click.ClickException(process.stderr.read())
    return process


def iterations_done(folder):
    """Return the iterations in the newest checkpoint."""
    checkpoint = checkpoints.newest(folder)
    return checkpoint.metadata["iteration"] if checkpoint else 0


def kill(folder, mode, kills, longest, rng):
    """Kill a run so often; return the iterations in its folder after each."""
    after = []
    for _ in range(kills):
        process = start(folder, 10**6, mode)
        time.sleep(rng.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        process.wait()
        after.append(iterations_done(folder))
    return after


def difference(one, other):
    """Return the largest relative difference of two runs' parameters, and if they are equal."""
    pairs = [(a, other[name]) for name, a in one.items()]
    far = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in pairs)
    return far, all(torch.equal(a, b) for a, b in pairs)


def measure(mode, kills, longest, rng):
    """Return one row of kill_resume.json."""
    with tempfile.TemporaryDirectory() as name:
        stopped, straight = Path(name, "stopped"), Path(name, "straight")
        after = kill(stopped, mode, kills, longest, rng)
        moved = sum(a < b for a, b in itertools.pairwise([0, *after]))
        if 2 * moved < kills:  # else there was nothing to come back to
            raise click.ClickException(
                f"{mode}: only {moved} of {kills} runs got anywhere; wait longer"
            )
        end = after[-1] + 20
        for folder in (stopped, straight):
            process = start(folder, end, mode)
            process.communicate()
        one, other = (checkpoints.newest(f).tensors["params"] for f in (stopped, straight))
        far, equal = difference(one, other)
    return {
        "mode": mode,
        "kills": kills,
        "iterations after each": after,
        "moved on": moved,
        "went back": sum(a > b for a, b in itertools.pairwise(after)),
        "equal to the bit": equal,
        "largest relative difference": far,
    }


@click.command()
@click.option("--kills", default=50, show_default=True)
@click.option("--mode", multiple=True, type=click.Choice(list(LONGEST)))
def main(kills, mode):
    """Kill, resume, compare."""
    load, rng = load_average(), random.Random(0)
    rows = [measure(each, kills, LONGEST[each], rng) for each in mode or LONGEST]
    for row in rows:
        click.echo({name: value for name, value in row.items() if "each" not in name})
    if not all(
        row["equal to the bit"] or row["largest relative difference"] < 1e-6 for row in rows
    ):
        raise click.ClickException("a run that was killed ended elsewhere")
    write(RESULTS, {"rows": rows, "run": provenance(load, "python -m tests.stress kill_resume")})
