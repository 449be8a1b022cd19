"""A falsehood in the code behind a notebook's prose turns the notebook red.

The code cells run here one after the other, up to the check that must fail; `python -m pytest
--nbval` compares the rest.
"""

import contextlib
from pathlib import Path

import matplotlib
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

# notebook: (what is false, healthy code, sick code, the claim that must fail)
FALSEHOODS = {
    "01_learning_to_learn": (
        "the wrong mean wave",
        "mean_wave = -(2 / math.pi) * 2.55 * torch.cos(x)",
        "mean_wave = (2 / math.pi) * 2.55 * torch.sin(x)",
        "distance from the mean of 50,000 waves",
    ),
    "05_why_it_works": (
        "the first layer's weights frozen",
        "if name.startswith(part)}",
        'if name.startswith(part) and name != "body.0.weight"}',
        "all waves: first layer's weights alone / nothing",
    ),
    "09_variants": (
        "the negative step sizes' sign flipped",
        "lambda rate: rate,",
        "lambda rate: rate.abs(),",
        "error with negative ones at zero / as learned",
    ),
}
# Only what the claim needs, and less training: the claim is about signs.
SHORTER = {
    "09_variants": {
        "iterations=10_000": "iterations=2_000",
        "compile=True": "compile=False",
        "for name, kind in kinds.items()": 'for name, kind in [("Meta-SGD", kinds["Meta-SGD"])]',
        "for name in kinds": "for name in runs",
    }
}
SKIPPED = ("check(", "meta_gradient(one")  # of 09: checks of the learners that are not trained


def run(book, changes, last):
    """Run the code cells, changed, up to the one that makes the claim `last`."""
    matplotlib.use("agg")
    scope = {}
    with contextlib.chdir(NOTEBOOKS):
        for cell in nbformat.read(f"{book}.ipynb", as_version=4).cells:
            source = cell.source
            if cell.cell_type != "code" or not source.strip():
                continue
            if book in SHORTER and last not in source and any(s in source for s in SKIPPED):
                continue
            for healthy, sick in changes.items():
                source = source.replace(healthy, sick)
            exec(source, scope)
            matplotlib.pyplot.close("all")
            if last in source:
                return
    raise LookupError(last)


@pytest.mark.parametrize("book", FALSEHOODS)
def test_a_falsehood_turns_a_notebook_red(book):
    _, healthy, sick, claim = FALSEHOODS[book]
    shorter = SHORTER.get(book, {})
    cells = nbformat.read(NOTEBOOKS / f"{book}.ipynb", as_version=4).cells
    assert sum(cell.source.count(healthy) for cell in cells) == 1
    run(book, shorter, claim)
    with pytest.raises(AssertionError, match="is not between"):
        run(book, {**shorter, healthy: sick}, claim)
