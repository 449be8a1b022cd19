"""`python -m benchmarks.kills`: fifty runs killed at random moments, each resumed to its end.

A short run of the sinusoid recipe's learner checkpoints after every iteration and is killed
(SIGKILL) after a random time, again and again, until it has been killed so often; then it goes on
to its end. Its parameters must be those of a run that was never stopped: to the bit without the
compiler, to 1e-6 with it. kills.json keeps the outcome.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import torch

from benchmarks.__main__ import run as made_with
from mamlkit import files
from mamlkit.training import checkpoint as checkpoints

RESULTS = Path(__file__).parent / "kills.json"
# Seconds to the kill, at most; up to the first checkpoint it takes 1 to 4.
LONGEST = {"eager": 5.0, "compiled": 8.0}
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
    """The program in a process of its own, from the moment its imports are done."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(iterations), mode]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        raise click.ClickException(process.stderr.read())
    return process


def done(folder):
    """Iterations in the newest checkpoint."""
    found = checkpoints.newest(folder)
    return found.facts["iteration"] if found else 0


def killed(folder, mode, kills, longest, draw):
    """Kill a run so often; what was found in its folder after each."""
    found = []
    for _ in range(kills):
        process = start(folder, 10**6, mode)
        time.sleep(draw.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        process.wait()
        found.append(done(folder))
    return found


def difference(one, other):
    """The largest relative difference of two runs' parameters, and whether they are equal."""
    pairs = [(a, other[name]) for name, a in one.items()]
    far = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in pairs)
    return far, all(torch.equal(a, b) for a, b in pairs)


def measured(mode, kills, longest, draw):
    """One row of kills.json."""
    with tempfile.TemporaryDirectory() as name:
        stopped, straight = Path(name, "stopped"), Path(name, "straight")
        after = killed(stopped, mode, kills, longest, draw)
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
@click.option("--mode", multiple=True, type=click.Choice(["eager", "compiled"]))
def main(kills, mode):
    """Kill, resume, compare."""
    load, draw = os.getloadavg()[0], random.Random(0)
    rows = [measured(each, kills, LONGEST[each], draw) for each in mode or ("eager", "compiled")]
    facts = {"rows": rows, "run": made_with(load) | {"command": "python -m benchmarks.kills"}}
    files.write_whole(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())
    for row in rows:
        click.echo({name: value for name, value in row.items() if "each" not in name})


if __name__ == "__main__":
    main()
