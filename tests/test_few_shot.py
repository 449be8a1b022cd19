"""Episodes: labels, classes, rotations, leakage, and what a perfect classifier scores."""

import json
import math

import pytest
import torch

from mamlkit import MAML, FewShot, OmniglotNetwork, accuracy, evaluate
from mamlkit.devices import generator


@pytest.fixture
def numbered():
    """Images that carry their class and example: pixel (0, 0) and pixel (1, 1)."""
    images = torch.zeros(12, 8, 1, 4, 4)
    images[..., 0, 0] = torch.arange(12.0)[:, None, None]
    images[..., 1, 1] = torch.arange(8.0)[None, :, None]
    return FewShot(images, ways=5, device="cpu")


def test_shapes_and_range(alphabet):
    batch = FewShot(alphabet, 5, device="cpu").sample(3, 2, 4)
    assert batch.support_x.shape == (3, 10, 1, 28, 28) and batch.query_y.shape == (3, 20)
    assert batch.support_x.dtype == torch.float32 and batch.support_x.min() >= 0
    assert 0.5 < batch.support_x.max() <= 1


def test_classes_are_distinct_and_labels_belong_to_classes(numbered):
    batch = numbered.sample(500, 2, 3)
    classes = batch.support_x[..., 0, 0, 0].view(500, 5, 2)
    assert (classes[:, :, 0] == classes[:, :, 1]).all()
    assert all(len(set(row.tolist())) == 5 for row in classes[:, :, 0])
    assert (batch.support_y.view(500, 5, 2) == torch.arange(5)[None, :, None]).all()
    queries = batch.query_x[..., 0, 0, 0].view(500, 5, 3)
    assert (queries == classes[:, :, :1]).all()


def test_support_and_query_share_no_example(numbered):
    batch = numbered.sample(500, 2, 3)
    support = batch.support_x[..., 0, 1, 1].view(500, 5, 2, 1)
    query = batch.query_x[..., 0, 1, 1].view(500, 5, 1, 3)
    assert not (support == query).any()


def test_labels_do_not_depend_on_the_class(numbered):
    """χ² of label against class: 11 x 4 degrees of freedom, 99.9 % below 78.7."""
    _, chosen, _ = numbered.draw(5_000, 2, generator=generator(0, "cpu"))
    counts = torch.zeros(12, 5)
    for label in range(5):
        counts[:, label] = torch.bincount(chosen[:, label], minlength=12)
    expected = 5_000 / 12
    assert float(((counts - expected) ** 2 / expected).sum()) < 78.7


def test_a_class_is_turned_as_a_whole():
    """One angle for support and query of a class, all four angles in use, classes apart."""
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    turned = FewShot(image.expand(6, 5, 1, 2, 2), ways=3, rotations=True, device="cpu")
    batch = turned.sample(400, 2, 3, generator=generator(0, "cpu"))
    images = torch.cat([batch.support_x.view(400, 3, 2, 4), batch.query_x.view(400, 3, 3, 4)], 2)
    assert (images == images[:, :, :1]).all()
    corners = images[:, :, 0, 0]
    assert set(corners.flatten().tolist()) == {1.0, 2.0, 3.0, 4.0}
    assert (corners[:, 0] != corners[:, 1]).any()
    expected = {tuple(image.rot90(k).flatten().tolist()) for k in range(4)}
    assert {tuple(row.tolist()) for row in images[:, :, 0].flatten(0, 1)} == expected


@pytest.mark.parametrize("mirrors", [False, True])
@pytest.mark.parametrize("rotations, width", [(False, 4), (False, 6), (True, 4)])
def test_pixels_are_those_of_the_form_drawn(rotations, width, mirrors):
    """Against turning and mirroring the whole set up front, as `draw` counts the forms."""
    images = torch.randint(256, (6, 5, 3, 4, width), dtype=torch.uint8)
    episodes = FewShot(images, 3, rotations=rotations, mirrors=mirrors, device="cpu")
    mirrored = [images, images.flip(-1)] if mirrors else [images]
    angles = range(4 if rotations else 1)
    forms = torch.stack([image.rot90(k, (-2, -1)) for image in mirrored for k in angles])
    form, chosen, example = episodes.draw(50, 5, 2, generator=generator(0, "cpu"))
    expected = forms[form[..., None], chosen[..., None], example].float() / 255
    batch = episodes.sample(50, 2, 3, generator=generator(0, "cpu"))
    assert torch.equal(batch.support_x, expected[:, :, :2].flatten(1, 2))
    assert torch.equal(batch.query_x, expected[:, :, 2:].flatten(1, 2))
    assert len(form.unique()) == len(forms)


def test_images_are_kept_once(alphabet):
    """Neither forms nor a move to the same device copy them."""
    episodes = FewShot(alphabet, 5, rotations=True, mirrors=True, device="cpu")
    assert episodes.images.data_ptr() == alphabet.data_ptr()
    assert episodes.to("cpu").images.data_ptr() == alphabet.data_ptr()


def test_settings_tell_images_and_arguments_apart(alphabet):
    make = lambda images=alphabet, ways=5, **kw: FewShot(images, ways, device="cpu", **kw)
    settings = make().settings()
    assert json.loads(json.dumps(settings)) == settings
    assert make(alphabet.clone()).settings() == settings
    others = [make(alphabet.flip(0)), make(ways=4), make(rotations=True), make(mirrors=True)]
    assert all(other.settings() != settings for other in others)
    assert "30x20x1x28x28" in repr(make())


@pytest.mark.parametrize("ways", [2, 5, 20])
@pytest.mark.parametrize("shots", [1, 5])
def test_a_perfect_classifier_scores_one(ways, shots, alphabet):
    batch = FewShot(alphabet, ways, device="cpu").sample(4, shots, 3)
    scores = torch.nn.functional.one_hot(batch.query_y, ways).float()
    assert accuracy(scores, batch.query_y) == 1
    assert accuracy(-scores, batch.query_y) == 0


def test_accuracy_before_adaptation_is_chance(alphabet):
    """An episode's labels mean nothing before its support set is seen: 1/N."""
    torch.manual_seed(0)
    network = OmniglotNetwork(5, filters=8)
    torch.nn.init.normal_(network.head.weight)
    learner = MAML(network, torch.nn.functional.cross_entropy, lr=0.4)
    evaluation = evaluate(
        learner, learner.init(), FewShot(alphabet, 5, device="cpu"), shots=1, queries=5, steps=0
    )
    assert abs(evaluation.mean[0] - 0.2) < 2 * evaluation.interval[0]


def test_bool_images_are_ink(alphabet):
    ink = FewShot(alphabet > 128, 5, device="cpu").sample(2, 1, 2).query_x
    assert set(ink.unique().tolist()) == {0.0, 1.0}


def test_real_splits_share_no_class(omniglot):
    """10,000 draws of each split: their (alphabet, character) never meet."""
    seen = {}
    for split, (images, alphabets, names) in omniglot.items():
        _, chosen, _ = FewShot(images, 5, rotations=True, device="cpu").draw(10_000, 2)
        seen[split] = {(alphabets[i], names[i]) for i in chosen.unique().tolist()}
    assert len(seen["background"]) == 964 and len(seen["evaluation"]) == 659
    assert not seen["background"] & seen["evaluation"]


def test_interval_narrows_with_the_square_root_of_the_tasks(maml, sines):
    settings = {"shots": 5, "queries": 10, "steps": 0}
    few = evaluate(maml, maml.init(), sines, tasks=600, **settings).interval[0]
    many = evaluate(maml, maml.init(), sines, tasks=5_400, **settings).interval[0]
    assert math.isclose(few / many, 3, rel_tol=0.15)
