"""The compiled meta-step is the eager one, for every learner, optimiser and shape."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from compiled_cases import CASES

from mamlkit import MAML, SineNetwork, fit
from mamlkit.training.pays import pays


@pytest.mark.parametrize("case", CASES)
def test_compiled_equals_eager(case):
    """Bar: meta-gradients within 1e-5 of each other in float32."""
    script = Path(__file__).with_name("compiled_cases.py")
    subprocess.run([sys.executable, script, case], check=True, timeout=300)


def test_no_compiler_means_eager_and_a_word(maml, sines, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no C++ compiler found")

    train = partial(fit, maml, sines, iterations=3, shots=5, queries=5, device="cpu")
    eager = train(compile=False, progress=False)
    monkeypatch.setattr("torch._inductor.compile", refuse)
    with pytest.warns(UserWarning, match="running eagerly.*no C\\+\\+ compiler found"):
        run = train(compile=True, progress=False)
    assert all(torch.equal(run.params[name], eager.params[name]) for name in run.params)


def test_auto_weighs_the_length_of_the_run(sines):
    """A long run pays for the compiler, a short one does not."""
    maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    batch = sines.sample(25, 5, 5)
    step = lambda: torch.func.grad(maml.outer_loss)(maml.init(), batch.task(0))
    assert not pays(step, 10)
    assert pays(step, 10_000_000)
