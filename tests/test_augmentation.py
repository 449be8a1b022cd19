"""More classes from the same drawings: mirrors, warps; and which characters may train at all."""

import json

import pytest
import torch

from mamlkit import FewShot, Warped, shuffled_split, without_validation
from mamlkit.devices import generator
from mamlkit.tasks.augment import _resample


@pytest.fixture
def corner():
    """All classes look alike: an L that has neither mirror nor turning symmetry."""
    return torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(6, 5, 1, 2, 2)


@pytest.mark.parametrize("rotations, forms", [(False, 2), (True, 8)])
def test_a_class_is_mirrored_as_a_whole(corner, rotations, forms):
    episodes = FewShot(corner, ways=3, rotations=rotations, mirrors=True, device="cpu")
    batch = episodes.sample(400, 2, 3, generator=generator(0, "cpu"))
    images = torch.cat([batch.support_x.view(400, 3, 2, 4), batch.query_x.view(400, 3, 3, 4)], 2)
    assert (images == images[:, :, :1]).all()
    corners, counts = images[:, :, 0].reshape(-1, 4).unique(dim=0, return_counts=True)
    assert len(corners) == forms
    assert (counts / 1200 - 1 / forms).abs().max() < 0.05
    assert [2.0, 1.0, 4.0, 3.0] in corners.tolist()


def test_a_warp_of_nothing_changes_nothing(alphabet):
    plain = FewShot(alphabet, 5, device="cpu")
    still = Warped(plain, classes=0, drawings=0, shift=0)
    expected = plain.sample(4, 1, 3, generator=generator(5, "cpu"))
    warped = still.sample(4, 1, 3, generator=generator(5, "cpu"))
    for one, other in zip(warped, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_a_class_is_warped_as_a_whole(corner):
    """Only `classes` varies: support and query of a class stay alike, classes come apart."""
    episodes = Warped(FewShot(corner, 3, device="cpu"), classes=0.3, drawings=0, shift=0)
    batch = episodes.sample(50, 2, 3, generator=generator(0, "cpu"))
    images = torch.cat([batch.support_x.view(50, 3, 2, 4), batch.query_x.view(50, 3, 3, 4)], 2)
    assert (images == images[:, :, :1]).all()
    first = images[:, :, 0]
    assert ((first[:, 0] - first[:, 1]).abs().amax(-1) > 1e-3).float().mean() > 0.95


def test_each_drawing_is_warped_by_itself(corner):
    episodes = Warped(FewShot(corner, 3, device="cpu"), classes=0, drawings=0.1, shift=0)
    batch = episodes.sample(50, 2, 3, generator=generator(0, "cpu"))
    pairs = batch.support_x.view(50, 3, 2, 4)
    assert ((pairs[:, :, 0] - pairs[:, :, 1]).abs().amax(-1) > 1e-3).float().mean() > 0.95


def test_bends_are_smooth_and_of_the_size_asked_for():
    """A dot moves by `bend` for its class and for itself; two dots side by side move alike."""
    dots = torch.zeros(6, 5, 1, 29, 29)
    dots[..., 8, 14] = dots[..., 20, 14] = 1
    nothing = {"classes": 0, "drawings": 0, "shift": 0}
    episodes = Warped(FewShot(dots, 3, device="cpu"), **nothing, bend=1.0)
    images = episodes.sample(300, 2, 3, generator=generator(0, "cpu")).query_x.flatten(0, 2)
    rows = torch.arange(29.0)
    upper, lower = images[:, :15], images[:, 15:]
    centre = lambda part, at: (part.sum(2) * at).sum(1) / part.sum((1, 2))
    moved = torch.stack([centre(upper, rows[:15]) - 8, centre(lower, rows[15:]) - 20])
    assert 0.7 < moved.std() < 1.8  # √2 at a knot; less between knots
    assert torch.corrcoef(moved)[0, 1] < 0.5  # a bend, not one shift of everything
    query = episodes.sample(1, 2, 3, generator=generator(0, "cpu")).query_x.view(3, 3, -1)
    assert not torch.equal(query[0, 0], query[0, 1])


def test_a_shift_is_in_pixels():
    """The centre of mass of a dot moves by up to `shift` pixels, and that far."""
    dot = torch.zeros(6, 5, 1, 29, 29)
    dot[..., 14, 14] = 1
    episodes = Warped(FewShot(dot, 3, device="cpu"), classes=0, drawings=0, shift=3)
    images = episodes.sample(200, 2, 3, generator=generator(0, "cpu")).query_x.flatten(0, 2)
    positions = torch.arange(29.0)
    for axis in (1, 2):
        mass = images.sum(axis)
        moved = (mass * positions).sum(-1) / mass.sum(-1) - 14
        assert 2.8 < moved.abs().max() <= 3.01 and moved.mean().abs() < 0.3


def test_warping_leaves_labels_and_seeds_alone(alphabet):
    warped = Warped(FewShot(alphabet, 5, rotations=True, device="cpu"))
    one, same = (warped.sample(4, 1, 3, generator=generator(5, "cpu")) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    plain = warped.episodes.sample(4, 1, 3, generator=generator(5, "cpu"))
    assert torch.equal(one.query_y, plain.query_y)
    moved = warped.to("cpu")
    assert moved.settings() == warped.settings() and moved.episodes is not warped.episodes
    assert all(torch.equal(a, b) for a, b in zip(moved.episodes.images, alphabet, strict=True))


def test_settings_tell_sizes_and_episodes_apart(alphabet):
    make = lambda ways=5, **sizes: Warped(FewShot(alphabet, ways, device="cpu"), **sizes)
    settings = make().settings()
    assert json.loads(json.dumps(settings)) == settings == make().settings()
    assert settings["episodes"] == make().episodes.settings()
    others = [make(4), make(classes=0.3), make(drawings=0.2), make(shift=1.0), make(bend=0.5)]
    assert all(other.settings() != settings for other in others)


@pytest.mark.parametrize("wrong", [{"classes": -0.1}, {"drawings": 0.6}, {"shift": float("nan")}])
def test_warps_out_of_bounds(alphabet, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Warped(FewShot(alphabet, 5, device="cpu"), **wrong)


def test_validation_alphabets_are_apart(omniglot):
    training, validation = without_validation(omniglot["background"])
    assert not set(training.alphabets) & set(validation.alphabets)
    assert len(training.names) + len(validation.names) == 964
    assert len(set(validation.alphabets)) == 5
    assert not set(validation.alphabets) & set(omniglot["evaluation"].alphabets)


def test_too_few_alphabets_to_hold_one_out(omniglot):
    with pytest.raises(ValueError, match="2 alphabets are too few"):
        without_validation(omniglot["background"].of("Greek", "Latin"))


def test_a_shuffled_split_shares_alphabets_but_no_character(omniglot):
    training, test = shuffled_split(seed=0)
    assert (len(training.names), len(test.names)) == (1200, 423)
    where = lambda part: set(zip(part.alphabets, part.names, strict=True))
    assert not where(training) & where(test)
    assert len(where(training) | where(test)) == 1623
    assert len(set(training.alphabets) & set(test.alphabets)) > 40
    assert shuffled_split(seed=1)[1].names != test.names
    with pytest.raises(ValueError, match="train must be at most 1622, got 1623"):
        shuffled_split(train=1623)


def test_a_warp_is_torchs_affine_grid():
    torch.manual_seed(0)
    images = torch.rand(6, 1, 20, 20)
    maps, shifts = torch.eye(2) + 0.2 * torch.randn(6, 2, 2), torch.randn(6, 2)
    theta = torch.cat([maps, shifts[..., None] / 10], dim=-1)
    grid = torch.nn.functional.affine_grid(theta, images.shape, align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(_resample(images, maps, shifts), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_images_keep_their_precision_and_need_not_be_square(dtype):
    images = torch.rand(6, 4, 1, 12, 20, dtype=dtype)
    episodes = Warped(FewShot(images, 3, device="cpu"))
    batch = episodes.sample(2, 1, 2)
    assert batch.query_x.dtype == dtype and batch.query_x.shape == (2, 6, 1, 12, 20)
