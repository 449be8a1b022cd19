"""Invented alphabets: characters drawn as random pen strokes by people with different hands.

After the generative story of Lake et al. 2015 (a character is a few strokes, each stroke a motor
programme, a new one starts from or on an old one), much simplified. No data, no network: the
offline stand-in for Omniglot, and an experiment of its own.
"""

import math

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Generator, Tensor

from mamlkit import checks, devices
from mamlkit.tasks.characters import Characters
from mamlkit.tasks.omniglot import DRAWINGS, SIZE

STROKES = 4  # at most, in one character
POINTS = 48  # along one stroke
VOCABULARY = 8  # kinds of stroke that one alphabet shares
CHARACTERS_PER_ALPHABET = 25
Strokes = Float[Tensor, "characters drawings strokes points 2"]
StrokeMask = Bool[Tensor, "characters strokes"]  # a character has up to STROKES of them


def glyphs(
    classes: int = 200, *, drawings: int = DRAWINGS, size: int = SIZE, seed: int = 0
) -> Characters:
    """Draw `classes` invented characters, `drawings` times each; the layout is Omniglot's.

    Each alphabet of 25 characters shares a small vocabulary of strokes. Each drawing is by another
    person, whose slant, proportions, pen and shakiness show in the whole alphabet.

    classes: how many characters (there is no end of them: another seed, another world).
    drawings: drawings of each. size: pixels on a side. seed: any whole number from 0.

    >>> sheet = glyphs(10, drawings=5, seed=1)
    >>> sheet.images.shape, sheet.images.dtype, sheet.alphabets[0], sheet.names[3]
    (torch.Size([10, 5, 1, 28, 28]), torch.uint8, 'Invented_00', 'character04')
    """
    classes = checks.check_int("glyphs", "classes", classes, low=1)
    drawings = checks.check_int("glyphs", "drawings", drawings, low=1)
    size = checks.check_int("glyphs", "size", size, low=8, hint="strokes vanish below that")
    random = devices.generator(seed, "cpu")
    alphabets, names, images = [], [], []
    while len(names) < classes:
        number = len(images)
        count = min(CHARACTERS_PER_ALPHABET, classes - len(names))
        # An alphabet is always drawn in full, so that asking for more never changes the first.
        path, mask = _design(random)
        strokes = _write(path, mask, drawings, random)
        images.append(_ink(strokes, mask, size, random)[:count])
        alphabets += [f"Invented_{number:02d}"] * count
        names += [f"character{i + 1:02d}" for i in range(count)]
    return Characters(torch.cat(images), tuple(alphabets), tuple(names))


def _design(
    random: Generator,
) -> tuple[Float[Tensor, "characters strokes points 2"], StrokeMask]:
    """Invent one alphabet: the path of each character's strokes, and which of them exist."""
    chars, rand = CHARACTERS_PER_ALPHABET, lambda *shape: torch.rand(*shape, generator=random)
    vocabulary = _motor_programmes(random)
    path = vocabulary[torch.randint(VOCABULARY, (chars, STROKES), generator=random)]
    # Letters are built from a few sizes and mirror images of the same strokes.
    sizes = torch.tensor([0.5, 0.8, 1.0])
    path = path * sizes[torch.randint(3, (chars, STROKES, 1, 1), generator=random)]
    path = path * torch.where(rand(chars, STROKES, 1, 2) < 0.3, -1.0, 1.0)
    odds = torch.tensor([0.06, 0.36, 0.38, 0.20])
    mask = torch.arange(STROKES) <= torch.multinomial(odds, chars, True, generator=random)[:, None]
    # Each new stroke starts at the start, the end or somewhere on an earlier one; a few stand
    # apart, as accents do.
    for new in range(1, STROKES):
        old = (rand(chars) * new).long()
        where = torch.tensor([0, POINTS - 1, POINTS - 1, POINTS // 2])
        where = where[torch.randint(4, (chars,), generator=random)]
        anchor = path[torch.arange(chars), old, where]
        middle = rand(chars) < 0.35  # cross the earlier stroke instead of starting from it
        own = torch.where(middle[:, None], path[:, new, POINTS // 2], path[:, new, 0])
        apart = (rand(chars, 1) < 0.08) * (0.9 * (rand(chars, 2) - 0.5).sign())
        path[:, new] += (anchor - own + apart)[:, None]
    return path, mask


def _motor_programmes(random: Generator) -> Float[Tensor, "vocabulary points 2"]:
    """Draw lines, arcs, hooks, waves and loops, in random directions."""
    rand = lambda: torch.rand(VOCABULARY, 1, generator=random)
    time = torch.linspace(0, 1, POINTS)[None]
    kind = torch.randint(1, 6, (VOCABULARY, 1), generator=random)
    kind[:4] = torch.tensor([[0], [0], [1], [2]])  # every alphabet has lines, a corner and a bow
    sign = torch.where(rand() < 0.5, -1.0, 1.0)
    corner = torch.sigmoid(60 * (time - 0.35 - 0.3 * rand())) * (1.5 + 0.4 * rand())
    turning = torch.stack(
        [
            0.3 * (rand() - 0.5) * time,  # a line
            corner,  # a corner
            (1.8 + 1.6 * rand()) * time,  # a bow
            (3.5 + 2.0 * rand()) * torch.relu(time - 0.5),  # a line that ends in a hook
            1.9 * torch.sin(2 * math.pi * (0.75 + 0.5 * rand()) * time),  # a wave
            (2 * math.pi) * (0.95 + 0.1 * rand()) * time,  # a loop
        ]
    )
    turning = turning.gather(0, kind.expand(1, VOCABULARY, POINTS))[0]
    # Writers favour strokes to the right and down.
    odds = torch.tensor([0.3, 0.08, 0.3, 0.08, 0.05, 0.03, 0.08, 0.08])
    direction = (math.pi / 4) * torch.multinomial(odds, VOCABULARY, True, generator=random)[:, None]
    heading = direction + 0.2 * (rand() - 0.5) + sign * turning
    steps = torch.stack([heading.cos(), heading.sin()], -1) / POINTS
    length = (0.9 + 0.5 * rand())[..., None]
    return (length * (1 + 0.6 * (kind == 5)[..., None])) * steps.cumsum(1)


def _write(
    path: Float[Tensor, "characters strokes points 2"],
    mask: StrokeMask,
    drawings: int,
    random: Generator,
) -> Strokes:
    """Write every character by every person's hand."""
    chars = len(path)
    randn = lambda *shape: torch.randn(*shape, generator=random)
    # The person's own hand, the same in the whole alphabet: slant, width, tilt, steadiness.
    slant, tilt = 0.13 * randn(drawings), 0.06 * randn(drawings)
    wide, tall = (0.10 * randn(2, drawings)).exp()
    steady = (0.5 * randn(drawings)).exp()[None, :, None, None, None]
    hand = torch.stack([wide, slant * tall + tilt, -tilt, tall], -1).view(drawings, 1, 2, 2)
    strokes = path[:, None].expand(-1, drawings, -1, -1, -1)
    # One occasion: every stroke a little longer, turned and moved, and bent smoothly.
    angle = 0.09 * steady[..., 0] * randn(chars, drawings, STROKES, 1)
    middle = strokes.mean(-2, keepdim=True)
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    turn = torch.cat([torch.cat([cos, sin], -1), torch.cat([-sin, cos], -1)], -2)
    scale = (0.08 * steady * randn(chars, drawings, STROKES, 1, 2)).exp()
    strokes = ((strokes - middle) * scale) @ turn + middle
    strokes = strokes + 0.035 * steady * randn(chars, drawings, STROKES, 1, 2)
    time = torch.linspace(0, 1, POINTS)
    waves = torch.stack([torch.cos(math.pi * k * time) / k for k in (1, 2, 3)])
    strokes = strokes + 0.03 * steady * (randn(chars, drawings, STROKES, 2, 3) @ waves).mT
    return _centre(strokes @ hand, mask, random)


def _centre(strokes: Strokes, mask: StrokeMask, random: Generator) -> Strokes:
    """Bring each character near the middle of the unit square, at roughly the same size."""
    absent = ~mask[:, None, :, None, None]
    low = strokes.masked_fill(absent, math.inf).amin((2, 3), keepdim=True)
    high = strokes.masked_fill(absent, -math.inf).amax((2, 3), keepdim=True)
    # One size for a character, whoever draws it: a dot stays small, a long line stays long.
    extent = (high - low).amax(-1, keepdim=True).mean(1, keepdim=True)
    chars, people = strokes.shape[:2]
    randn = lambda *shape: torch.randn(*shape, generator=random)
    size = (0.66 / extent.clamp_min(0.5)) * (0.09 * randn(1, people, 1, 1, 1)).exp()
    middle = 0.5 + 0.045 * randn(chars, people, 1, 1, 2)
    return (strokes - (low + high) / 2) * size + middle


def _ink(
    strokes: Strokes, mask: StrokeMask, size: int, random: Generator
) -> UInt8[Tensor, "characters drawings 1 size size"]:
    """Rub ink along the strokes.

    A point leaves a Gaussian blot, which factors into a row and a column: a sum over all points
    is one small matrix product, and ink saturates.
    """
    chars, people = strokes.shape[:2]
    pen = 0.44 * (0.05 * torch.randn(people, generator=random)).exp()  # everybody had the same pen
    grid = torch.arange(size) + 0.5
    away = (strokes.flatten(2, 3)[..., None] * size - grid) * (SIZE / size)
    blot = torch.exp(-0.5 * (away / pen[None, :, None, None, None]) ** 2)
    weight = mask[:, None, :, None].expand(chars, people, STROKES, POINTS).flatten(2, 3)
    speed = (strokes.diff(dim=3, prepend=strokes[:, :, :, :1]).norm(dim=-1)).flatten(2, 3) * SIZE
    columns, rows = blot[..., 0, :], blot[..., 1, :]
    ink = (rows * (weight * speed.clamp_min(0.02))[..., None]).mT @ columns
    ink = 1 - torch.exp(-2.0 * ink)
    return (255 * ink).round().to(torch.uint8).unsqueeze(2)
