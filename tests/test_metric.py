"""Learners that compare: gradients, order, shots, and the equalities of notebook 10."""

from functools import partial

import pytest
import torch
from gradients import distance, finite_differences
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from mamlkit import (
    FewShot,
    MatchingNetwork,
    OmniglotNetwork,
    PrototypicalNetwork,
    RelationNetwork,
    TaskBatch,
    ZeroHead,
    evaluate,
    fit,
    meta_gradient,
    relation_loss,
)

LEARNED = {"temperature": 0.5, "learn_temperature": True}
KINDS = {
    "prototypes": PrototypicalNetwork,
    "prototypes, cosine": partial(PrototypicalNetwork, distance="cosine", temperature=0.1),
    "prototypes, learned": partial(PrototypicalNetwork, **LEARNED),
    "matching": MatchingNetwork,
    "matching, euclidean, learned": partial(MatchingNetwork, distance="euclidean", **LEARNED),
}


def embedding(features=4):
    """A smooth embedding of points with three numbers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, features))


def build(name, ways=3):
    """A learner in double precision."""
    module = embedding().double()
    if name != "relation":
        return KINDS[name](module, cross_entropy, ways=ways)
    relation = nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    return RelationNetwork(module, relation, relation_loss, ways=ways)


def points(tasks=3, ways=3, shots=2, queries=4):
    """Tasks of random points; classes are labels only."""
    generator = torch.Generator().manual_seed(1)
    draw = lambda n: torch.randn(tasks, ways * n, 3, generator=generator, dtype=torch.float64)
    label = lambda n: torch.arange(ways).repeat_interleave(n).repeat(tasks, 1)
    return TaskBatch(draw(shots), label(shots), draw(queries), label(queries))


NAMES = [*KINDS, "relation"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_against_finite_differences(name):
    """The temperature's included. Bar: below 1e-6 in float64."""
    learner, batch = build(name), points()
    params = learner.init()
    gradient, _ = meta_gradient(learner, params, batch)
    numeric = finite_differences(lambda p: meta_gradient(learner, p, batch)[1], params)
    assert distance(gradient, numeric) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_all_tasks_at_once_are_one_after_another(name):
    learner, batch = build(name), points()
    params = learner.init()
    gradient, loss = meta_gradient(learner, params, batch)
    apart, expected = meta_gradient(learner, params, batch, microbatch=1)
    assert distance(gradient, apart) < 1e-12
    each = [learner.outer_loss(params, batch.task(i)) for i in range(3)]
    torch.testing.assert_close(torch.stack(each).mean(), loss)
    torch.testing.assert_close(expected, loss)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_support_set_does_not_matter(name):
    """Nor do names: classes called otherwise get the same scores under their other names."""
    learner, task = build(name), points().task(0)
    predict = lambda x, y: learner.predict(learner.adapt(learner.init(), (x, y)), task.query_x)
    scores = predict(*task.support)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    x, y = task.support
    torch.testing.assert_close(predict(x[order], y[order]), scores)
    renamed = torch.tensor([2, 0, 1])
    torch.testing.assert_close(predict(x, renamed[y])[:, renamed], scores)


@pytest.mark.parametrize("options", [{}, {"distance": "cosine", "temperature": 0.1}, LEARNED])
def test_with_one_shot_matching_is_a_prototypical_network(options):
    batch, options = points(shots=1), {"distance": "euclidean", **options}
    learners = [
        kind(embedding().double(), cross_entropy, ways=3, **options)
        for kind in (PrototypicalNetwork, MatchingNetwork)
    ]
    ours, theirs = (meta_gradient(learner, learner.init(), batch) for learner in learners)
    assert distance(ours[0], theirs[0]) < 1e-12
    torch.testing.assert_close(ours[1], theirs[1])


def test_matching_votes_with_attention():
    """Equation 1 of Vinyals et al.: a softmax of cosines over single drawings, summed by class."""
    learner, task = build("matching"), points().task(0)
    embed = lambda x: nn.functional.normalize(learner.module(x), dim=1)
    attention = (embed(task.query_x) @ embed(task.support_x).T).softmax(1)
    votes = attention @ one_hot(task.support_y, 3).double()
    found = learner.predict(learner.adapt(learner.init(), task.support), task.query_x)
    torch.testing.assert_close(found.exp(), votes)


def test_classes_may_have_different_numbers_of_drawings():
    learner, task = build("prototypes"), points().task(0)
    x, y = task.support_x[1:], task.support_y[1:]
    means = torch.stack([learner.module(x[y == c]).mean(0) for c in range(3)])
    expected = -(torch.cdist(learner.module(task.query_x), means) ** 2)
    found = learner.predict(learner.adapt(learner.init(), (x, y)), task.query_x)
    torch.testing.assert_close(found, expected)


def linear_head_is_off_by(images, learner, module, tasks=1_000):
    """Over so many 5-way 5-shot episodes, the largest difference of a probability."""
    episodes = FewShot(images, 5, device="cpu")
    worst = 0.0
    for seed in range(tasks // 50):
        generator = torch.Generator().manual_seed(seed)
        batch = episodes.sample(50, shots=5, queries=2, generator=generator)
        for i in range(50):
            task = batch.task(i)
            support, query = module(task.support_x), module(task.query_x)
            prototypes = torch.stack([support[task.support_y == c].mean(0) for c in range(5)])
            scores = query @ (2 * prototypes).T - (prototypes**2).sum(1)
            by_distance = learner.predict(learner.adapt(learner.init(), task.support), task.query_x)
            difference = scores.softmax(1) - by_distance.softmax(1)
            worst = max(worst, difference.abs().max().item())
    return worst


@torch.no_grad()
def test_prototypes_are_a_linear_head(alphabet):
    """W = 2c, b = -‖c‖², in float32, over 1,000 episodes. Bar: 1e-5."""
    torch.manual_seed(0)
    module = OmniglotNetwork(5, filters=8, norm="layer", features="all").body
    learner = PrototypicalNetwork(module, cross_entropy, ways=5)
    assert linear_head_is_off_by(alphabet, learner, module) < 1e-5


@torch.no_grad()
def test_one_step_from_a_zero_head_is_a_prototypical_network_with_products(alphabet):
    """Its probabilities are softmax(α/N ⟨f(q), μ_c⟩)."""
    torch.manual_seed(0)
    network = OmniglotNetwork(5, filters=8, norm="layer", features="all")
    learner = ZeroHead(network, cross_entropy, lr=0.4, steps=1)
    task = FewShot(alphabet, 5, device="cpu").sample(1, 3, 4).task(0)
    support, query = network.body(task.support_x), network.body(task.query_x)
    prototypes = torch.stack([support[task.support_y == c].mean(0) for c in range(5)])
    expected = (0.4 / 5 * query @ prototypes.T).softmax(1)
    found = learner.predict(learner.adapt(learner.init(), task.support), task.query_x)
    torch.testing.assert_close(found.softmax(1), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_module_trains_and_is_measured(name, alphabet):
    """Any embedding, through fit and evaluate; a learned temperature moves."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(784, 16))
    relation = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    learner = (
        RelationNetwork(module, relation, relation_loss, ways=5)
        if name == "relation"
        else KINDS[name](module, cross_entropy, ways=5)
    )
    episodes, test = FewShot(alphabet, 5, device="cpu"), {"shots": 2, "queries": 5, "tasks": 100}
    settings = {"iterations": 150, "shots": 2, "queries": 5, "tasks_per_batch": 4}
    settings["optimizer"] = partial(torch.optim.Adam, lr=3e-3)
    run = fit(learner, episodes, **settings, device="cpu", progress=False)
    before, after = (
        evaluate(learner, p, episodes, **test, steps=1) for p in (learner.init(), run.params)
    )
    assert after.mean[0] == after.mean[1] > before.mean[0] + 0.1
    start = learner.init().temperature
    assert start.keys() == run.params.temperature.keys()
    assert all(value != run.params.temperature[key] for key, value in start.items())
    alone = evaluate(learner, run.params, episodes, **test, steps=0, transductive=False)
    torch.testing.assert_close(alone.values, after.values[:, :1])  # no batch statistics


def test_batch_statistics_are_those_of_support_and_queries(alphabet):
    torch.manual_seed(0)
    module = OmniglotNetwork(5, filters=4, features="all").body
    learner = PrototypicalNetwork(module, cross_entropy, ways=5)
    task = FewShot(alphabet, 5, device="cpu").sample(1, 1, 2).task(0)
    features = module(torch.cat([task.support_x, task.query_x]))
    expected = -(torch.cdist(features[5:], features[:5]) ** 2)
    found = learner.predict(learner.adapt(learner.init(), task.support), task.query_x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_relation_networks_take_maps(alphabet):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3, stride=4), nn.ReLU())
    relation = nn.Sequential(nn.Conv2d(6, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    relation(torch.zeros(1, 6, 7, 7))
    learner = RelationNetwork(module, relation, relation_loss, ways=5)
    batch = FewShot(alphabet, 5, device="cpu").sample(2, 2, 3)
    gradient, loss = meta_gradient(learner, learner.init(), batch)
    assert loss.isfinite() and all(bool(g.any()) for g in gradient.weights.values())


@pytest.mark.parametrize(
    "options, words",
    [
        ({"ways": 0}, "ways"),
        ({"ways": 5, "distance": "manhattan"}, "distance"),
        ({"ways": 5, "temperature": 0.0}, "temperature"),
    ],
)
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        PrototypicalNetwork(embedding(), cross_entropy, **options)


def test_the_published_networks_shape():
    """64 features, and 112 thousand parameters, of which 256 biases less than theirs."""
    from mamlkit.recipes.omniglot_metric import embedding as snells

    module = snells()
    assert module(torch.zeros(2, 1, 28, 28)).shape == (2, 64)
    assert sum(p.numel() for p in module.parameters()) == 9 * 64 + 3 * 9 * 64 * 64 + 4 * 128


def test_the_temperature_explorer_moves_what_it_shows():
    """The loss of cosines falls with τ, to nearly nothing; the still picture says so in words."""
    from mamlkit.show.widgets.temperature import TemperatureExplorer

    prototypes = torch.eye(3).expand(4, 3, 3)
    explorer = TemperatureExplorer(prototypes, 2 * prototypes, torch.arange(3).expand(4, 3))
    assert explorer.loss == pytest.approx(torch.tensor(1 + 2 / torch.e).log().item(), abs=1e-5)
    explorer.log_tau.value = -1.0
    assert explorer.loss < 1e-3 and explorer.probability[0, 0, 0] > 0.999
    explorer.distance.value = "euclidean"
    assert "euclidean similarity and τ = 0.1" in explorer._repr_mimebundle_()[0]["text/plain"]
