"""`python -m experiments.bands`: what every `check` of a notebook measures under other seeds.

The notebooks' own code, run with all seeds moved by 0, 1000, 2000, ...: other points, other waves,
other test tasks, and other first weights where a notebook trains. Shipped networks stay as they
are. results/bands.json keeps claim, band and values, and the seeds whose training diverged;
`tests/test_series.py` compares the widths.
03 and 09 train for a minute or more, so they need `--only`; what a notebook reads from a file of
numbers no seed changes. Not in it: 14, which starts processes that know nothing of moved seeds.
"""

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path

import click
import matplotlib
import nbformat
import torch

from benchmarks.records import load_average, provenance, read, write
from mamlkit import devices
from mamlkit.show import checks

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "bands.json"
BOOKS, LONG, SEEDS = ("00", "02", "04", "08", "05", "01"), ("09", "03"), 10
GENERATOR, MANUAL_SEED = devices.generator, torch.manual_seed


def shift(offset):
    """Move every seed from now on."""
    moved = lambda seed, device="auto": GENERATOR(seed + offset, device)
    for name, module in list(sys.modules.items()):
        if name.startswith("mamlkit") and hasattr(module, "generator"):
            module.generator = moved
    torch.manual_seed = lambda seed: MANUAL_SEED(seed + offset)


def values(path, offset):
    """Run a notebook; return {claim: (value, band)}."""
    found = {}

    def record(claim, value, *, between):
        found[claim] = float(value), list(between)

    shift(offset)
    checks.check = record
    scope = {"display": lambda *_: None}
    with contextlib.chdir(path.parent), contextlib.redirect_stdout(io.StringIO()):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(cell.source, scope)
                matplotlib.pyplot.close("all")
    return found


@click.command()
@click.option("--only", multiple=True, type=click.Choice([*BOOKS, *LONG]))
def main(only):
    """Measure what is not in the file yet; a band that has changed is written anew."""
    matplotlib.use("agg")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results = {"diverged": {}} | read(RESULTS, {"notebooks": {}})
    results["run"] = provenance(load_average(), "python -m experiments.bands")
    for number in only or BOOKS:
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        book = results["notebooks"].setdefault(path.stem, {})
        if not book:  # new, or its entry was deleted: all seeds anew
            results["diverged"].pop(path.stem, None)
        lost = results["diverged"].get(path.stem, {})
        done = max([len(claim["values"]) for claim in book.values()], default=0)
        for turn in range(done + len(lost), SEEDS):
            try:
                measured = values(path, 1000 * turn)
            except FloatingPointError as error:  # a training without an end has no values
                measured, lost = {}, lost | {str(turn): str(error).split(";")[0]}
                results["diverged"][path.stem] = lost
            for claim, (value, band) in measured.items():
                entry = book.setdefault(claim, {"band": band, "values": []})
                entry["band"] = band
                entry["values"].append(float(f"{value:.4g}") if abs(value) < 1e9 else None)
            write(RESULTS, results)
            click.echo(f"{path.stem}: {turn + 1} seeds")
    click.echo(json.dumps(loose(results), indent=1, ensure_ascii=False))


def loose(results):
    """The bands wider than three times the spread of their values."""
    wide = {}
    for name, book in results["notebooks"].items():
        for claim, found in book.items():
            known = [value for value in found["values"] if value is not None]
            spread = max(known) - min(known)
            if spread > 0 and found["band"][1] - found["band"][0] > 3.05 * spread:
                wide[f"{name}: {claim}"] = [min(known), max(known), *found["band"]]
    return wide


if __name__ == "__main__":
    main()
