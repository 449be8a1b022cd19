"""Tasks with different numbers of points in one batch: as if each stood alone."""

import pytest
import torch
from gradients import distance, smooth_network
from torch import nn
from torch.nn.functional import cross_entropy, huber_loss, mse_loss

from mamlkit import (
    ANIL,
    MAML,
    MetaSGD,
    OmniglotNetwork,
    ProtoMAML,
    PrototypicalNetwork,
    TaskBatch,
    accuracy,
    evaluate,
    masked,
    meta_gradient,
    pad_tasks,
)

LENGTHS = (2, 5), (4, 3), (7, 7)  # support and query points of three tasks


def test_prototypes_of_padded_episodes_are_those_of_a_loop():
    torch.manual_seed(0)
    embedding, tasks = nn.Sequential(nn.Flatten(), nn.Linear(784, 6)).double(), images()
    learner = PrototypicalNetwork(embedding, cross_entropy, ways=3)
    gradient, value = meta_gradient(learner, learner.init(), pad_tasks(tasks))
    expected, mean = one_by_one(learner, tasks)
    assert distance(gradient, expected) < 1e-10 and abs(value - mean) < 1e-12


def waves():
    draw = lambda n: (torch.randn(n, 1).double(), torch.randn(n, 1).double())
    return [TaskBatch(*draw(support), *draw(query)) for support, query in LENGTHS]


def images():
    """Three classes, some with more images than others."""
    labels = lambda n: torch.arange(n) % 3
    draw = lambda n: (torch.rand(n, 1, 28, 28).double(), labels(n))
    return [TaskBatch(*draw(support + 2), *draw(query)) for support, query in LENGTHS]


def one_by_one(learner, tasks):
    """The mean of the gradients of unpadded tasks, and of their losses."""
    alone = [
        meta_gradient(learner, learner.init(), TaskBatch(*(t[None] for t in task)))
        for task in tasks
    ]
    gradients, losses = zip(*alone, strict=True)
    mean = lambda values: sum(values) / len(values)
    if hasattr(gradients[0], "_asdict"):
        return {
            f"{part}/{name}": mean([getattr(g, part)[name] for g in gradients])
            for part in gradients[0]._fields
            for name in getattr(gradients[0], part)
        }, mean(losses)
    return {name: mean([g[name] for g in gradients]) for name in gradients[0]}, mean(losses)


@pytest.mark.parametrize("kind", [MAML, MetaSGD])
@pytest.mark.parametrize("loss", [mse_loss, huber_loss])
def test_padded_regression_is_a_loop_over_tasks(kind, loss):
    """Bar: losses and gradients equal to 1e-6 (here 1e-12, in double precision)."""
    torch.manual_seed(0)
    tasks = waves()
    learner = kind(smooth_network(), masked(loss), lr=0.1, steps=2)
    gradient, value = meta_gradient(learner, learner.init(), pad_tasks(tasks))
    expected, mean = one_by_one(kind(learner.module, loss, lr=0.1, steps=2), tasks)
    assert distance(gradient, expected) < 1e-12 and abs(value - mean) < 1e-12


@pytest.mark.parametrize("kind", [MAML, ANIL, ProtoMAML])
@pytest.mark.parametrize("wrap", [lambda loss: loss, masked])
def test_padded_episodes_are_a_loop_over_tasks(kind, wrap):
    """`cross_entropy` knows the mark by itself."""
    torch.manual_seed(0)
    module = OmniglotNetwork(3, filters=4, norm="layer").double()
    tasks = images()
    learner = kind(module, wrap(cross_entropy), lr=0.4)
    gradient, value = meta_gradient(learner, learner.init(), pad_tasks(tasks))
    expected, mean = one_by_one(kind(module, cross_entropy, lr=0.4), tasks)
    assert distance(gradient, expected) < 1e-10 and abs(value - mean) < 1e-12


@pytest.mark.parametrize("nothing", [torch.nan, torch.inf, 1e30])
def test_a_masked_point_never_matters(nothing):
    torch.manual_seed(0)
    batch = TaskBatch(*(torch.randn(2, 6, 1).double() for _ in range(4)))
    keep = torch.rand(2, 6) > 0.4
    spoilt = TaskBatch(*(torch.where(keep[..., None], t, nothing) for t in batch))
    learner = MAML(smooth_network(), masked(mse_loss), lr=0.1)
    results = [
        meta_gradient(learner, learner.init(), each.masked(keep, keep)) for each in (batch, spoilt)
    ]
    assert distance(results[0][0], results[1][0]) == 0 and results[0][1] == results[1][1]
    whole = meta_gradient(learner, learner.init(), batch)
    assert whole[1] != results[0][1]


class Uneven:
    """Regression tasks of one to five support points."""

    device = torch.device("cpu")

    def sample(self, tasks, shots, queries, *, generator=None):
        x = lambda n: 10 * torch.rand(tasks, n, 1, generator=generator) - 5
        support, query = x(shots), x(queries)
        lengths = torch.randint(1, shots + 1, (tasks, 1), generator=generator)
        batch = TaskBatch(support, support.sin(), query, query.sin())
        return batch.masked(torch.arange(shots) < lengths, torch.ones(tasks, queries) > 0)


def test_evaluation_leaves_them_out():
    torch.manual_seed(0)
    learner = MAML(
        nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), masked(mse_loss), lr=0.1
    )
    seen = evaluate(learner, learner.init(), Uneven(), shots=5, queries=4, tasks=20, steps=3)
    assert seen.values.isfinite().all() and seen.values.max() < 50


def test_accuracy_of_those_that_count():
    labels = torch.tensor([0, 1, -100, -100])
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert accuracy(scores, labels) == 0.5
