"""How mamlkit's cost grows: with tasks, shots, inner steps and width. Memory, sampling, import."""

import numpy as np
from matplotlib.figure import Figure

from benchmarks import cases
from benchmarks.measure import measure
from benchmarks.probes import probe

# Each axis is varied alone, from the sinusoid case: 25 tasks, 10 + 10 points, 1 step, width 40.
AXES = {
    "tasks": (5, 25, 100, 400),
    "shots": (10, 40, 160),
    "inner steps": (1, 2, 4),
    "width": (40, 80, 160),
}


def scaling(*, rounds, seconds, say=print):
    """All of it, as the section of results.json."""
    return {
        "axes": {axis: _axis(axis, rounds, seconds, say) for axis in AXES},
        "evaluate_memory_mb": {n: round(probe("evaluate_memory", n)) for n in ("100", "10000")},
        "sampling_s": {name: probe("sampling_time", name, times=3) for name in cases.CASES},
        "import_s": probe("import_time", times=7),
    }


def _axis(axis, rounds, seconds, say):
    """The sizes along one axis, each a process of its own, timed by turns."""
    say(f"  along {axis}")
    specs = {str(value): _spec(axis, value) for value in AXES[axis]}
    found = measure(specs, rounds=rounds, seconds=seconds, say=say)
    keep = "seconds", "first_call_s", "memory_mb"
    return [{"value": int(v), **{key: found[v][key] for key in keep}} for v in found]


def _spec(axis, value):
    size, options = dict(cases.CASES["sine"].size), {}
    if axis == "tasks":
        size["tasks"] = value
    elif axis == "shots":
        size |= {"shots": value, "queries": value}
    else:
        options = {"width" if axis == "width" else "steps": value}
    return {"target": "benchmarks.ours:Sine", "network": "sine", "size": size, **options}


def plot(section, path):
    """Time per meta-step along every axis, and a line of slope one through the largest."""
    figure = Figure(figsize=(11, 3), layout="constrained")
    axes = figure.subplots(1, len(AXES))
    for ax, (axis, points) in zip(axes, section["axes"].items(), strict=True):
        _panel(ax, axis, points)
    figure.savefig(path, dpi=120)


def _panel(ax, axis, points):
    values = [point["value"] for point in points]
    low, middle, high = np.array(
        [[1e3 * point["seconds"][key] for point in points] for key in ("low", "median", "high")]
    )
    ax.errorbar(
        values, middle, [middle - low, high - middle], color="#0072B2", marker="o", label="mamlkit"
    )
    straight = [middle[-1] * value / values[-1] for value in values]
    ax.plot(values, straight, color="#777777", linestyle=":", label="proportional")
    ax.set(xscale="log", yscale="log", xlabel=axis, ylabel="one meta-step (ms)")
    ax.set_xticks(values, [str(value) for value in values])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8)
