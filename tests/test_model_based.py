"""Learners that take no gradient step: their gradients, their symmetries, their exact answers."""

import math
from functools import partial

import pytest
import torch
from gradients import distance, double
from torch.nn.functional import cross_entropy, mse_loss

from mamlkit import (
    AttentiveNeuralProcess,
    AttentiveProcess,
    ConditionalNeuralProcess,
    ExactPredictive,
    InContextLearner,
    InContextTransformer,
    LinearSelfAttention,
    LinearTasks,
    LSTMReader,
    NeuralProcess,
    NoisySinusoids,
    RecurrentLearner,
    Sequences,
    Sinusoids,
    TaskBatch,
    evaluate,
    fit,
    meta_gradient,
    sine,
)
from mamlkit.models.neural_process import MeanAndDeviation, mlp
from mamlkit.tasks.linear import posterior_over_pool, ridge
from mamlkit.tasks.noisy_sinusoids import log_likelihood, negative_log_likelihood, squared_error
from mamlkit.tasks.sequences import accuracy_at

NLL = negative_log_likelihood


def smooth(module):
    """The same module with a smooth function in place of every ReLU, in double precision."""
    for part in module.modules():
        for name, child in part.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(part, name, torch.nn.Tanh())
    return module.double()


def sequences():
    features = torch.randn(8, 12, 3, generator=torch.Generator().manual_seed(0))
    return Sequences(features, ways=2, device="cpu")


SINES, LINES = NoisySinusoids(device="cpu"), LinearTasks(2, device="cpu")
LEARNERS = {
    "conditional": lambda: ConditionalNeuralProcess(smooth(NeuralProcess(width=6)), NLL),
    "attentive": lambda: AttentiveNeuralProcess(smooth(AttentiveProcess(width=6, heads=2)), NLL),
    "transformer": lambda: InContextLearner(
        smooth(InContextTransformer(width=6, layers=2, heads=2)), NLL
    ),
    "linear attention": lambda: InContextLearner(LinearSelfAttention(2).double(), mse_loss),
    "recurrent": lambda: RecurrentLearner(LSTMReader(5, 4, 2).double(), cross_entropy),
}
TASKS = {"linear attention": LINES, "recurrent": sequences()}


def start(name, tasks=3):
    """A learner, its parameters, and a batch of its tasks in double precision."""
    torch.manual_seed(1)
    learner = LEARNERS[name]()
    batch = TASKS.get(name, SINES).sample(tasks, 2 if name == "recurrent" else 6, 3)
    return learner, learner.init(), double(batch)


@pytest.fixture
def everything_seen(monkeypatch):
    """Training sees all support points, so that two calls of a loss agree."""
    every = lambda points, device: torch.ones(points, dtype=torch.bool, device=device)
    monkeypatch.setattr("mamlkit.learners.neural_process.draw_seen", every)


@pytest.mark.parametrize("name", LEARNERS)
def test_gradients_against_finite_differences(name, everything_seen):
    """In float64, for every parameter along random directions of its own. Bar: below 1e-6."""
    learner, params, batch = start(name)
    gradient, _ = meta_gradient(learner, params, batch)

    def loss(moved):
        with torch.no_grad():
            return torch.stack([learner.outer_loss(moved, batch.task(i)) for i in range(3)]).mean()

    for key, value in params.items():
        direction = torch.randn_like(value)
        ahead, behind = (loss({**params, key: value + h * direction}) for h in (1e-6, -1e-6))
        expected = (gradient[key] * direction).sum()
        slack = 1e-6 * (gradient[key].norm() * direction.norm()) + 1e-9
        assert abs((ahead - behind) / 2e-6 - expected) < slack, key


@pytest.mark.parametrize("name", LEARNERS)
def test_all_tasks_at_once_equal_one_after_the_other(name, everything_seen):
    learner, params, batch = start(name)
    gradient, loss = meta_gradient(learner, params, batch)
    leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
    apart = torch.stack([learner.outer_loss(leaves, batch.task(i)) for i in range(3)]).mean()
    one_by_one = dict(zip(leaves, torch.autograd.grad(apart, list(leaves.values())), strict=True))
    torch.testing.assert_close(loss, apart.detach())
    assert distance(gradient, one_by_one) < 1e-12


@pytest.mark.parametrize("name", ["conditional", "attentive", "transformer", "linear attention"])
def test_the_order_of_the_support_set_means_nothing(name):
    learner, params, batch = start(name)
    (x, y), (query, _) = batch.task(0).support, batch.task(0).query
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    answer = lambda x, y: learner.predict(learner.adapt(params, (x, y)), query)
    torch.testing.assert_close(answer(x[order], y[order]), answer(x, y), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(answer(x[:5], y[:5]), answer(x, y), rtol=1e-6)  # its points do


def test_the_order_of_a_sequence_means_something():
    learner, params, batch = start("recurrent")
    x, y = batch.task(0).query
    read = lambda order: learner.predict(learner.adapt(params, (x[:6][order], y[:6])), x[6:])
    forwards, backwards = read(torch.arange(6)), read(torch.arange(6).flip(0))
    assert not torch.allclose(forwards, backwards, rtol=1e-6)


def test_a_sequence_can_be_read_in_parts():
    learner, params, batch = start("recurrent")
    x, y = batch.task(0).query
    whole = learner.predict(learner.adapt(params, (x[:0], y[:0])), x)
    parts = learner.predict(learner.adapt(params, (x[:4], y[:4])), x[4:])
    torch.testing.assert_close(parts, whole[4:])


def test_the_reader_is_torchs_lstm():
    torch.manual_seed(0)
    ours, theirs = LSTMReader(5, 4, 3), torch.nn.LSTM(5, 4)
    x = torch.randn(7, 5)
    reorder = lambda t: torch.cat([t.chunk(4)[i] for i in (1, 0, 3, 2)])  # theirs: i, f, g, o
    for mine, suffix in ((ours.read, "ih_l0"), (ours.recall, "hh_l0")):
        getattr(theirs, f"weight_{suffix}").data = reorder(mine.weight.data)
        getattr(theirs, f"bias_{suffix}").data = reorder(mine.bias.data)
    scores, (h, _) = ours(x)
    hidden, (last, _) = theirs(x)
    torch.testing.assert_close(scores, ours.head(hidden))
    torch.testing.assert_close(h, last[0])


class ForeignProcess(torch.nn.Module):
    """Parts that know nothing of this package."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.GELU())
        self.attention = ForeignAttention()
        self.decoder = torch.nn.Linear(9, 1)


class ForeignAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.place = torch.nn.Linear(1, 8)
        self.attention = torch.nn.MultiheadAttention(8, 2)

    def forward(self, x, support_x, values, seen):
        mixed, _ = self.attention(
            self.place(x), self.place(support_x), values, attn_mask=~seen.expand(len(x), -1),
            need_weights=False,
        )  # fmt: skip
        return mixed


class ForeignReader(torch.nn.Module):
    """A GRU of torch's own: `vmap` has no rule for it."""

    def __init__(self):
        super().__init__()
        self.gru, self.head = torch.nn.GRU(5, 4), torch.nn.Linear(4, 2)

    def forward(self, x, state):
        hidden, state = self.gru(x, state)
        return self.head(hidden), state


class ForeignContext(torch.nn.Module):
    """The nearest support point's y through one linear layer."""

    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(1, 1)

    def forward(self, support_x, support_y, x):
        return self.out((-((x - support_x.T) ** 2)).softmax(-1) @ support_y)


FOREIGN = {
    "conditional": (lambda: ConditionalNeuralProcess(ForeignProcess(), mse_loss), SINES),
    "attentive": (lambda: AttentiveNeuralProcess(ForeignProcess(), mse_loss), SINES),
    "in context": (lambda: InContextLearner(ForeignContext(), mse_loss), SINES),
    "recurrent": (lambda: RecurrentLearner(ForeignReader(), cross_entropy), sequences()),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_plain_module_from_outside_trains_and_is_measured(name):
    torch.manual_seed(0)
    build, tasks = FOREIGN[name]
    learner = build()
    settings = {"shots": 4, "queries": 3, "tasks_per_batch": 4, "device": "cpu", "progress": False}
    run = fit(learner, tasks, iterations=3, **settings)
    before = learner.init()
    assert any(not torch.equal(before[key], value) for key, value in run.params.items())
    test = evaluate(learner, run.params, tasks, shots=4, queries=3, tasks=5, steps=2)
    assert test.values.shape == (5, 3) and bool(test.values.isfinite().all())
    assert torch.equal(test.values[:, 0], test.values[:, 2])  # no steps, no difference


@pytest.mark.parametrize("kind", [ConditionalNeuralProcess, AttentiveNeuralProcess])
def test_a_module_without_the_parts_is_refused(kind):
    with pytest.raises(ValueError, match=r"Linear has no `encoder`"):
        kind(torch.nn.Linear(1, 1), mse_loss)


def test_training_sees_from_one_point_to_all():
    from mamlkit.learners.neural_process import draw_seen

    torch.manual_seed(0)
    counts = [int(draw_seen(4, torch.device("cpu")).sum()) for _ in range(4_000)]
    assert set(counts) == {1, 2, 3, 4}
    assert all(abs(counts.count(n) / 4_000 - 0.25) < 0.04 for n in (1, 2, 3, 4))


@pytest.mark.parametrize("name", ["conditional", "attentive", "transformer"])
def test_points_that_are_hidden_do_not_count(name):
    learner, params, batch = start(name)
    (x, y), (query, _) = batch.task(0).support, batch.task(0).query
    seen = torch.arange(6) < 4
    if name == "transformer":
        hidden = learner.adapt(params, (x, y, seen))
    else:
        hidden = learner.adapt(params, (x, y), seen)
    fewer = learner.adapt(params, (x[:4], y[:4]))
    torch.testing.assert_close(learner.predict(hidden, query), learner.predict(fewer, query))


# The exact answers


def test_the_exact_predictive_is_bayes_rule():
    """Against sampling from the prior and weighing by the likelihood."""
    task = SINES.sample(1, 3, 5, generator=torch.Generator().manual_seed(3)).task(0)
    exact = ExactPredictive(task.support, noise=0.5)
    waves = Sinusoids(device="cpu").waves(400_000, generator=torch.Generator().manual_seed(0))
    x, y = task.support
    errors = (y - sine(x, *waves))[..., 0]
    weights = (-(errors**2).sum(1) / (2 * 0.5**2)).softmax(0)
    values = sine(task.query_x, *waves)[..., 0]
    mean = weights @ values
    deviation = (weights @ values**2 - mean**2 + 0.25).sqrt()
    torch.testing.assert_close(exact.predict(task.query_x)[:, 0], mean, rtol=0.02, atol=0.02)
    torch.testing.assert_close(exact.predict(task.query_x)[:, 1], deviation, rtol=0.02, atol=0.02)
    normal = torch.distributions.Normal(values, 0.5).log_prob(task.query_y[:, 0]).exp()
    expected = (weights @ normal).log().mean()
    torch.testing.assert_close(exact.log_likelihood(*task.query), expected, rtol=0.02, atol=0.02)


def test_a_finer_grid_changes_nothing():
    batch = SINES.sample(20, 10, 5, generator=torch.Generator().manual_seed(1))
    for i in range(20):
        task = batch.task(i)
        coarse = ExactPredictive(task.support).log_likelihood(*task.query)
        fine = ExactPredictive(task.support, grid=(256, 1024)).log_likelihood(*task.query)
        torch.testing.assert_close(coarse, fine, rtol=0, atol=0.01)


def test_no_other_answer_is_better_on_average_than_the_exact_one():
    batch = SINES.sample(200, 4, 5, generator=torch.Generator().manual_seed(2))
    exact, blurred = [], []
    for i in range(200):
        task = batch.task(i)
        predictive = ExactPredictive(task.support, grid=(64, 256))
        exact.append(predictive.log_likelihood(*task.query))
        blurred.append(log_likelihood(predictive.predict(task.query_x), task.query_y))
    assert torch.stack(exact).mean() > torch.stack(blurred).mean()  # a Gaussian is not a mixture


def test_the_cap_of_a_bounded_deviation():
    """No log-likelihood above 1.384 a point with σ of 0.1 or more."""
    best = log_likelihood(torch.tensor([[0.0, 0.1]]), torch.zeros(1, 1))
    assert math.isclose(best, -math.log(0.1 * math.sqrt(2 * math.pi)), abs_tol=1e-6)
    assert MeanAndDeviation(0.1)(torch.full((1, 2), -50.0))[0, 1] >= 0.1


def test_noise_is_in_both_sets():
    waves = SINES.waves(500)
    batch = SINES.points(waves, 10, 10)
    for x, y in (batch.support, batch.query):
        assert abs(float((y - sine(x, *waves)).std()) - 0.1) < 0.005


def test_squared_error_looks_at_the_mean_alone():
    assert squared_error(torch.tensor([[1.0, 9.0]]), torch.tensor([[3.0]])) == 4.0


def test_a_gradient_step_is_a_layer_of_linear_attention():
    """von Oswald et al. 2023, proposition 1, with the step size η on the mean loss."""
    layer, eta, d = LinearSelfAttention(3), 0.3, 3
    pick_x = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0]))
    pick_y = torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    matrices = {"Q": pick_x, "K": pick_x, "V": -pick_y, "P": eta * pick_y}
    params = {f"matrices.{name}": value for name, value in matrices.items()}
    learner = InContextLearner(layer, mse_loss)
    task = LinearTasks(d, device="cpu").sample(1, 7, 4).task(0)
    w = eta * (task.support_x * task.support_y).mean(0)  # one step from w = 0 on ½(y - w·x)²
    answer = learner.predict(learner.adapt(params, task.support), task.query_x)
    torch.testing.assert_close(answer[:, 0], task.query_x @ w)


def test_ridge_and_the_posterior_over_a_pool():
    tasks = LinearTasks(2, noise=0.5, pool=4, device="cpu")
    batch = tasks.sample(2_000, 8, 1, generator=torch.Generator().manual_seed(0))
    errors = {"pool": [], "ridge": []}
    for i in range(len(batch.query_x)):
        task = batch.task(i)
        answers = {
            "pool": posterior_over_pool(task.support, task.query_x, 0.5, tasks.weights),
            "ridge": ridge(task.support, task.query_x, 0.5),
        }
        for name, answer in answers.items():
            errors[name].append(mse_loss(answer, task.query_y))
    pool, flat = (torch.stack(errors[name]) for name in ("pool", "ridge"))
    assert (flat - pool).mean() > 3 * (flat - pool).std() / 2_000**0.5
    fresh = LinearTasks(2, noise=0.5, device="cpu").sample(1, 8, 1).task(0)
    x, y = fresh.support
    w = torch.linalg.lstsq(torch.cat([x, 0.5 * torch.eye(2)]), torch.cat([y, torch.zeros(2, 1)]))
    torch.testing.assert_close(ridge(fresh.support, fresh.query_x, 0.5), fresh.query_x @ w.solution)


def test_a_pool_has_so_many_tasks_and_is_the_same_everywhere():
    tasks, again = (LinearTasks(2, pool=4, pool_seed=7, device="cpu") for _ in range(2))
    assert torch.equal(tasks.weights, again.weights)
    x, y = tasks.sample(300, 5, 1).support
    w = torch.linalg.lstsq(x, y).solution[..., 0]
    assert len(torch.unique((1e3 * w).round(), dim=0)) == 4


# Sequences


def test_a_label_is_told_one_step_late():
    tasks = sequences()
    batch = tasks.sample(50, 1, 4, generator=torch.Generator().manual_seed(0))
    told = batch.query_x[..., 3:]
    assert not told[:, 0].any()
    assert torch.equal(told[:, 1:].argmax(-1), batch.query_y[:, :-1])
    assert bool((batch.query_y.float().mean(1) == 0.5).all())  # every class equally often
    assert len({tuple(row.tolist()) for row in batch.query_y}) > 30  # in random order
    shown = [[tuple(x[:3].tolist()) for x in row] for row in batch.query_x]
    assert all(len(set(row)) == len(row) for row in shown)  # no example twice


def test_presentations_are_counted_from_one():
    labels = torch.tensor([1, 0, 1, 1, 0])
    right = torch.nn.functional.one_hot(labels, 2).float()
    wrong_third = right.clone()
    wrong_third[3] = 1 - wrong_third[3]
    for n, expected in ((1, 1.0), (2, 1.0), (3, 0.0)):
        assert accuracy_at(wrong_third, labels, presentation=n) == expected
    batch = torch.func.vmap(partial(accuracy_at, presentation=1))(right[None], labels[None])
    assert float(batch) == 1.0


def test_task_batches_of_sequences_split_and_move():
    batch = sequences().to("cpu").sample(4, 1, 2)
    assert isinstance(batch, TaskBatch) and [len(p.query_x) for p in batch.split(3)] == [3, 1]
    assert mlp(2, 3, 1)(torch.zeros(5, 2)).shape == (5, 1)
