"""The explorers, driven from Python: every control at its ends and in the middle."""

import math

import matplotlib.pyplot as plt
import pytest
import torch
from torch.nn.functional import mse_loss

from mamlkit import MAML, SineNetwork, adapt, pretrained, sine
from mamlkit.show.explorers.k_shot import KShotExplorer
from mamlkit.show.explorers.objective import ObjectiveExplorer

PNG = b"\x89PNG"


@pytest.fixture
def explorer():
    names = {"MAML": "sinusoid-maml", "pretrained": "sinusoid-pretrained"}
    return KShotExplorer({k: pretrained.load(v, device="cpu") for k, v in names.items()})


@pytest.mark.parametrize(
    "control, values",
    {
        "k": (1, 10, 20),
        "steps": (0, 10, 20),
        "amplitude": (0.1, 2.5, 5.0),
        "phase": (0.0, 1.5, 3.14),
    }.items(),
)
def test_every_control_changes_picture_and_numbers(explorer, control, values):
    pictures, sentences = set(), set()
    for value in values:
        getattr(explorer, control).value = value
        assert bytes(explorer.picture.value).startswith(PNG)
        pictures.add(bytes(explorer.picture.value))
        sentences.add(explorer.summary())
    assert len(pictures) == len(sentences) == 3


def test_the_curves_are_those_of_adapt(explorer):
    explorer.k.value, explorer.steps.value = 7, 4
    explorer.amplitude.value, explorer.phase.value = 2.0, 0.7
    x = explorer.support_x
    torch.testing.assert_close(explorer.support_y, sine(x, 2.0, 0.7))
    learner, params = explorer.learners["MAML"]
    adapted = adapt(params, learner.task_loss, (x, explorer.support_y), lr=0.01, steps=4)
    by_hand = learner.predict(adapted, explorer.x).detach()
    torch.testing.assert_close(explorer.curves["MAML"], by_hand, rtol=1e-4, atol=1e-5)
    error = float(mse_loss(by_hand, sine(explorer.x, 2.0, 0.7)))
    assert math.isclose(explorer.errors["MAML"][4], error, rel_tol=1e-3)
    assert f"MAML {error:.2f}" in explorer.summary()


def test_more_shots_add_points_and_move_none(explorer):
    explorer.k.value = 3
    three = explorer.support_x
    explorer.k.value = 8
    assert torch.equal(explorer.support_x[:3], three)
    explorer.new_points.click()
    assert not torch.equal(explorer.support_x[:3], three)


def test_a_fit_that_blows_up_is_drawn_and_told(explorer):
    """One point and twenty steps: for some draws the error passes all bounds."""
    explorer.k.value, explorer.steps.value, explorer.amplitude.value = 1, 20, 5.0
    told = 0
    for _ in range(30):
        explorer.new_points.click()
        assert bytes(explorer.picture.value).startswith(PNG)
        told += "MAML over 1000" in explorer.summary()
    assert 0 < told < 30


def test_a_hundred_moves_leave_nothing_behind(explorer):
    """No figure of pyplot, no growing list of artists."""
    artists = len(explorer.canvas.figure.findobj())
    for i in range(100):
        explorer.k.value = 1 + i % 20
    assert plt.get_fignums() == [] and len(explorer.canvas.figure.findobj()) == artists


def test_live_and_still(explorer):
    bundle, _ = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == explorer.summary()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/png"].startswith("iVBOR")


def test_any_learner_may_be_explored():
    torch.manual_seed(0)
    mine = MAML(SineNetwork(hidden=(8,)), mse_loss, lr=0.02)
    explorer = KShotExplorer({"random": (mine, mine.init())})
    assert "random" in explorer.summary()


@pytest.mark.parametrize("m", [0, 1, 4, 10])
def test_the_best_start_in_closed_form(m):
    """The optimum is the mean of the b's weighted by a (1 - αa)^2m."""
    explorer = ObjectiveExplorer((3.0, 1.0), (-2.0, 2.0), lr=0.1)
    before = bytes(explorer.picture.value)
    explorer.m.value = m
    weights = [a * (1 - 0.1 * a) ** (2 * m) for a in (3.0, 1.0)]
    best = (-2 * weights[0] + 2 * weights[1]) / sum(weights)
    assert abs(explorer.best - best) < 0.01
    assert (bytes(explorer.picture.value) != before) == (m != 0)
