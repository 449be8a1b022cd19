"""Invented characters: seeded, endless, classes apart, hands apart."""

import torch

from mamlkit import glyphs


def test_layout_is_omniglots():
    sheet = glyphs(30, drawings=4)
    assert sheet.images.shape == (30, 4, 1, 28, 28) and sheet.images.dtype == torch.uint8
    assert len(set(zip(sheet.alphabets, sheet.names, strict=True))) == 30
    assert sheet.alphabets[24] != sheet.alphabets[25]


def test_seeds_and_prefixes():
    few, many, other = glyphs(10), glyphs(40), glyphs(10, seed=1)
    assert torch.equal(few.images, many.images[:10])
    assert torch.equal(few.images, glyphs(10).images)
    assert not torch.equal(few.images, other.images)


def test_ink_is_bright_sparse_and_on_the_page():
    ink = glyphs(100).images.float() / 255
    assert 0.02 < ink.mean() < 0.15 and ink.amax((2, 3, 4)).min() > 0.5
    border = ink.clone()
    border[..., 1:-1, 1:-1] = 0
    assert border.sum() / ink.sum() < 0.01


def test_drawings_of_a_character_differ_less_than_characters(alphabet):
    """Half the drawings against the other half: nearest mean is right far above chance."""
    ink = alphabet.float().flatten(2)
    first, second = ink[:, :10].mean(1), ink[:, 10:].mean(1)
    nearest = torch.cdist(second, first).argmin(1)
    assert (nearest == torch.arange(30)).float().mean() > 0.8
    assert not torch.equal(alphabet[:, 0], alphabet[:, 1])


def test_another_size():
    assert glyphs(2, drawings=3, size=56).images.shape == (2, 3, 1, 56, 56)
