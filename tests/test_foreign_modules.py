"""Model-agnostic: modules written by people who never heard of us, unchanged."""

import pytest
import torch
from gradients import distance, double
from test_meta_gradient import in_a_loop
from torch import nn
from torch.nn.functional import mse_loss, scaled_dot_product_attention

from mamlkit import MAML, TaskBatch, evaluate, fit, meta_gradient
from mamlkit.devices import generator
from mamlkit.learners.vmap import vmap_tasks


class Recurrent(nn.Module):
    """Reads x as a sequence of digits of its value."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(1, 6, batch_first=True)
        self.head = nn.Linear(6, 1)

    def forward(self, x):
        sequence = torch.stack([x, x**2, x**3], dim=1) / 10
        return self.head(self.cell(sequence)[0][:, -1])


class Attention(nn.Module):
    """A small block of self-attention over features of x."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        tokens = self.embed(torch.stack([x, x.sin(), x**2 / 10], dim=1))
        mixed = tokens + self.attend(tokens, tokens, tokens, need_weights=False)[0]
        return self.head(scaled_dot_product_attention(mixed, mixed, mixed).mean(1))


class Tied(nn.Module):
    """An MLP with one frozen layer, two layers that share a weight, odd names and a buffer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(1, 12)
        self.first.requires_grad_(False)
        self.second, self.third = nn.Linear(12, 12), nn.Linear(12, 12)
        self.third.weight = self.second.weight
        self.odd = nn.ParameterDict({"params": nn.Parameter(torch.ones(1)), "θ_1": torch.zeros(1)})
        self.register_buffer("scale", torch.tensor(0.5))
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        hidden = torch.tanh(self.second(torch.tanh(self.first(x))))
        hidden = torch.tanh(self.third(hidden)) * self.odd["params"] * self.scale
        return self.head(hidden) + self.odd["θ_1"]


FOREIGN = [Recurrent, Attention, Tied]


@pytest.mark.parametrize("kind", FOREIGN)
def test_meta_gradient_equals_a_plain_loop(kind, sines):
    torch.manual_seed(0)
    learner = MAML(kind().double(), mse_loss, lr=0.05)
    batch = double(sines.sample(3, 5, 5))
    gradient, _ = meta_gradient(learner, learner.init(), batch)
    with (
        torch.backends.mkldnn.flags(enabled=False),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        expected, _ = in_a_loop(learner, learner.init(), batch)
    assert distance(gradient, expected) < 1e-10


@pytest.mark.parametrize("kind", FOREIGN)
def test_it_learns_to_learn_and_changes_nothing_else(kind, sines):
    """Ninety meta-iterations lower the loss after adaptation; module and buffers stay."""
    torch.manual_seed(0)
    module = kind()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    learner = MAML(module, mse_loss, lr=0.02)
    settings = {"shots": 5, "queries": 10, "seed": 0, "progress": False, "device": "cpu"}
    adam = lambda leaves: torch.optim.Adam(leaves, lr=1e-2)
    run = fit(learner, sines, iterations=90, tasks_per_batch=8, optimizer=adam, **settings)
    test = {"shots": 5, "queries": 20, "tasks": 60, "steps": 1}
    trained = evaluate(learner, run.params, sines, **test)
    start = evaluate(learner, learner.init(), sines, **test)
    assert trained.mean[1] < 0.9 * start.mean[1]
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "first.weight" not in run.params  # frozen: nothing to learn there


def test_relu_in_place_is_the_same(sines):
    gradients = []
    for inplace in (False, True):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(1, 9), nn.ReLU(inplace=inplace), nn.Linear(9, 1)).double()
        learner = MAML(module, mse_loss, lr=0.1, steps=2)
        batch = double(sines.sample(3, 5, 5, generator=generator(0, "cpu")))
        gradients.append(meta_gradient(learner, learner.init(), batch)[0])
    assert distance(*gradients) < 1e-14


def test_a_transformer_layer_can_be_evaluated(sines):
    """In evaluation mode torch would take a fused path that cannot be batched."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    module = nn.Sequential(
        nn.Linear(1, 8), nn.Unflatten(1, (1, 8)), layer, nn.Flatten(), nn.Linear(8, 1)
    )
    learner = MAML(module, mse_loss, lr=0.01)
    settings = {"shots": 5, "queries": 5, "tasks": 6, "steps": 1}
    found = evaluate(learner, learner.init(), sines, **settings)
    assert torch.equal(found.values, evaluate(learner, learner.init(), sines, **settings).values)
    assert module.training


def test_dropout_draws_anew_for_every_task_in_training_and_is_off_in_testing(sines):
    module = nn.Sequential(nn.Linear(1, 50), nn.Dropout(0.5), nn.Linear(50, 1))
    learner = MAML(module, mse_loss, lr=0.0, steps=0)
    task = sines.sample(1, 5, 5)
    same = TaskBatch(*(t.expand(2, *t.shape[1:]) for t in task))
    loss = lambda task: learner.outer_loss(learner.init(), task)
    losses = vmap_tasks(loss, module, same)
    assert losses[0] != losses[1]
    settings = {"shots": 5, "queries": 5, "tasks": 4, "steps": 0}
    first, second = (evaluate(learner, learner.init(), sines, **settings) for _ in range(2))
    assert torch.equal(first.values, second.values) and module.training
