"""How mamlkit's cost grows: with tasks, shots, inner steps and width. Memory, and importing."""

import statistics
import subprocess
import sys

import click

from benchmarks.cases import CASES
from benchmarks.measure import measure

# Each axis is varied alone, from the sinusoid case: 25 tasks, 10 + 10 points, 1 step, width 40.
AXES = {
    "tasks": (5, 25, 100, 400),
    "shots": (10, 40, 160),
    "inner steps": (1, 2, 4),
    "width": (40, 80, 160),
}
EVALUATE = """
import sys, torch
from benchmarks.worker import peak_memory
from mamlkit import MAML, SineNetwork, Sinusoids, evaluate
maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
size = dict(shots=10, queries=100, tasks=int(sys.argv[1]), steps=10)
evaluate(maml, maml.init(), Sinusoids(device="cpu"), **size)
print(peak_memory())
"""
IMPORT = """
import time, torch
start = time.perf_counter()
import mamlkit
print(time.perf_counter() - start)
"""


def measure_scaling(**timing):
    """Return the section of results.json."""
    return {
        "axes": {axis: _axis(axis, timing) for axis in AXES},
        "evaluate_memory_mb": {n: round(_in_new_process(EVALUATE, n)) for n in ("100", "10000")},
        "import_s": statistics.median(_in_new_process(IMPORT) for _ in range(7)),
    }


def _axis(axis, timing):
    """Time the sizes along one axis, each in a process of its own, by turns."""
    click.echo(f"  along {axis}")
    numbers = measure({str(value): _spec(axis, value) for value in AXES[axis]}, **timing)
    keys = "seconds", "first_call_s", "memory_mb"
    return [{"value": int(v), **{key: row[key] for key in keys}} for v, row in numbers.items()]


def _spec(axis, value):
    size, options = dict(CASES["sine"].size), {}
    if axis == "tasks":
        size["tasks"] = value
    elif axis == "shots":
        size |= {"shots": value, "queries": value}
    else:
        options = {"width" if axis == "width" else "steps": value}
    return {"target": "benchmarks.contender:Sine", "network": "sine", "size": size, **options}


def _in_new_process(program, *arguments):
    """Return the number that a program prints."""
    return float(subprocess.check_output([sys.executable, "-c", program, *arguments], text=True))
