"""`python -m benchmarks`: measure, keep the numbers in results.json, and fill the tables."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import torch

from benchmarks.records import README, load_average, provenance, read, refill, write

HERE = Path(__file__).parent
RESULTS, REPORT = HERE / "results.json", HERE / "RESULTS.md"
ROUNDS = {"sine": 15, "omniglot": 11, "omniglot-75": 5, "cost": 11, "scaling": 5, "gpu": 11}
PEERS = "higher", "metalearn", "jax", "optax"


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(ROUNDS)), help="Some sections.")
@click.option("--rounds", type=click.IntRange(min=1), help="Turns of each contender.")
@click.option("--seconds", default=1.0, show_default=True, help="Length of a turn.")
@click.option("--tables", is_flag=True, help="Measure nothing, only fill the tables anew.")
def main(only, rounds, seconds, tables):
    """Time mamlkit beside its peers. Sections left out keep their numbers in results.json."""
    if tables:
        fill_tables(read(RESULTS, {}))
        return
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        raise click.ClickException(f"{missing[0]} is missing; pip install --editable '.[bench]'")
    load = load_average()
    if load > 0.5:
        click.echo(f"The load is {load:.1f}: something else runs here, and will show.", err=True)
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    for name in only or ROUNDS:
        click.echo(name)
        section = measure_section(name, rounds=rounds or ROUNDS[name], seconds=seconds)
        if section is not None:
            results = read(RESULTS, {}) | {name: {"run": provenance(load, command), **section}}
            write(RESULTS, results)
            fill_tables(results)


def measure_section(name, **timing):
    """Return the numbers of one section, or None where it cannot be measured."""
    from benchmarks.cases import CASES  # needs the peers
    from benchmarks.cost import measure_cost
    from benchmarks.scaling import measure_scaling

    if name in CASES:
        return measure_case(CASES[name], **timing)
    if name != "gpu":
        return {"cost": measure_cost, "scaling": measure_scaling}[name](**timing)
    if not torch.cuda.is_available():
        click.echo("  no CUDA device here: left out")
        return None
    cases = {case.name: measure_case(case, device="cuda", **timing) for case in CASES.values()}
    return {"device": torch.cuda.get_device_name(), "cases": cases}


def measure_case(case, device="cpu", **timing):
    """Return the numbers of one table of contenders."""
    from benchmarks.cases import MAMLKIT
    from benchmarks.floor import flops
    from benchmarks.measure import measure

    timing |= {"tolerance": case.tolerance, "again": [MAMLKIT]}
    section = {"contenders": measure(case.specs(device), **timing)}
    return section | ({"flops": flops(**case.size)} if case.network == "omniglot" else {})


def fill_tables(results):
    """Fill the tables of RESULTS.md and of the README."""
    from benchmarks import render

    refill(REPORT, render.report(results))
    refill(README, {"bench": render.summary(results)})


if __name__ == "__main__":
    main()
