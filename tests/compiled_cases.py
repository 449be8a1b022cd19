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
from mamlkit.training import step as step_module
from mamlkit.training.compiling import Compiled
from mamlkit.training.products import kernel

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


def parts_of_a_batch():
    """Five tasks two by two: two programs, the second for the last one alone."""
    torch.manual_seed(0)
    network = OmniglotNetwork(3, filters=4, norm="layer")
    torch.nn.init.normal_(network.head.weight)
    learner = MAML(network, cross_entropy, lr=0.1)
    batch = FewShot(glyphs(10).images, 3, device="cpu").sample(
        5, 2, 2, generator=torch.Generator().manual_seed(0)
    )
    step_module.MANY, step_module.PART = 0, 2 * batch.support_x[0].numel() * 2
    found = []
    for mode, chunk in ((True, "auto"), (False, None)):
        step = MetaStep(learner, learner.init(), SGD, compile=mode, microbatch=chunk)
        step(batch)
        found.append({n: learner.init()[n] - value for n, value in step.params.items()})
    assert step_module.MetaStep(learner, learner.init(), SGD, microbatch="auto")._part_size(batch) == 2
    assert distance(*found) < 1e-4  # ReLU may tip over


def products(length, width, columns, tasks, rows, inner, own):
    """Products of every orientation, all worth a call of the kernel, through the compiler, and
    none of them through Python."""
    torch.manual_seed(0)
    tall, small = torch.randn(length, width), torch.randn(length, columns)
    tasks, own = torch.randn(tasks, rows, inner), torch.randn(tasks, own, inner)
    if kernel.library():
        kernel.multiply = None

    def function(read_as_it_lies, held, tall, small, tasks, own):
        (weights,) = held
        weights += 1.0
        back = tall.mT @ small
        if read_as_it_lies:
            return back, back.as_strided((30, columns), (columns, 1))
        scores = tasks @ own.mT
        more = scores.mT @ tasks * 0.5, tasks.mT @ scores
        return back.relu(), small @ back.mT, scores, own @ tasks.mT, *more

    for read_as_it_lies in (False, True):
        held, inputs = torch.zeros(3), (tall, small, tasks, own)
        program = partial(function, read_as_it_lies)
        compiled = Compiled(lambda held, inputs, run=program: run(held, *inputs), (held,), None)
        found, wanted = compiled(inputs), program((torch.zeros(3),), *inputs)
        assert held.tolist() == [1, 1, 1]
        for one, other in zip(found, wanted, strict=True):
            assert (one - other).norm() < 1e-5 * other.norm()


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
    "parts of a batch": parts_of_a_batch,
    "large products": partial(products, 20_000, 90, 10, 8, 300, 200, 64),
    "small products": partial(products, 500, 40, 10, 25, 10, 40, 40),
    "Adam, cosine, clipped": partial(runs, schedule="cosine", clip=1.0),
    "AdamW": partial(runs, optimizer=partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1)),
    "momentum": partial(
        runs, optimizer=partial(torch.optim.SGD, lr=1e-2, momentum=0.9, nesterov=True)
    ),
    "an optimiser left to torch": partial(
        runs, optimizer=partial(torch.optim.RMSprop, lr=1e-3, eps=0.01)
    ),
    "chunks": partial(runs, microbatch=10),
    "MAML++ with all its phases": partial(runs, partial(MAMLPlusPlus, steps=2)),
    "shapes": shapes,
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
