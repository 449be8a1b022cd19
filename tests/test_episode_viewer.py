"""The episode viewer shows what FewShot draws and what the learner answers."""

import pytest
import torch

from mamlkit import FewShot, glyphs, pretrained
from mamlkit.devices import generator
from mamlkit.recipes import omniglot
from mamlkit.show.widgets.episodes import EpisodeViewer


@pytest.fixture(scope="module")
def params():
    return pretrained.load("omniglot-5way-1shot", device="cpu")[1]


@pytest.fixture
def viewer(alphabet, params):
    splits = {"invented": alphabet, "others": glyphs(25, seed=5).images}
    return EpisodeViewer(splits, omniglot.learner, params, seed=4)


def test_the_episode_is_one_of_few_shot(viewer, alphabet):
    viewer.ways.value, viewer.shots.value = 4, 3
    batch = FewShot(alphabet, 4, device="cpu").sample(1, 3, 3, generator=generator(4, "cpu"))
    assert torch.equal(viewer.task.support_x, batch.support_x[0])
    assert len(viewer.task.query_y) == 10
    of = lambda task: sorted((int(y), x.sum().item()) for x, y in zip(*task, strict=True))
    assert set(of(viewer.task.query)) <= set(of(batch.task(0).query))


@pytest.mark.parametrize("ways", [2, 5, 20])
@pytest.mark.parametrize("shots", [1, 5])
def test_reveal_shows_labels_and_the_learners_own_answers(viewer, params, ways, shots):
    viewer.ways.value, viewer.shots.value = ways, shots
    assert viewer.after is None and "Press reveal" in viewer.summary()
    viewer.reveal.value = True
    learner = omniglot.learner(ways)
    adapted = learner.adapt(params, viewer.task.support)
    expected = learner.predict(adapted, viewer.task.query_x).detach()
    torch.testing.assert_close(viewer.after, expected, atol=1e-4, rtol=1e-4)
    right = int((expected.argmax(1) == viewer.task.query_y).sum())
    assert f"{right} of its ten answers are right" in viewer.summary()
    assert "gives every label the same score" in viewer.summary()


def test_every_control_shows_another_episode_and_hides_its_answers(viewer):
    changes = {"split": "others", "ways": 7, "shots": 2, "rotations": True, "seed": 11}
    seen = {bytes(viewer.picture.value)}
    for name, value in changes.items():
        viewer.reveal.value = True
        seen.add(bytes(viewer.picture.value))
        getattr(viewer, name).value = value
        assert not viewer.reveal.value and viewer.after is None
        seen.add(bytes(viewer.picture.value))
    assert len(seen) == 1 + 2 * len(changes)


def test_without_a_learner_labels_are_revealed(alphabet):
    viewer = EpisodeViewer({"invented": alphabet})
    viewer.reveal.value = True
    labels = ", ".join(map(str, viewer.task.query_y.tolist()))
    assert viewer.summary().endswith(f"The queries' labels are {labels}.")


def test_the_readers_labels_are_counted_at_reveal(viewer):
    totals = [0, 0]
    for episode, wrong in enumerate((1, 3), 1):
        labels = viewer.task.query_y.clone()
        labels[:wrong] = (labels[:wrong] + 1) % 5
        viewer.labels.value = ("" if episode == 1 else ", ").join(map(str, labels.tolist()))
        assert "You" not in viewer.summary()
        viewer.reveal.value = True
        right = int((viewer.after.argmax(1) == viewer.task.query_y).sum())
        totals = [totals[0] + 10 - wrong, totals[1] + right]
        assert f"You: {10 - wrong} of ten; the model: {right} of ten." in viewer.summary()
        assert ("So far" in viewer.summary()) == (episode == 2)
        if episode == 1:
            viewer.seed.value = 11
            assert viewer.labels.value == "" and not viewer.reveal.value
    viewer.reveal.value = False
    viewer.reveal.value = True  # counts once
    assert viewer.summary().endswith(f"So far: you {totals[0]} of 20, the model {totals[1]} of 20.")


@pytest.mark.parametrize(
    "text", ["ten", "012", "0123456789", "0 1 2 3 4 0 1 2 3 -4", "$\\frac", f"0 {'1' * 5000}"]
)
def test_other_labels_reveal_nothing(viewer, text):
    picture = viewer.picture.value
    viewer.labels.value, viewer.reveal.value = text, True
    assert "should be ten numbers from 0 to 4" in viewer.summary()
    assert viewer.after is None and viewer.picture.value == picture
    viewer.labels.value = "0123401234"  # reveal is still pressed
    assert "You: " in viewer.summary() and viewer.after is not None


def test_too_few_classes(alphabet):
    with pytest.raises(ValueError, match="few has 19 classes of 20 examples"):
        EpisodeViewer({"few": alphabet[:19]})
