"""What a variant of MAML costs: one meta-step of each, by turns."""

import click

from benchmarks.measure import measure

VARIANTS = {
    "sine": ("MAML", "FirstOrderMAML", "ANIL", "BOIL", "MetaSGD"),
    "omniglot": ("MAML", "FirstOrderMAML", "ANIL"),
}
SIZES = {
    "sine": {"tasks": 25, "shots": 5, "queries": 5},
    "omniglot": {"tasks": 32, "shots": 1, "queries": 1},
}


def measure_cost(**timing):
    """Return the section of results.json: case -> learner -> a summary as of any contender."""
    section = {}
    for case, kinds in VARIANTS.items():
        click.echo(f"  {case}")
        spec = {"target": f"benchmarks.contender:{case.title()}", "network": case}
        specs = {kind: {**spec, "size": SIZES[case], "kind": kind} for kind in kinds}
        section[case] = measure(specs, **timing)
    return section
