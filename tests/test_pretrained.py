"""The shipped networks are what their cards say."""

import json

import pytest
import torch

from mamlkit import pretrained
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
