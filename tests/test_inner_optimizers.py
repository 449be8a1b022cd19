"""Inner loops by other rules than gradient descent: right values, and right through and through."""

from functools import partial

import pytest
import torch
from gradients import distance, double, smooth_network
from torch.nn.functional import mse_loss

from mamlkit import MAML, FirstOrderMAML, MetaSGD, check_meta_gradient, evaluate, fit
from mamlkit.learners.inner_optimizers import adam, momentum

RULES = [momentum, partial(momentum, beta=0.5), adam, partial(adam, beta1=0.5, eps=0.1)]
TORCH = [
    (momentum, partial(torch.optim.SGD, momentum=0.9)),
    (partial(momentum, beta=0.0), torch.optim.SGD),
    (adam, torch.optim.Adam),
    (partial(adam, beta1=0.3, beta2=0.7), partial(torch.optim.Adam, betas=(0.3, 0.7))),
]


@pytest.mark.parametrize("rule, optimizer", TORCH)
def test_five_steps_are_those_of_torch(rule, optimizer, sines):
    torch.manual_seed(0)
    module = smooth_network()
    task = double(sines.sample(1, 5, 5)).task(0)
    learner = MAML(module, mse_loss, lr=0.02, steps=5, inner_optimizer=rule)
    adapted = learner.adapt(learner.init(), task.support)
    ours = optimizer(module.parameters(), lr=0.02)
    for _ in range(5):
        ours.zero_grad()
        mse_loss(module(task.support_x), task.support_y).backward()
        ours.step()
    end = {name: value.detach() for name, value in module.named_parameters()}
    assert distance(adapted, end) < 1e-7


@pytest.mark.parametrize("kind", [MAML, MetaSGD])
@pytest.mark.parametrize("rule", RULES)
def test_the_outer_loop_sees_through_them(rule, kind, sines):
    torch.manual_seed(0)
    learner = kind(smooth_network(), mse_loss, lr=0.05, steps=3, inner_optimizer=rule)
    found = check_meta_gradient(learner, sines.sample(2, 5, 5))
    assert found.ok, found


def test_a_rule_of_ones_own_and_no_state_between_tasks(sines):
    """Sign descent; and two evaluations in a row are the same."""
    states = []

    def signs(params, gradient, state, lr):
        states.append(state)
        moved = {n: p - lr[n] * gradient[n].sign() for n, p in params.items()}
        return moved, (state or 0) + 1

    torch.manual_seed(0)
    learner = FirstOrderMAML(smooth_network(), mse_loss, lr=0.01, steps=2, inner_optimizer=signs)
    learner.module.float()
    options = {"shots": 5, "queries": 5, "device": "cpu", "progress": False}
    run = fit(learner, sines, iterations=3, compile=False, **options)
    assert set(states) == {None, 1}
    test = partial(evaluate, learner, run.params, sines, shots=5, queries=5, tasks=4, steps=2)
    assert torch.equal(test().values, test().values)


def test_bad_rules_are_refused():
    with pytest.raises(TypeError, match="inner_optimizer must be"):
        MAML(smooth_network(), mse_loss, lr=0.1, inner_optimizer=0.9)
    with pytest.raises(ValueError, match="use one of the two"):
        options = {"activation_checkpointing": 2, "inner_optimizer": momentum}
        MAML(smooth_network(), mse_loss, lr=0.1, **options)
