"""The curve over steps: what it equals, what it leaves alone, both modes of batch statistics."""

import gc

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from mamlkit import MAML, FewShot, OmniglotNetwork, adapt, evaluate
from mamlkit.devices import generator


def test_the_curve_equals_adapt_by_hand(maml, sines):
    settings = {"shots": 5, "queries": 7, "tasks": 6, "steps": 4, "seed": 3}
    found = evaluate(maml, maml.init(), sines, **settings)
    batch = sines.sample(6, 5, 7, generator=generator(3, "cpu"))
    for i in range(6):
        task = batch.task(i)
        for s in range(5):
            adapted = adapt(maml.init(), maml.task_loss, task.support, lr=0.01, steps=s)
            by_hand = mse_loss(maml.predict(adapted, task.query_x), task.query_y)
            torch.testing.assert_close(found.values[i, s], by_hand.detach(), rtol=1e-4, atol=1e-5)


def test_mean_and_interval(maml, sines):
    found = evaluate(maml, maml.init(), sines, shots=5, queries=5, tasks=600, steps=1)
    assert found.values.shape == (600, 2) and not found.values.requires_grad
    column = found.values[:, 1]
    torch.testing.assert_close(found.mean[1], column.mean())
    torch.testing.assert_close(found.interval[1], 1.96 * column.std() / 600**0.5)


def test_nothing_is_left_behind(alphabet):
    """Parameters and buffers are bit-identical after evaluation; eval() changes nothing."""
    torch.manual_seed(0)
    network = OmniglotNetwork(5, filters=8)
    network.register_buffer("bystander", torch.randn(3))
    learner = MAML(network, cross_entropy, lr=0.4)
    params = learner.init()
    before = {k: v.clone() for k, v in [*params.items(), *network.state_dict().items()]}
    episodes = FewShot(alphabet, 5, device="cpu")
    settings = {"shots": 1, "queries": 3, "tasks": 20, "steps": 2}
    first = evaluate(learner, params, episodes, **settings)
    network.eval()
    second = evaluate(learner, params, episodes, **settings)
    assert torch.equal(first.values, second.values)
    after = dict([*params.items(), *network.state_dict().items()])
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_without_batch_statistics_both_modes_agree(alphabet):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=4), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(392, 5)
    )
    together, apart = _both_modes(network, alphabet)
    assert torch.equal(together, apart)


def test_with_batch_statistics_the_modes_differ(alphabet):
    torch.manual_seed(0)
    network = OmniglotNetwork(5, filters=8)
    together, apart = _both_modes(network, alphabet)
    assert not torch.equal(together, apart)


def _both_modes(network, images):
    learner = MAML(network, cross_entropy, lr=0.4)
    episodes = FewShot(images, 5, device="cpu")
    settings = {"shots": 1, "queries": 4, "tasks": 30, "steps": 1}
    return [
        evaluate(learner, learner.init(), episodes, transductive=mode, **settings).values
        for mode in (True, False)
    ]


def test_memory_stays_flat_over_200_tasks(maml, sines):
    """No tensor outlives the call but the values that are returned."""
    settings = {"shots": 5, "queries": 10, "steps": 2}
    alive = lambda: sum(torch.is_tensor(o) for o in gc.get_objects())
    evaluate(maml, maml.init(), sines, tasks=50, **settings)
    gc.collect()
    before = alive()
    found = evaluate(maml, maml.init(), sines, tasks=200, **settings)
    gc.collect()
    assert alive() <= before + 1
    assert found.values.numel() == 600


def test_parts_change_nothing(alphabet, monkeypatch):
    """Every task once and in order, however many are computed at once."""
    torch.manual_seed(0)
    learner = MAML(OmniglotNetwork(5, filters=8), cross_entropy, lr=0.4)
    tasks = FewShot(alphabet, 5, device="cpu")
    settings = {"shots": 1, "queries": 3, "tasks": 7, "steps": 2, "metric": cross_entropy}
    found = []
    for numbers in (1, 40_000, 10**9):
        monkeypatch.setattr("mamlkit.evaluation.NUMBERS", numbers)
        found.append(evaluate(learner, learner.init(), tasks, **settings).values)
    assert found[0].shape == (7, 3)
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], found[2])


def test_a_distribution_that_draws_too_few_tasks_is_told(maml, sines):
    class Few:
        device = sines.device

        def sample(self, tasks, *args, **options):
            return sines.sample(tasks - 1, *args, **options)

    with pytest.raises(ValueError, match=r"20 tasks were asked for, got shapes.*19"):
        evaluate(maml, maml.init(), Few(), shots=5, queries=5, tasks=20)
