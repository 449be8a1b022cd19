"""The shipped networks are what their cards say; the command line makes new ones."""

import json

import pytest
import torch
from click.testing import CliRunner

from mamlkit import pretrained
from mamlkit.cli import main
from mamlkit.pretrained.cards import FEW
from mamlkit.recipes import RECIPES


@pytest.mark.parametrize("name", pretrained.names())
def test_a_shipped_network_scores_what_its_card_says(name):
    """On the first tasks of the test that the card reports."""
    card = pretrained.card(name)
    _, params = pretrained.load(name, device="cpu")
    seed = card["testing"]["seed"]
    found = RECIPES[name].test(params, seed=seed, tasks=FEW, device="cpu")
    expected = torch.tensor(card["results"][f"mean of the first {FEW}"])
    torch.testing.assert_close(found.mean, expected, rtol=0.01, atol=0.005)


@pytest.mark.parametrize("name", pretrained.names())
def test_a_card_says_how_to_make_the_network_again(name):
    card = pretrained.card(name)
    assert card["command"] == f"mamlkit train {name} --seed {card['seed']} --out mamlkit/pretrained"
    assert card["training"]["iterations"] == RECIPES[name].training["iterations"]
    assert card["learner"] == repr(RECIPES[name].learner())
    assert card["tested"] == repr(RECIPES[name].tester())
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


def test_train_writes_parameters_and_card(tmp_path):
    settings = ["--iterations", "20", "--seed", "3", "--out", str(tmp_path / "new")]
    result = CliRunner().invoke(main, ["train", "sinusoid-maml", *settings])
    assert result.exit_code == 0, result.output
    assert "after 10 steps" in result.output
    card = json.loads((tmp_path / "new" / "sinusoid-maml.json").read_text())
    assert card["seed"] == 3 and card["training"]["iterations"] == 20
    assert (tmp_path / "new" / "sinusoid-maml.safetensors").is_file()


@pytest.mark.parametrize(
    "settings, message",
    [
        (["resnet"], "'resnet' is not one of"),
        (["sinusoid-maml", "--iterations", "0"], "iterations must be at least 1, got 0"),
        (["sinusoid-maml", "--seed", "-1"], "seed must be at least 0, got -1"),
    ],
)
def test_train_refuses_with_a_sentence(settings, message, tmp_path):
    result = CliRunner().invoke(main, ["train", *settings, "--out", str(tmp_path)])
    assert result.exit_code != 0 and message in result.output
    assert "Traceback" not in result.output
