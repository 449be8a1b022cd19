"""The navigation explorer, driven from Python."""

import pytest
import torch

from mamlkit import GaussianPolicy, PointRobot, PolicyGradientMAML
from mamlkit.show.widgets.navigation import NavigationExplorer

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def learner():
    torch.manual_seed(0)
    policy = GaussianPolicy(hidden=(8,), std=0.5)
    return PolicyGradientMAML(policy, PointRobot(device="cpu"), lr=0.1, trajectories=4)


def test_every_control_changes_picture_and_numbers(learner):
    explorer = NavigationExplorer({"random": (learner, learner.init())})
    for control, values in {"goal_x": (-1.0, 0.2), "goal_y": (0.4, 1.0), "steps": (0, 3)}.items():
        seen = set()
        for value in values:
            getattr(explorer, control).value = value
            assert bytes(explorer.picture.value).startswith(PNG)
            seen.add((bytes(explorer.picture.value), explorer.summary()))
        assert len(seen) == 2
    before = explorer.returns["random"]
    explorer.new_noise.click()
    assert explorer.returns["random"] != before


def test_its_numbers_are_those_of_the_learner(learner):
    explorer = NavigationExplorer({"random": (learner, learner.init())}, seed=3)
    robot = PointRobot(device="cpu")
    generator = torch.Generator().manual_seed(3)
    task = robot.toward(torch.tensor([[0.3, -0.4]]), 20, 20, generator=generator).task(0)
    for policy, value in zip(
        learner.trajectory(learner.init(), task.support, 5), explorer.returns["random"], strict=True
    ):
        path = learner.predict(policy, task.query_x)
        assert float(robot.returns(path, task.query_y)) == pytest.approx(value, rel=1e-3)


def test_a_click_moves_the_goal_and_only_on_the_left_plot(learner):
    explorer = NavigationExplorer({"random": (learner, learner.init())})
    across, up = explorer.left.transData.transform((-0.8, 0.25))
    size = explorer.canvas.width, explorer.canvas.height
    click = {"click": [across / size[0], 1 - up / size[1]]}
    explorer.picture._handle_custom_msg(click, [])
    assert (round(explorer.goal_x.value, 2), round(explorer.goal_y.value, 2)) == (-0.8, 0.25)
    assert "beyond the square" in explorer.summary()
    explorer.picture._handle_custom_msg({"click": [0.99, 0.5]}, [])
    assert round(explorer.goal_x.value, 2) == -0.8
    explorer.ticks["random"].value = False
    assert "No box is ticked" in explorer.summary()


def test_it_leaves_a_still_and_refuses_a_name_that_is_no_role(learner):
    explorer = NavigationExplorer({"random": (learner, learner.init())})
    bundle, _ = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == explorer.summary() and bundle["image/png"].startswith("iVBOR")
    with pytest.raises(ValueError, match="a learner's name must be one of"):
        NavigationExplorer({"mine": (learner, learner.init())})
