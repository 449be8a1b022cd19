"""The meta-gradient against closed forms, finite differences and a plain loop over tasks."""

import pytest
import torch
from gradients import distance, double, finite_differences, smooth_network
from torch.nn.functional import cross_entropy, mse_loss

from mamlkit import MAML, FewShot, FirstOrderMAML, OmniglotNetwork, adapt, meta_gradient

QUADRATIC = lambda params, a, b: 0.5 * a * (params["θ"] - b) ** 2


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_second_order_term_in_closed_form(first_order, steps):
    """For L = ½aθ², each step carries the factor (1 - αa); first order misses exactly that."""
    a, lr, theta = torch.tensor(3.0).double(), 0.1, torch.tensor(0.7).double()
    support = query = (a, torch.tensor(0.0).double())

    def outer(params):
        adapted = adapt(params, QUADRATIC, support, lr=lr, steps=steps, first_order=first_order)
        return QUADRATIC(adapted, *query)

    gradient = torch.func.grad(outer)({"θ": theta})["θ"]
    adapted = theta * (1 - lr * a) ** steps
    factor = 1.0 if first_order else (1 - lr * a) ** steps
    torch.testing.assert_close(gradient, a * adapted * factor, rtol=1e-12, atol=0)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_against_finite_differences(steps, sines):
    """Bar: relative error below 1e-6 in float64."""
    torch.manual_seed(1)
    maml = MAML(smooth_network(), mse_loss, lr=0.05, steps=steps)
    batch, params = double(sines.sample(3, 5, 7)), maml.init()
    gradient, _ = meta_gradient(maml, params, batch)
    numeric = finite_differences(lambda p: meta_gradient(maml, p, batch)[1], params)
    assert distance(gradient, numeric) < 1e-6


def test_relu_networks_have_a_second_order_term(sines):
    """ReLU has no second derivative; the network and the squared error do."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(1, 20), torch.nn.ReLU(), torch.nn.Linear(20, 1)
    ).double()
    batch = double(sines.sample(5, 10, 10))
    gap = {}
    for lr in (1e-1, 1e-3, 1e-5):
        full, _ = meta_gradient(
            MAML(net, mse_loss, lr=lr), MAML(net, mse_loss, lr=lr).init(), batch
        )
        first = FirstOrderMAML(net, mse_loss, lr=lr)
        gap[lr] = distance(full, meta_gradient(first, first.init(), batch)[0])
    assert gap[1e-1] > 0.05
    assert gap[1e-3] < gap[1e-1] / 10
    assert gap[1e-5] < gap[1e-3] / 50


def test_first_order_is_the_query_gradient_at_the_adapted_parameters(sines):
    torch.manual_seed(0)
    learner = FirstOrderMAML(smooth_network(), mse_loss, lr=0.1, steps=3)
    batch, params = double(sines.sample(1, 5, 5)), learner.init()
    gradient, _ = meta_gradient(learner, params, batch)
    adapted = learner.adapt(params, batch.task(0).support)
    detached = {name: value.detach() for name, value in adapted.items()}
    expected = torch.func.grad(learner.task_loss)(detached, *batch.task(0).query)
    assert distance(gradient, expected) < 1e-14


def test_pretraining_is_maml_without_inner_steps(sines):
    torch.manual_seed(0)
    learner = MAML(smooth_network(), mse_loss, lr=0.1, steps=0)
    batch, params = double(sines.sample(4, 5, 5)), learner.init()
    gradient, _ = meta_gradient(learner, params, batch)
    flat = batch.query_x.flatten(0, 1), batch.query_y.flatten(0, 1)
    assert distance(gradient, torch.func.grad(learner.task_loss)(params, *flat)) < 1e-14


def test_duplicating_the_support_set_changes_nothing(maml, sines):
    """The step is of the mean loss, whatever the number of shots."""
    task = double(sines.sample(1, 5, 5)).task(0)
    params = {name: value.double() for name, value in maml.init().items()}
    once = maml.adapt(params, task.support)
    twice = maml.adapt(params, [torch.cat([t, t]) for t in task.support])
    assert distance(once, twice) < 1e-15


def in_a_loop(learner, params, batch):
    """The meta-gradient by plain autograd, one task after the other."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    total = 0
    for i in range(len(batch.support_x)):
        adapted, task = leaves, batch.task(i)
        for _ in range(learner.steps):
            loss = learner.task_loss(adapted, *task.support)
            gradients = torch.autograd.grad(loss, list(adapted.values()), create_graph=True)
            moved = zip(adapted.items(), gradients, strict=True)
            adapted = {name: value - learner.lr * g for (name, value), g in moved}
        total = total + learner.task_loss(adapted, *task.query) / len(batch.support_x)
    gradients = torch.autograd.grad(total, list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True)), total


@pytest.mark.parametrize("steps", [1, 2])
def test_vmap_equals_a_loop_over_tasks(steps, alphabet):
    """Bar: below 1e-10 in float64, values and gradients, batch normalisation included."""
    torch.manual_seed(0)
    network = OmniglotNetwork(5, filters=8).double()
    torch.nn.init.normal_(network.head.weight)
    learner = MAML(network, cross_entropy, lr=0.5, steps=steps)
    batch = double(FewShot(alphabet, 5, device="cpu").sample(3, 2, 3))
    gradient, loss = meta_gradient(learner, learner.init(), batch)
    expected, total = in_a_loop(learner, learner.init(), batch)
    assert distance(gradient, expected) < 1e-10
    torch.testing.assert_close(loss, total.detach(), rtol=1e-10, atol=0)


def test_adapt_leaves_its_parameters_alone(maml, sines):
    params = maml.init()
    before = {name: value.clone() for name, value in params.items()}
    maml.adapt(params, sines.sample(1, 5, 5).task(0).support)
    assert all(torch.equal(params[name], before[name]) for name in before)
