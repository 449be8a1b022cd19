"""Run by test_compiled.py, each in its own process: compiled code has no run-time shape checks."""

import sys
import warnings
from functools import partial

import torch
from gradients import distance
from torch.nn.functional import cross_entropy, mse_loss

from mamlkit import (
    ANIL,
    MAML,
    FewShot,
    FirstOrderMAML,
    MAMLPlusPlus,
    MetaSGD,
    MetaStep,
    OmniglotNetwork,
    Reptile,
    SineNetwork,
    Sinusoids,
    fit,
    glyphs,
)

warnings.filterwarnings("error", message=".*running eagerly")
SGD, WAVES = partial(torch.optim.SGD, lr=1.0), Sinusoids(device="cpu")


def gradients(learner, batch):
    """The meta-gradient, as the one update of plain gradient descent, compiled and eager."""
    start = learner.init()
    found = []
    for mode in (True, False):
        step = MetaStep(learner, start, SGD, compile=mode)
        step(batch)
        found.append({name: start[name] - value for name, value in step.params.items()})
    return distance(*found)


def one_gradient(make):
    torch.manual_seed(0)
    assert gradients(make(SineNetwork(), mse_loss, lr=0.01), WAVES.sample(25, 5, 5)) < 1e-5


def convolutions():
    torch.manual_seed(0)
    network = OmniglotNetwork(3, filters=4)
    torch.nn.init.normal_(network.head.weight)
    tasks = FewShot(glyphs(10).images, 3, device="cpu")
    batch = tasks.sample(2, 2, 2, generator=torch.Generator().manual_seed(0))
    assert gradients(MAML(network, cross_entropy, lr=0.1), batch) < 1e-4  # ReLU may tip over


def runs(kind=MAML, **settings):
    """Twenty iterations compiled and eager end at the same parameters."""
    torch.manual_seed(0)
    learner = kind(SineNetwork(), mse_loss, lr=0.01)
    ends = [
        fit(learner, WAVES, iterations=20, shots=5, queries=5, device="cpu", compile=mode,
            progress=False, **settings)
        for mode in (True, False)
    ]  # fmt: skip
    assert ends[0].compiled and not ends[1].compiled
    torch.testing.assert_close(ends[0].params, ends[1].params, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ends[0].history["loss"], ends[1].history["loss"], rtol=1e-4, atol=0)


def shapes():
    """A batch of another shape gets a program of its own."""
    torch.manual_seed(0)
    maml = MAML(SineNetwork(), mse_loss, lr=0.01)
    steps = [MetaStep(maml, maml.init(), SGD, compile=mode) for mode in (True, False)]
    for size in ((4, 5, 5), (3, 2, 7), (4, 5, 5)):
        batch = WAVES.sample(*size)
        torch.testing.assert_close(steps[0](batch), steps[1](batch), rtol=1e-4, atol=1e-5)


CASES = {
    "MAML": partial(one_gradient, MAML),
    "first order": partial(one_gradient, FirstOrderMAML),
    "ANIL": partial(one_gradient, ANIL),
    "Meta-SGD": partial(one_gradient, MetaSGD),
    "Reptile": partial(one_gradient, partial(Reptile, steps=3)),
    "convolutions": convolutions,
    "Adam, cosine, clipped": partial(runs, schedule="cosine", clip=1.0),
    "AdamW": partial(runs, optimizer=partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1)),
    "momentum": partial(
        runs, optimizer=partial(torch.optim.SGD, lr=1e-2, momentum=0.9, nesterov=True)
    ),
    "an optimiser left to torch": partial(
        runs, optimizer=partial(torch.optim.RMSprop, lr=1e-3, eps=0.01)
    ),
    "chunks": partial(runs, chunk=10),
    "MAML++ with all its phases": partial(runs, partial(MAMLPlusPlus, steps=2)),
    "shapes": shapes,
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
