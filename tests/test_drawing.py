"""Drawing characters: from strokes to a picture, and from pictures to an answer."""

import pytest
import torch

from mamlkit import glyphs, pretrained
from mamlkit.show.widgets.drawing import WAYS, DrawYourOwn
from mamlkit.show.widgets.pad import Pad, character

CROSS = [[(0.2, 0.2), (0.8, 0.8)], [(0.2, 0.8), (0.8, 0.2)]]


@pytest.fixture(scope="module")
def model():
    return pretrained.load("omniglot-5way-1shot", device="cpu")


@pytest.fixture
def explorer(model):
    return DrawYourOwn(*model, glyphs(12, drawings=6, seed=4).images)


def test_where_and_how_large_a_character_is_drawn_does_not_matter():
    shrunk = [[(0.1 + 0.5 * x, 0.3 + 0.5 * y) for x, y in stroke] for stroke in CROSS]
    torch.testing.assert_close(character(CROSS), character(shrunk))


def test_a_character_lies_in_the_middle_and_is_as_large_as_omniglots():
    ink = character(CROSS)[0] > 0.3
    rows, columns = ink.any(1).nonzero(), ink.any(0).nonzero()
    for inked in (rows, columns):
        assert 16 <= inked.max() - inked.min() + 1 <= 20  # 67 of 105 pixels are 18 of 28
        assert abs((inked.max() + inked.min()) / 2 - 13) <= 1


def test_a_dot_stays_a_dot():
    ink = character([[(0.9, 0.1)]])
    assert 0 < ink.sum() < 6 and ink[0, 11:16, 11:16].sum() > 0.99 * ink.sum()


def test_right_is_right_and_down_is_down():
    """A line to the right with a hook down at its end."""
    ink = character([[(0.1, 0.5), (0.9, 0.5), (0.9, 0.9)]])[0]
    assert ink[:, 14:].sum() > ink[:, :14].sum() and ink[14:, 18:].sum() > 3
    assert ink[16:, :12].sum() == 0


@pytest.mark.parametrize(
    "strokes, message",
    [([], "no stroke"), ([[]], "no stroke"), ([[(0.1, float("nan"))]], "not a finite number")],
)
def test_strokes_that_are_none(strokes, message):
    with pytest.raises(ValueError, match=message):
        character(strokes)


def test_a_pad_shows_strokes_or_a_ready_character():
    pad, ready = Pad(), torch.rand(1, 28, 28)
    assert pad.character() is None
    pad.strokes = CROSS
    torch.testing.assert_close(pad.character(), character(CROSS))
    pad.place(ready)
    assert pad.strokes == [] and pad.image.startswith("data:image/png;base64,")
    assert pad.character() is ready
    pad.image, pad.strokes = None, CROSS  # as pad.js does when the pen goes down
    torch.testing.assert_close(pad.character(), character(CROSS))
    pad.wipe()
    assert pad.character() is None


def test_nothing_is_answered_before_every_class_has_a_drawing(explorer):
    assert "Still empty: 0, 1, 2, 3, 4" in explorer.summary()
    explorer.pads[2][0].strokes = CROSS
    assert "Still empty: 0, 1, 3, 4" in explorer.summary() and explorer.probabilities is None
    explorer.fill()
    explorer.query.wipe()
    assert "query pad" in explorer.summary() and explorer.probabilities is None


def test_the_probabilities_are_those_of_adapt(explorer, model):
    learner, params = model
    explorer.fill()
    x = torch.stack([pads[0].character() for pads in explorer.pads])
    adapted = learner.adapt(params, (x, torch.arange(WAYS)))
    expected = learner.predict(adapted, explorer.query.character()[None])[0].softmax(-1)
    torch.testing.assert_close(explorer.probabilities[1], expected.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(explorer.probabilities[0], torch.full((WAYS,), 0.2))
    best = int(expected.argmax())
    assert f"the query is class {best}, with {100 * expected[best]:.0f} %" in explorer.summary()


def test_a_drawing_given_as_query_is_found_again(explorer):
    explorer.fill()
    for way in range(WAYS):
        explorer.query.place(explorer.pads[way][0].character())
        assert explorer.probabilities[1].argmax() == way


def test_controls_change_picture_and_sentence(explorer):
    explorer.fill()
    pictures, sentences = set(), set()
    for steps in (0, 2, 5):
        explorer.steps.value = steps
        pictures.add(bytes(explorer.picture.value))
        sentences.add(explorer.picture.sentence)
    assert len(pictures) == len(sentences) == 3
    before = explorer.picture.value
    explorer.example.click()
    assert explorer.picture.value != before
    explorer.clear.click()
    assert "Still empty: 0, 1, 2, 3, 4" in explorer.picture.sentence


def test_more_drawings_of_a_class(explorer):
    explorer.fill()
    assert [len(images) for images in explorer.drawings] == [1] * WAYS
    explorer.shots.value = 3
    explorer.pads[1][1].strokes = CROSS
    assert [len(images) for images in explorer.drawings] == [1, 2, 1, 1, 1]
    explorer.fill()
    assert [len(images) for images in explorer.drawings] == [3] * WAYS
    explorer.shots.value = 1
    assert [len(images) for images in explorer.drawings] == [1] * WAYS


def test_an_example_leaves_nothing_of_others_on_hidden_pads(explorer):
    explorer.shots.value = 3
    explorer.fill()
    explorer.shots.value = 1
    explorer.fill()
    explorer.shots.value = 3
    assert [len(images) for images in explorer.drawings] == [1] * WAYS


def test_a_pen_on_a_ready_character_is_computed_once(explorer):
    explorer.fill()
    times = []
    compute = explorer.compute
    explorer.compute = lambda: (times.append(1), compute())
    explorer.query.set_state({"strokes": CROSS, "image": None})  # as the browser's message does
    assert len(times) == 1
    torch.testing.assert_close(explorer.query_image, character(CROSS))


def test_the_picker_puts_a_character_where_it_is_told(explorer):
    explorer.choice.value, explorer.target.value = explorer.names[7], "class 3"
    explorer.put.click()
    placed = explorer.pads[3][0].character()
    assert any(torch.equal(placed, image) for image in explorer.images[7])
    explorer.target.value = "query"
    explorer.put.click()
    assert explorer.query.character() is not None


def test_what_cannot_be_shown(model):
    learner, params = pretrained.load("omniglot-20way-1shot", device="cpu")
    with pytest.raises(ValueError, match="tells 20 classes apart; give one of 5"):
        DrawYourOwn(learner, params, glyphs(12, drawings=6).images)
    with pytest.raises(ValueError, match="at least 5 classes of 2 examples"):
        DrawYourOwn(*model, glyphs(3, drawings=6).images)


def test_drawings_on_a_pad_fare_as_well_as_omniglots_own(omniglot):
    """3,000 drawings thinned, drawn again as strokes, and answered: within two points."""
    from experiments.replay import replayed

    try:
        own, pad = replayed(episodes=100)
    except FileNotFoundError as error:  # the decoded cache may be there without the scans
        pytest.skip(str(error))
    assert own.mean() > 0.95
    assert (own - pad).mean() < 0.02
