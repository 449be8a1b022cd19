"""Notebook 02's eleven lines are the package's MAML; breaking the package turns it red."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from gradients import distance, double
from torch.func import functional_call, grad, vmap
from torch.nn.functional import mse_loss

from mamlkit import MAML, SineNetwork, Sinusoids, meta_gradient

ROOT = Path(__file__).parents[1]
BY_HAND = "02_maml_by_hand.ipynb"

MUTATIONS = {
    "drop the second-order term": ("learners/adapt.py", "if first_order:", "if True:"),
    "swap support and query": (
        "learners/base.py",
        "self.adapt(params, task.support), *task.query",
        "self.adapt(params, task.query), *task.support",
    ),
    "multiply the step size by ten": ("learners/adapt.py", "p - lr[name]", "p - 10 * lr[name]"),
}


def test_eleven_lines_equal_the_package():
    book = nbformat.read(ROOT / "notebooks" / BY_HAND, as_version=4)
    source = next(c.source for c in book.cells if c.source.startswith("def maml_gradient"))
    lines = [line for line in source.splitlines() if line.strip()]
    assert len(lines) == 11
    scope = {"functional_call": functional_call, "grad": grad, "vmap": vmap, "mse_loss": mse_loss}
    exec(source, scope)
    torch.manual_seed(3)
    learner = MAML(SineNetwork().double(), mse_loss, lr=0.02)
    batch = double(Sinusoids(device="cpu").sample(9, 5, 8))
    ours = scope["maml_gradient"](learner.module, learner.init(), batch, 0.02)
    assert distance(ours, meta_gradient(learner, learner.init(), batch)[0]) < 1e-12


@pytest.mark.parametrize("mutation", [None, *MUTATIONS], ids=lambda m: m or "unchanged")
def test_a_mutation_turns_the_notebook_red(mutation, tmp_path):
    """In a copy of the package: the notebook lane fails for each mutation, and only then."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mamlkit", tmp_path / "mamlkit", ignore=ignored)
    shutil.copy(ROOT / "notebooks" / BY_HAND, tmp_path)
    if mutation:
        name, healthy, sick = MUTATIONS[mutation]
        path = tmp_path / "mamlkit" / name
        source = path.read_text("utf8")
        assert source.count(healthy) == 1
        path.write_text(source.replace(healthy, sick), "utf8")
    sanitize = f"--nbval-sanitize-with={ROOT / 'notebooks' / 'sanitize.cfg'}"
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", sanitize, "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, BY_HAND],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (result.returncode == 1) == bool(mutation), result.stdout[-3000:]
    assert str(ROOT / "mamlkit") not in result.stdout
