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


def test_too_few_classes(alphabet):
    with pytest.raises(ValueError, match="few has 19 classes of 20 examples"):
        EpisodeViewer({"few": alphabet[:19]})
