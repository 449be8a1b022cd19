"""The shipped networks are what their cards say."""

import json
from functools import partial

import pytest
import torch

from mamlkit import FewShot, glyphs, pretrained
from mamlkit.devices import generator
from mamlkit.pretrained import FEW
from mamlkit.recipes import RECIPES


@pytest.mark.parametrize("name", pretrained.names())
def test_a_shipped_network_scores_what_its_card_says(name):
    """On the first tasks of the test that the card reports."""
    card = pretrained.card(name)
    _, params = pretrained.load(name, device="cpu")
    seed = card["testing"]["seed"]
    result = RECIPES[name].test(params, seed=seed, tasks=FEW, device="cpu")
    expected = torch.tensor(card["results"][f"mean of the first {FEW}"])
    torch.testing.assert_close(result.mean, expected, rtol=0.01, atol=0.005)


@pytest.mark.parametrize("name", pretrained.names())
def test_a_card_says_how_to_make_the_network_again(name):
    card = pretrained.card(name)
    assert card["command"] == f"mamlkit train {name} --seed {card['seed']} --out mamlkit/pretrained"
    assert card["training"]["iterations"] == RECIPES[name].training["iterations"]
    plain = lambda learner: json.loads(json.dumps(learner.settings()))
    assert card["learner"] == plain(RECIPES[name].learner())
    assert card["test_learner"] == plain(RECIPES[name].tester())
    assert card["data"] == RECIPES[name].data and card["versions"]["torch"]


def test_the_shipped_network_is_below_the_papers_error():
    """Finn et al. 2017, appendix: 0.67 / 0.38 / 0.35 after 1 / 5 / 10 steps on five points."""
    mean = pretrained.card("sinusoid-maml")["results"]["mean"]
    assert mean[1] < 0.67 and mean[5] < 0.38 and mean[10] < 0.35
    assert min(pretrained.card("sinusoid-pretrained")["results"]["mean"]) > 2


def test_loading_leaves_the_global_random_state_alone():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    pretrained.load("sinusoid-maml", device="cpu")
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("name", ["omniglot-5way-1shot", "omniglot-5way-5shot"])
def test_one_step_from_a_zero_head_is_a_prototypical_network(name):
    """With products for distances and the step size over the ways for a temperature.

    Kao et al. 2022. On the shipped weights, over 200 episodes of invented characters.
    """
    learner, params = pretrained.load(name, device="cpu")
    shots = RECIPES[name].testing["shots"]
    tasks = FewShot(glyphs(40).images, ways=5, device="cpu")
    batch = tasks.sample(200, shots, 3, generator=generator(0, "cpu"))
    body = {n.removeprefix("body."): w for n, w in params.weights.items()}
    embed = partial(torch.func.functional_call, learner.module.body, body)
    with torch.no_grad():
        for task in map(batch.task, range(200)):
            adapted = learner.adapt(params, task.support)
            probabilities = learner.predict(adapted, task.query_x).softmax(1)
            prototypes = embed(task.support_x).unflatten(0, (5, shots)).mean(1)
            sharpness = params.lr["head.weight"][0] / 5
            by_product = (sharpness * embed(task.query_x) @ prototypes.T).softmax(1)
            torch.testing.assert_close(probabilities, by_product, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_trains_with_can_stand_on_a_card(name):
    """A card is written when the training is over: too late for an error."""
    described = pretrained.describe(RECIPES[name].training)
    assert json.loads(json.dumps(described)) == described
    for key, value in RECIPES[name].training.items():
        assert isinstance(described[key], str) if callable(value) else described[key] == value
