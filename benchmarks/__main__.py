"""`python -m benchmarks`: measure, keep the numbers in results.json, and write the tables."""

import datetime
import json
import os
import platform
import shlex
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import click
import torch

HERE = Path(__file__).parent
RESULTS, REPORT, PLOT = HERE / "results.json", HERE / "RESULTS.md", HERE / "scaling.png"
README = HERE.parent / "README.md"
SECTIONS = "sine", "omniglot", "omniglot-75", "cost", "scaling", "gpu"
PEERS = "higher", "metalearn", "jax", "optax"
ROUNDS = {"sine": 15, "omniglot": 11, "omniglot-75": 5, "cost": 11, "scaling": 5, "gpu": 11}
VERSIONS = "mamlkit", "torch", "numpy", "jax", "jaxlib", "optax", "higher", "parallel-metalearn"

MODULES = {"parallel-metalearn": "metalearn"}  # the module's name, where it is not the package's


@click.command()
@click.option("--only", multiple=True, type=click.Choice(SECTIONS), help="Some sections.")
@click.option("--rounds", type=click.IntRange(min=1), help="Turns of each contender.")
@click.option("--seconds", default=1.0, show_default=True, help="Length of a turn.")
@click.option("--apart", is_flag=True, help="Keep the numbers beside those of another machine.")
@click.option("--full", is_flag=True, help="On a GPU: also the paper's 60,000 iterations.")
def main(only, rounds, seconds, apart, full):
    """Time mamlkit beside its peers. Sections left out keep their numbers in results.json."""
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        raise click.ClickException(f"{missing[0]} is missing; pip install --editable '.[bench]'")
    from benchmarks.cases import CASES  # needs the peers

    others = set(only or SECTIONS) - set(CASES)
    if apart and others:
        raise click.UsageError(f"--apart keeps cases beside peers, not {min(others)}; use --only")
    load = os.getloadavg()[0]
    if load > 0.5:
        click.echo(f"The load is {load:.1f}: something else runs here, and will show.", err=True)
    for name in only or SECTIONS:
        click.echo(f"{name}")
        found = measured(name, rounds or ROUNDS[name], seconds, full)
        if found is not None:
            keep(name, {"run": run(load), **found}, apart)


def measured(name, rounds, seconds, full):
    """The numbers of one section, or None where it cannot run."""
    from benchmarks import cases, cost, floor, gpu, measure, scaling

    timing = {"rounds": rounds, "seconds": seconds, "say": click.echo}
    if name == "scaling":
        return scaling.scaling(**timing)
    if name == "cost":
        return cost.cost(**timing)
    if name == "gpu":
        return gpu.gpu(**timing, full=full)
    case = cases.CASES[name]
    timing |= {"tolerance": case.tolerance, "again": [cases.OURS]}
    found = {"contenders": measure.measure(case.specs(), **timing)}
    if case.network == "omniglot":
        found["flops"] = floor.flops(**case.size)
    return found


def run(load):
    """What the numbers were measured on, and how."""
    return {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cpu": _cpu(),
            "vectors": torch.backends.cpu.get_cpu_capability(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "system": platform.platform(),
            "load_before": load,
        },
        "settings": {k: v for k, v in os.environ.items() if k.startswith(("OMP_", "MKL_", "XLA_"))},
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in VERSIONS if find_spec(MODULES.get(name, name))},
    }


def _cpu():
    """Linux's name of the processor, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(s.split(":")[1].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def keep(name, section, apart=False):
    """Put the section into results.json, and make the tables and the plot anew."""
    from benchmarks import render, scaling

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if apart:
        there = results.setdefault("apart", {}).setdefault(section["run"]["machine"]["vectors"], {})
        there[name] = section
    else:
        results[name] = section
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    REPORT.write_text(render.report(results))
    if name == "scaling":
        scaling.plot(section, PLOT)
    readme = README.read_text()
    if render.insert(readme, results) != readme:
        README.write_text(render.insert(readme, results))


if __name__ == "__main__":
    main()
