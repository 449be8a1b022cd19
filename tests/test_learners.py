"""MAML's variants: each against its equation, and all through the same `fit` and `evaluate`."""

import math
from functools import partial

import pytest
import torch
from gradients import distance, double, finite_differences
from torch.nn.functional import cross_entropy, mse_loss, one_hot
from torch.utils._pytree import tree_map

from mamlkit import (
    ANIL,
    BOIL,
    MAML,
    FewShot,
    FirstOrderMAML,
    ImplicitMAML,
    MAMLPlusPlus,
    MetaSGD,
    MetaStep,
    OmniglotNetwork,
    ProtoMAML,
    Reptile,
    SineNetwork,
    TaskBatch,
    ZeroHead,
    evaluate,
    files,
    fit,
    meta_gradient,
)

SGD = partial(torch.optim.SGD, lr=1.0)
FAMILY = {
    "FirstOrderMAML": partial(FirstOrderMAML, lr=0.01),
    "ANIL": partial(ANIL, lr=0.01),
    "BOIL": partial(BOIL, lr=0.01),
    "MetaSGD": partial(MetaSGD, lr=0.01),
    "MAMLPlusPlus": partial(MAMLPlusPlus, lr=0.01, steps=2),
    "Reptile": partial(Reptile, lr=0.01, steps=3),
    "ImplicitMAML": partial(ImplicitMAML, lr=0.01, steps=3),
}


def named_network():
    """A smooth network in double precision with a body and a head."""
    network = SineNetwork(hidden=(6,)).double()
    network.body[1] = torch.nn.Tanh()
    return network


@pytest.mark.parametrize("name", FAMILY)
def test_it_trains_adapts_and_is_measured(name, sines):
    torch.manual_seed(0)
    learner = FAMILY[name](SineNetwork(), mse_loss)
    run = fit(learner, sines, iterations=30, shots=5, queries=5, device="cpu", progress=False)
    before, after = files.flatten(learner.init()), files.flatten(run.params)
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in after)
    test = evaluate(learner, run.params, sines, shots=10, queries=50, tasks=100, steps=3)
    assert test.values.shape == (100, 4)
    assert bool(torch.isfinite(test.values).all())
    assert not torch.equal(test.values[:, 3], test.values[:, 0])


@pytest.mark.parametrize("name", ["ANIL", "BOIL", "MetaSGD", "MAMLPlusPlus"])
def test_second_order_gradients_against_finite_differences(name, sines):
    """Step sizes included where they are learned. Bar: below 1e-6 in float64."""
    torch.manual_seed(1)
    learner = FAMILY[name](named_network(), mse_loss)
    batch, params = double(sines.sample(3, 5, 7)), learner.init()
    gradient, _ = meta_gradient(learner, params, batch)
    numeric = finite_differences(lambda p: meta_gradient(learner, p, batch)[1], params)
    assert distance(gradient, numeric) < 1e-6


@pytest.mark.parametrize("kind, moves", [(ANIL, "head."), (BOIL, "body.")])
def test_only_its_part_moves_in_the_inner_loop(kind, moves, sines):
    torch.manual_seed(0)
    learner = kind(SineNetwork(), mse_loss, lr=0.1, steps=2)
    params = learner.init()
    adapted = learner.adapt(params, sines.sample(1, 5, 5).task(0).support)
    changed = {name for name in params if not torch.equal(params[name], adapted[name])}
    assert changed == {name for name in params if name.startswith(moves)}
    gradient, _ = meta_gradient(learner, params, sines.sample(5, 5, 5))
    assert all(bool(g.any()) for g in gradient.values())  # the outer loop moves everything


def test_meta_sgd_starts_as_maml_and_learns_its_rates(sines):
    torch.manual_seed(0)
    network = named_network()
    maml, learner = MAML(network, mse_loss, lr=0.05), MetaSGD(network, mse_loss, lr=0.05)
    batch = double(sines.sample(4, 5, 5))
    ours, loss = meta_gradient(learner, learner.init(), batch)
    theirs, expected = meta_gradient(maml, maml.init(), batch)
    assert distance(ours.weights, theirs) < 1e-14
    torch.testing.assert_close(loss, expected)
    assert all(bool(ours.lr[name].any()) for name in theirs)


def test_maml_plus_plus_without_its_parts_is_maml(sines):
    torch.manual_seed(0)
    network = named_network()
    plain = {"learned_rates": False, "multi_step_until": 0, "first_order_until": 0}
    learner = MAMLPlusPlus(network, mse_loss, lr=0.05, steps=3, **plain)
    maml = MAML(network, mse_loss, lr=0.05, steps=3)
    batch = double(sines.sample(4, 5, 5))
    assert learner.stage(0.0) == (learner, {})
    ours = meta_gradient(learner, learner.init(), batch)[0]
    assert ours.lr == {}
    assert distance(ours.weights, meta_gradient(maml, maml.init(), batch)[0]) < 1e-14


def test_maml_plus_plus_weighs_the_steps_less_and_less(sines):
    learner = MAMLPlusPlus(SineNetwork(), mse_loss, lr=0.01, steps=4, multi_step_until=0.5)
    weights = [learner.stage(p)[1]["step_weights"] for p in (0.0, 0.25, 0.49)]
    for each in weights:
        assert math.isclose(each.sum(), 1.0, abs_tol=1e-6)
    torch.testing.assert_close(weights[0], torch.full((4,), 0.25))
    torch.testing.assert_close(weights[1], torch.tensor([0.125, 0.125, 0.125, 0.625]))
    assert learner.stage(0.5)[1] == {}
    task = sines.sample(1, 5, 5).task(0)
    path = list(learner.trajectory(learner.init(), task.support, 4))[1:]
    expected = sum(0.25 * learner.task_loss(theta, *task.query) for theta in path)
    found = learner.outer_loss(learner.init(), task, **learner.stage(0.0)[1])
    torch.testing.assert_close(found, expected)


def test_derivative_order_is_annealed(sines):
    learner = MAMLPlusPlus(SineNetwork(), mse_loss, lr=0.01, first_order_until=0.3)
    assert [learner.stage(p)[0].first_order for p in (0.0, 0.29, 0.3, 1.0)] == [1, 1, 0, 0]


def test_reptile_moves_towards_where_training_ends(sines):
    """θ - θ' for gradient, so that SGD of step ε gives θ ← θ + ε (θ' - θ)."""
    torch.manual_seed(0)
    learner = Reptile(named_network(), mse_loss, lr=0.02, steps=5)
    batch, params = double(sines.sample(3, 5, 7)), learner.init()
    gradient, loss = meta_gradient(learner, params, batch)
    ends, losses = [], []
    for i in range(3):
        task = batch.task(i)
        data = tuple(torch.cat(pair) for pair in zip(task.support, task.query, strict=True))
        *_, end = learner.inner_loop(params, data, 5, True)
        ends.append(end)
        losses.append(learner.task_loss(end, *data))
    mean = {name: sum(end[name] for end in ends) / 3 for name in params}
    assert distance(gradient, {name: params[name] - mean[name] for name in params}) < 1e-14
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_reptile_with_one_step_is_pretraining(sines):
    torch.manual_seed(0)
    network = named_network()
    reptile = Reptile(network, mse_loss, lr=0.02, steps=1)
    batch = double(sines.sample(4, 5, 5))
    pooled = [torch.cat([a, b], 1) for a, b in zip(batch.support, batch.query, strict=True)]
    pretraining = MAML(network, mse_loss, lr=0.02, steps=0)
    expected, _ = meta_gradient(pretraining, pretraining.init(), TaskBatch(*pooled, *pooled))
    found, _ = meta_gradient(reptile, reptile.init(), batch)
    assert distance(found, {name: 0.02 * value for name, value in expected.items()}) < 1e-13


def test_reptiles_inner_adam_is_torchs(sines):
    """β₁ = 0, β₂ = 0.999, from zero for each task."""
    torch.manual_seed(0)
    learner = Reptile(named_network(), mse_loss, lr=1e-3, steps=4, inner="adam")
    support = double(sines.sample(1, 8, 2)).task(0).support
    params = learner.init()
    *_, found = learner.trajectory(params, support, 4)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    adam = torch.optim.Adam(leaves.values(), lr=1e-3, betas=(0.0, 0.999))
    for _ in range(4):
        adam.zero_grad()
        learner.task_loss(leaves, *support).backward()
        adam.step()
    assert distance(found, {name: value.detach() for name, value in leaves.items()}) < 1e-12


def test_reptiles_minibatches_differ_between_steps_and_tasks(sines):
    torch.manual_seed(0)
    learner = Reptile(SineNetwork(), mse_loss, lr=0.02, steps=2, minibatch=3)
    batch = sines.sample(4, 5, 5)
    same = TaskBatch(*(tensor[:1].expand_as(tensor) for tensor in batch))
    found = [meta_gradient(learner, learner.init(), same)[1] for _ in range(2)]
    assert found[0] != found[1]


def test_implicit_gradient_in_closed_form():
    """For L = ½aφ²: φ* = λθ/(a + λ), and the meta-gradient of ½bφ² is bφ* λ/(a + λ).

    Damped as by the authors, bφ* / (2 + a/(λ + 10)).
    """

    class Scalar(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.value = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

        def forward(self, x):
            return x * self.value

    half_square = lambda prediction, target: 0.5 * (target * prediction**2).mean()
    a, b, strength = 3.0, 2.0, 1.5
    one = torch.ones(1, 1, dtype=torch.float64)
    batch = TaskBatch(one, a * one, one, b * one)
    shrink = strength / (a + strength)
    settings = {"lr": 0.1, "steps": 300, "strength": strength}
    for damping, factor in (((0, 0), shrink), ((1.0, 10.0), 1 / (2 + a / (strength + 10)))):
        learner = ImplicitMAML(Scalar(), half_square, damping=damping, **settings)
        gradient, loss = meta_gradient(learner, learner.init(), batch)
        torch.testing.assert_close(loss.item(), 0.5 * b * (0.7 * shrink) ** 2)
        torch.testing.assert_close(gradient["value"].item(), b * 0.7 * shrink * factor)


def test_implicit_gradient_approaches_that_of_the_whole_path(sines):
    """Differentiating through many proximal steps gives the same, once they come to rest."""
    torch.manual_seed(0)
    settings = {"lr": 0.05, "steps": 400, "strength": 5.0}
    learner = ImplicitMAML(named_network(), mse_loss, iterations=30, damping=(0, 0), **settings)
    batch, params = double(sines.sample(2, 5, 5)), learner.init()
    found, _ = meta_gradient(learner, params, batch)

    def unrolled(params):
        total = 0
        for i in range(2):
            theta, task = params, batch.task(i)
            for _ in range(learner.steps):
                slope = torch.func.grad(learner.task_loss)(theta, *task.support)
                theta = {
                    n: theta[n] - 0.05 * (slope[n] + 5.0 * (theta[n] - params[n])) for n in theta
                }
            total = total + learner.task_loss(theta, *task.query) / 2
        return total

    assert distance(found, torch.func.grad(unrolled)(params)) < 1e-4


def test_protomaml_starts_as_a_prototypical_network(alphabet):
    """Its scores before adaptation rank classes by squared distance to the prototypes."""
    torch.manual_seed(0)
    learner = ProtoMAML(OmniglotNetwork(5, filters=8), cross_entropy, lr=0.1)
    params = learner.init()
    task = FewShot(alphabet, 5, device="cpu").sample(1, 2, 3).task(0)
    head = learner.init_fast_weights(params, task.support)
    embed = lambda x: torch.func.functional_call(
        learner.module.body, {n.removeprefix("body."): v for n, v in params.items()}, (x,)
    )
    support, query = embed(task.support_x), embed(task.query_x)
    prototypes = torch.stack([support[task.support_y == c].mean(0) for c in range(5)])
    by_distance = -((query[:, None] - prototypes) ** 2).sum(-1)
    found = learner.predict(head, task.query_x)
    torch.testing.assert_close(found.softmax(-1), by_distance.softmax(-1), rtol=1e-4, atol=1e-5)


def test_protomaml_trains(alphabet):
    torch.manual_seed(0)
    learner = ProtoMAML(OmniglotNetwork(5, filters=8), cross_entropy, lr=0.1)
    tasks = FewShot(alphabet, 5, device="cpu")
    run = fit(learner, tasks, iterations=3, shots=1, queries=2, tasks_per_batch=2, device="cpu",
              compile=False, progress=False)  # fmt: skip
    gradient, _ = meta_gradient(learner, run.params, tasks.sample(2, 1, 2))
    assert all(bool(value.any()) for value in gradient.values())


@pytest.mark.parametrize("name", ["MAML", "FirstOrderMAML", "ANIL", "MetaSGD"])
@pytest.mark.parametrize("stretch", [1, 2, 7])
def test_recomputation_changes_nothing(name, stretch, sines):
    torch.manual_seed(0)
    kinds = {"MAML": partial(MAML, lr=0.01), **FAMILY}
    network = named_network()
    batch = double(sines.sample(3, 5, 5))
    kept = kinds[name](network, mse_loss, steps=5)
    again = kinds[name](network, mse_loss, steps=5, activation_checkpointing=stretch)
    expected, loss = meta_gradient(kept, kept.init(), batch)
    found, same = meta_gradient(again, again.init(), batch)
    assert distance(found, expected) < 1e-13
    torch.testing.assert_close(same, loss)


@pytest.mark.parametrize("microbatch", [1, 3, 4, 100])
def test_microbatches_change_nothing(microbatch, sines):
    torch.manual_seed(0)
    maml = MAML(named_network(), mse_loss, lr=0.05)
    batch = double(sines.sample(8, 5, 5))
    expected, loss = meta_gradient(maml, maml.init(), batch)
    found, same = meta_gradient(maml, maml.init(), batch, microbatch=microbatch)
    assert distance(found, expected) < 1e-13
    torch.testing.assert_close(same, loss)


def test_large_batches_of_images_are_dealt_with_in_parts(monkeypatch, alphabet):
    """Equal ones where they are not small; a module without convolutions keeps its batch whole."""
    tasks = FewShot(alphabet, 2, device="cpu")
    maml = MAML(OmniglotNetwork(2, filters=2, norm="layer"), cross_entropy, lr=0.1)
    step = MetaStep(maml, maml.init(), SGD, microbatch="auto")
    batch = tasks.sample(12, 1, 1)
    numbers = 4 * 28 * 28  # of one task
    assert step._part_size(batch) is None
    monkeypatch.setattr("mamlkit.training.step.MANY", 2 * numbers)
    for holds, expected in ((5, 4), (1, 1), (7, 6)):
        monkeypatch.setattr("mamlkit.training.step.PART", holds * numbers)
        assert step._part_size(batch) == expected
    assert step._part_size(tasks.sample(11, 1, 1)) == 7
    step(batch)  # SGD of step size 1
    expected, _ = meta_gradient(maml, maml.init(), batch)
    assert distance({n: v - step.params[n] for n, v in maml.init().items()}, expected) < 1e-5
    flat = MAML(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 2)), cross_entropy,
                lr=0.1)  # fmt: skip
    assert MetaStep(flat, flat.init(), SGD, microbatch="auto")._part_size(batch) is None


def test_clipping_bounds_the_update(maml, sines):
    run = fit(maml, sines, iterations=1, shots=5, queries=5, optimizer=SGD, clip=0.01,
              device="cpu", progress=False)  # fmt: skip
    moved = torch.cat([(run.params[n] - v).flatten() for n, v in maml.init().items()])
    torch.testing.assert_close(moved.norm().item(), 0.01, rtol=1e-3, atol=0)


def zero_head(ways, **options):
    torch.manual_seed(0)
    network = OmniglotNetwork(ways, filters=8, norm="layer", features="all")
    return ZeroHead(network, cross_entropy, lr=0.4, **options)


def test_zero_head_prefers_no_class_before_adaptation(alphabet):
    learner, tasks = zero_head(5), FewShot(alphabet, 5, device="cpu")
    before = evaluate(learner, learner.init(), tasks, shots=1, queries=4, tasks=20, steps=0)
    assert (before.values == 0.2).all()


def test_zero_head_first_moves_the_head_then_the_body(alphabet):
    """θ₁'s head is the step size times the mean of (one-hot - 1/N) features; then all moves."""
    learner = zero_head(5)
    params = learner.init()
    task = FewShot(alphabet, 5, device="cpu").sample(1, 2, 3).task(0)
    start, once, twice = learner.trajectory(params, task.support, 2)
    inside = {n.removeprefix("body."): v for n, v in start.items() if n.startswith("body.")}
    features = torch.func.functional_call(learner.module.body, inside, (task.support_x,))
    error = one_hot(task.support_y, 5) - 1 / 5
    torch.testing.assert_close(once["head.weight"], 0.4 * error.T @ features / 10)
    for name, value in inside.items():
        assert torch.equal(once[f"body.{name}"], value)
        assert not torch.equal(twice[f"body.{name}"], value)


def test_zero_head_fits_any_number_of_ways(alphabet):
    learner, other = zero_head(5), zero_head(3)
    tasks = FewShot(alphabet, 5, device="cpu")
    run = fit(learner, tasks, iterations=2, shots=1, queries=2, tasks_per_batch=2, device="cpu",
              compile=False, progress=False)  # fmt: skip
    found = evaluate(other, run.params, FewShot(alphabet, 3, device="cpu"), shots=1, queries=2,
                     tasks=4, steps=2)  # fmt: skip
    assert found.values.shape == (4, 3)


def test_zero_head_learns_the_heads_step_sizes(alphabet):
    learner = zero_head(5)
    tasks = FewShot(alphabet, 5, device="cpu").sample(4, 1, 3)
    gradient, _ = meta_gradient(learner, learner.init(), tasks)
    assert gradient.lr["head.weight"].abs().min() > 0
    assert "head.weight" not in gradient.weights
    with pytest.raises(ValueError, match="ZeroHead: the module needs a `body`"):
        ZeroHead(torch.nn.Linear(2, 2), cross_entropy, lr=0.1)


def test_zero_head_follows_its_parameters_precision(alphabet):
    """The module may be in another precision (or on another device) than the parameters."""
    learner, task = zero_head(5), FewShot(alphabet, 5, device="cpu").sample(1, 1, 2).task(0)
    params = tree_map(torch.Tensor.double, learner.init())
    adapted = learner.adapt(params, (task.support_x.double(), task.support_y))
    assert {value.dtype for value in adapted.values()} == {torch.float64}


def test_zero_head_refuses_a_frozen_head():
    network = OmniglotNetwork(5, filters=8)
    network.head.requires_grad_(False)
    with pytest.raises(ValueError, match="the head is frozen"):
        ZeroHead(network, cross_entropy, lr=0.1)
