"""The patches of an image that a strided convolution sees, and adding them up again."""

from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

_WHOLE = ContextVar("whole", default=False)


def patches(
    x: Float[Tensor, "*batch height width channels"],
) -> Float[Tensor, "*batch half_height half_width patch"]:
    """What each 3x3 filter of stride 2 sees, with zeros around the image: nine places a patch.

    Maps to half the height and width (rounded up) and 9 channels for each of before.

    >>> patches(torch.ones(5, 28, 28, 1)).shape
    torch.Size([5, 14, 14, 9])
    >>> patches(torch.ones(5, 28, 28, 1))[0, 0, 0]
    tensor([0., 0., 0., 0., 1., 1., 0., 1., 1.])
    """
    return _Patches.apply(x) if _WHOLE.get() else _cut(x)


@contextmanager
def whole():
    """Within, `patches` and its derivatives are recorded as one operation each,
    `torch.ops.mamlkit.patches` and `torch.ops.mamlkit.folded`, which a compiler can then recognise.
    """
    token = _WHOLE.set(True)
    try:
        yield
    finally:
        _WHOLE.reset(token)


TAPS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]  # row 2r + i and column 2c + j of a patch


def _cut(x):
    *batch, height, width, channels = x.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    x = functional.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    x = x.reshape(*batch, rows, 2, columns, 2, channels)
    halves = [half.unbind(-2) for half in x.unbind(-4)]  # even and odd rows, columns
    taps = []
    for i, j in TAPS:
        down, right = int(i < 0), int(j < 0)
        # Row 2r - 1 is the odd row before: all move down by one, zeros come in above.
        taps.append(functional.pad(halves[i % 2][j % 2], (0, 0, right, -right, down, -down)))
    return torch.cat(taps, dim=-1)


def _paste(p, height, width):
    """The transpose of `_cut`: each place of an image is the sum of what patches have there."""
    halves = [[0, 0], [0, 0]]
    for tap, (i, j) in zip(p.chunk(9, -1), TAPS, strict=True):
        half, up, left = halves[i % 2], int(i < 0), int(j < 0)
        half[j % 2] = half[j % 2] + functional.pad(tap, (0, 0, -left, left, -up, up))
    x = torch.stack([torch.stack(half, -2) for half in halves], -4)
    return x.flatten(-3, -2).flatten(-4, -3)[..., :height, :width, :]


@torch.library.custom_op("mamlkit::patches", mutates_args=())
def _patches(x: Tensor) -> Tensor:
    return _cut(x)


@_patches.register_fake
def _(x):
    return _cut(x)


@torch.library.custom_op("mamlkit::folded", mutates_args=())
def _folded(p: Tensor, height: int, width: int) -> Tensor:
    return _paste(p, height, width).contiguous()


@_folded.register_fake
def _(p, height, width):
    return p.new_empty((*p.shape[:-3], height, width, p.shape[-1] // 9))


# operation -> the same of simpler operations
DEFINED = {torch.ops.mamlkit.patches.default: _cut, torch.ops.mamlkit.folded.default: _paste}


class _Patches(Function):
    @staticmethod
    def forward(x):
        return torch.ops.mamlkit.patches(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.size = inputs[0].shape[-3:-1]

    @staticmethod
    def backward(ctx, gradient):
        return _Folded.apply(gradient, *ctx.size)

    @staticmethod
    def jvp(ctx, tangent):
        return _Patches.apply(tangent)

    @staticmethod
    def vmap(info, in_dims, x):
        return _Patches.apply(x.movedim(in_dims[0], 0)), 0


class _Folded(Function):
    @staticmethod
    def forward(p, height, width):
        return torch.ops.mamlkit.folded(p, height, width)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.size = inputs[1:]

    @staticmethod
    def backward(ctx, gradient):
        return _Patches.apply(gradient), None, None

    @staticmethod
    def jvp(ctx, tangent, *_):
        return _Folded.apply(tangent, *ctx.size)

    @staticmethod
    def vmap(info, in_dims, p, height, width):
        return _Folded.apply(p.movedim(in_dims[0], 0), height, width), 0
