"""The compiled meta-step is the eager one, for every learner, optimiser and shape."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from compiled_cases import CASES
from torch import nn

import mamlkit.training
from mamlkit import SineNetwork, Sinusoids, fit
from mamlkit.training.fit import should_compile


@pytest.fixture(scope="module")
def outcomes():
    """Case -> its error or None, of one process that goes through all of them."""
    script = Path(__file__).with_name("compiled_cases.py")
    process = subprocess.run([sys.executable, script], capture_output=True, text=True)
    lines = [line for line in process.stdout.splitlines() if line.startswith("[")]
    return {"stderr": process.stderr, **dict(map(json.loads, lines))}


@pytest.mark.parametrize("case", CASES)
def test_compiled_equals_eager(case, outcomes):
    """Bar: meta-gradients within 1e-5 of each other in float32."""
    if reason := outcomes.get("no compiler"):
        pytest.skip(f"torch.compile does not work here: {reason.splitlines()[0]}")
    assert case in outcomes, outcomes["stderr"]
    assert outcomes[case] is None, outcomes[case]


@pytest.mark.parametrize("trouble", ["compile", "import"])
def test_no_compiler_means_eager_and_a_word(maml, sines, monkeypatch, trouble):
    def refuse(*_, **__):
        raise RuntimeError("no C++ compiler found")

    train = partial(fit, maml, sines, iterations=3, shots=5, queries=5, device="cpu")
    eager = train(compile=False, progress=False)
    if trouble == "compile":
        monkeypatch.setattr("torch.compile", lambda *_, **__: refuse)
    else:
        monkeypatch.setitem(sys.modules, "mamlkit.training.compile", None)
        monkeypatch.delattr(mamlkit.training, "compile", raising=False)
    with pytest.warns(UserWarning, match="running eagerly.*compile"):
        run = train(compile=True, progress=False)
    assert all(torch.equal(run.params[name], eager.params[name]) for name in run.params)


def test_auto_counts():
    """A long run pays for the compiler, a short one does not; a large batch pays sooner."""
    sines = Sinusoids(device="cpu").sample(25, 5, 5)
    assert not should_compile(SineNetwork(), sines, 1_000)
    assert should_compile(SineNetwork(), sines, 10_000)
    images = sines._replace(support_x=torch.zeros(32, 5, 1, 28, 28))
    assert should_compile(SineNetwork(), images, 1_500)
    assert not should_compile(nn.Sequential(nn.LSTM(1, 1)), sines, 1_000_000)
