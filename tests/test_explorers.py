"""The explorers, driven from Python: every control at its ends and in the middle."""

import base64
import gc
import html
import io
import math
import random
import re

import ipywidgets as widgets
import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from nbconvert import HTMLExporter
from PIL import Image
from torch.nn.functional import mse_loss

from mamlkit import ANIL, MAML, MetaSGD, SineNetwork, adapt, sine
from mamlkit.show.widgets.k_shot import KShotExplorer
from mamlkit.show.widgets.objective import ObjectiveExplorer
from mamlkit.show.widgets.starts import sine_learners

PNG = b"\x89PNG"


@pytest.fixture
def explorer():
    return KShotExplorer(sine_learners(), shown=("MAML", "pretrained"))


@pytest.mark.parametrize(
    "control, values",
    {
        "k": (1, 10, 20),
        "steps": (0, 10, 20),
        "lr": (1e-4, 0.01, 1.0),
        "amplitude": (0.1, 2.5, 8.0),
        "phase": (0.0, 1.5, 6.28),
        "noise": (0.0, 0.5, 2.0),
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


@pytest.mark.parametrize("name", ["MAML", "pretrained", "first-order", "random"])
@pytest.mark.parametrize("shots", [1, 2, 20])
def test_every_learner_takes_plain_steps_of_the_size_set(explorer, name, shots):
    """All at once and for any number of points: as `adapt` alone, by hand."""
    explorer.ticks[name].value, explorer.k.value, explorer.lr.value = True, shots, 0.002
    learner, params = explorer.learners[name]
    support = explorer.support_x, explorer.support_y
    for steps in (0, 1, 7):
        adapted = adapt(params, learner.task_loss, support, lr=0.002, steps=steps)
        expected = learner.predict(adapted, explorer.x).detach()
        torch.testing.assert_close(explorer.fits[name][steps], expected, rtol=1e-3, atol=1e-3)


def test_the_oracle_is_told_and_takes_no_step(explorer):
    explorer.ticks["oracle"].value, explorer.amplitude.value = True, 2.0
    assert explorer.errors["oracle"] == [explorer.errors["oracle"][0]] * 21
    assert explorer.errors["oracle"][0] < 0.05


def test_a_box_shows_and_hides_a_learner(explorer):
    assert set(explorer.curves) == {"MAML", "pretrained"}
    explorer.ticks["oracle"].value = True
    explorer.ticks["MAML"].value = False
    assert set(explorer.curves) == {"oracle", "pretrained"} and "MAML" not in explorer.summary()
    explorer.ticks["oracle"].value = explorer.ticks["pretrained"].value = False
    assert "No learner is ticked" in explorer.summary()


def test_noise_moves_points_off_the_wave_and_no_other_way(explorer):
    x, y = explorer.support_x, explorer.support_y
    explorer.noise.value = 0.5
    assert torch.equal(explorer.support_x, x) and not torch.equal(explorer.support_y, y)
    explorer.k.value = 20
    off = explorer.support_y - sine(explorer.support_x, 3.0, 1.0)
    assert 0.25 < off.std() < 0.8
    assert "noise 0.50 (training: none)" in explorer.summary()


def test_points_are_added_by_click_and_by_number(explorer):
    explorer.k.value = 0
    assert "seen at 0 points" in explorer.summary()
    start = explorer.errors["MAML"][0]
    assert explorer.errors["MAML"] == [start] * 21  # nothing to learn from
    explorer.point_x.value, explorer.point_y.value = 2.0, -1.5
    explorer.add.click()
    assert explorer.support_x.tolist() == [[2.0]] and explorer.support_y.tolist() == [[-1.5]]
    left = explorer.left
    across, up = left.transData.transform((-3.0, 2.5))
    size = explorer.canvas.width, explorer.canvas.height
    click = {"click": [across / size[0], 1 - up / size[1]]}
    explorer.picture._handle_custom_msg(click, [])
    torch.testing.assert_close(explorer.support_x, torch.tensor([[2.0], [-3.0]]))
    torch.testing.assert_close(explorer.support_y, torch.tensor([[-1.5], [2.5]]))
    explorer.picture._handle_custom_msg({"click": [0.99, 0.5]}, [])  # on the other plot
    assert len(explorer.added) == 2 and "2 of them added by hand" in explorer.summary()
    explorer.remove.click()
    assert explorer.added == []


def test_what_lies_beyond_training_is_told(explorer):
    assert "Beyond training" not in explorer.summary()
    explorer.amplitude.value, explorer.phase.value = 8.0, 5.0
    assert "amplitude 8.00 (training: 0.1 to 5.00)" in explorer.summary()
    assert "phase 5.00 (training: 0.0 to 3.14)" in explorer.summary()


@pytest.mark.parametrize("kind", [MetaSGD, ANIL])
def test_a_learner_with_steps_of_its_own_is_refused(kind):
    own = kind(SineNetwork(), mse_loss, lr=0.01)
    with pytest.raises(TypeError, match=rf"adapted by {kind.__name__}.*give MAML"):
        KShotExplorer({"MAML": (own, own.init())})
    maml = MAML(SineNetwork(), mse_loss, lr=0.01)
    with pytest.raises(ValueError, match="shown must be one of 'MAML'; got 'oracle'"):
        KShotExplorer({"MAML": (maml, maml.init())}, shown=("oracle",))


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
    blown_up = 0
    for _ in range(30):
        explorer.new_points.click()
        assert bytes(explorer.picture.value).startswith(PNG)
        blown_up += "MAML over 1000" in explorer.summary()
    assert 0 < blown_up < 30


def test_two_hundred_random_moves_leave_nothing_behind(explorer):
    """No figure of pyplot, no more artists, widgets or memory."""
    draw = random.Random(0)
    sliders = [getattr(explorer, n) for n in ("k", "steps", "lr", "amplitude", "phase", "noise")]

    def move(times):
        for _ in range(times):
            control = draw.choice([*sliders, *explorer.ticks.values()])
            if isinstance(control, widgets.Checkbox):
                control.value = not control.value
            elif control is explorer.lr:
                control.value = 10 ** draw.uniform(-4, 0)
            else:
                control.value = type(control.value)(draw.uniform(control.min, control.max))

    move(50)  # warm
    gc.collect()
    before = len(explorer.canvas.figure.findobj()), len(_instances)
    objects = len(gc.get_objects())
    move(200)
    gc.collect()
    assert plt.get_fignums() == []
    assert before == (len(explorer.canvas.figure.findobj()), len(_instances))
    assert len(gc.get_objects()) - objects < 500


def test_live_and_still(explorer):
    bundle, _ = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == explorer.summary()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/png"].startswith("iVBOR")


@pytest.mark.parametrize("template", ["classic", "lab"])
def test_without_javascript_there_are_picture_and_sentence(explorer, template):
    """What nbconvert makes of a saved notebook: an image, in which the sentence is written."""
    data, metadata = explorer._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("e", outputs=[output])])
    page, _ = HTMLExporter(template_name=template).from_notebook_node(book)
    (image,) = re.findall(r"<img[^>]*>", page, re.DOTALL)
    assert data["image/png"] in image
    if template == "classic":  # the other template ignores alternative texts
        assert explorer.summary() in html.unescape(image)
    bare, whole = (Image.open(io.BytesIO(png)) for png in (explorer.picture.value, _png(data)))
    assert whole.width == bare.width and whole.height > bare.height
    below = whole.crop((0, bare.height, whole.width, whole.height)).convert("L")
    assert below.getextrema()[0] < 80  # something is written there


def _png(data):
    return base64.b64decode(data["image/png"])


def test_any_learner_may_be_explored():
    torch.manual_seed(0)
    mine = MAML(SineNetwork(hidden=(8,)), mse_loss, lr=0.02)
    explorer = KShotExplorer({"random": (mine, mine.init())})
    assert "random" in explorer.summary()


def test_networks_that_only_look_alike_are_computed_apart():
    """Shapes and names are the same; what forward makes of them is not."""

    class Shifted(SineNetwork):
        def forward(self, x):
            return super().forward(x) + 3

    one, other = (MAML(kind(), mse_loss, lr=0.01) for kind in (SineNetwork, Shifted))
    params = one.init()
    explorer = KShotExplorer({"MAML": (one, params), "random": (other, params)})
    torch.testing.assert_close(explorer.fits["MAML"][0] + 3, explorer.fits["random"][0])


@pytest.mark.parametrize("m", [0, 1, 4, 10])
def test_the_best_start_in_closed_form(m):
    """The optimum is the mean of the b's weighted by a (1 - αa)^2m."""
    explorer = ObjectiveExplorer((3.0, 1.0), (-2.0, 2.0), lr=0.1)
    before = bytes(explorer.picture.value)
    texts = [line.get_label() for line in explorer._tasks]
    assert texts == ["task with a = 3, optimum -2", "task with a = 1, optimum 2"]
    explorer.m.value = m
    weights = [a * (1 - 0.1 * a) ** (2 * m) for a in (3.0, 1.0)]
    best = (-2 * weights[0] + 2 * weights[1]) / sum(weights)
    assert abs(explorer.best - best) < 0.01
    assert (bytes(explorer.picture.value) != before) == (m != 0)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"curvatures": (1.0,)}, r"curvatures must be two numbers, one a task, got \(1\.0,\)"),
        ({"curvatures": (1.0, 0.0)}, "a must be"),
        ({"optima": (-9.0, 2.0)}, "b must be"),
    ],
)
def test_tasks_that_cannot_be_shown(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ObjectiveExplorer(**settings)
