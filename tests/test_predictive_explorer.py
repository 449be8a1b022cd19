"""The explorer of notebook 11, driven from Python."""

import pytest
import torch

from mamlkit import ExactPredictive, pretrained
from mamlkit.show.widgets.predictive import (
    LOOKS,
    PredictiveExplorer,
    constant_deviation,
    noisy_sine_learners,
)


@pytest.fixture(scope="module")
def learners():
    return noisy_sine_learners()


@pytest.mark.parametrize(
    "control, values",
    {
        "points": (1, 5, 20),
        "noise": (0.02, 0.1, 1.0),
        "choice": ("CNP", "transformer", "MAML"),
    }.items(),
)
def test_every_control_changes_picture_and_numbers(learners, control, values):
    explorer, pictures, sentences = PredictiveExplorer(learners), set(), set()
    for value in values:
        getattr(explorer, control).value = value
        pictures.add(bytes(explorer.picture.value))
        sentences.add(explorer.summary())
    assert len(pictures) == len(sentences) == 3


def test_the_curves_are_those_of_the_learner_and_of_bayes(learners):
    explorer = PredictiveExplorer(learners, seed=3)
    explorer.points.value, explorer.choice.value = 4, "transformer"
    exact = ExactPredictive(explorer.support, noise=explorer.noise.value).predict(explorer.x)
    torch.testing.assert_close(explorer.answers["exact"], exact)
    learner, params = learners["transformer"]
    adapted = learner.adapt(params, explorer.support)
    answer = learner.predict(adapted, explorer.x).detach()
    torch.testing.assert_close(explorer.answers["transformer"], answer)
    error = float(((exact[:, :1] - explorer.truth) ** 2).mean())
    assert f"exact {error:.2f}" in explorer.summary()


def test_more_points_move_none_and_a_new_wave_moves_all(learners):
    explorer = PredictiveExplorer(learners)
    few = explorer.support[0]
    explorer.points.value = 12
    assert torch.equal(explorer.support[0][: len(few)], few)
    assert "Training saw 1 to 10 points" in explorer.summary()
    explorer.new_wave.click()
    assert not torch.equal(explorer.support[0][: len(few)], few)


def test_maml_gets_the_deviation_that_suits_it(learners):
    explorer = PredictiveExplorer(learners)
    explorer.choice.value = "MAML"
    sigma = constant_deviation(learners, "MAML", explorer.points.value)
    assert torch.allclose(explorer.answers["MAML"][:, 1], torch.tensor(sigma))


def test_a_learner_without_a_look_is_refused(learners):
    assert set(learners) < set(LOOKS)
    with pytest.raises(ValueError, match="a learner's name"):
        PredictiveExplorer({"mine": pretrained.load("noisy-sine-cnp", device="cpu")})
