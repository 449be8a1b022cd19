"""Norms without running statistics, patches for a convolution, and a stack of linear layers."""

from itertools import pairwise, product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad


def mlp(*widths: int) -> nn.Sequential:
    """Return a stack of linear layers of these widths with ReLU between them.

    >>> mlp(2, 64, 1)(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """
    layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class PatchConv2d(nn.Module):
    """A 3x3 convolution of stride 2 with zero padding of 1, as patches and one matrix product.

    What `nn.Conv2d(channels, filters, kernel_size=3, stride=2, padding=1, bias=False)` computes,
    with the channels last. Under `vmap`, weights of each task's own turn `nn.Conv2d` into a
    grouped convolution, slow in the double backward; here they turn one matrix product into a
    batch of matrix products, which make the faster compiled meta-step.

    channels, filters: of the images that come in, and of those that go out.

    Maps `[images, height, width, channels]` to half the height and width (rounded up) and `filters`
    channels.

    >>> PatchConv2d(1, 64)(torch.zeros(5, 28, 28, 1)).shape
    torch.Size([5, 14, 14, 64])
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.product = nn.Linear(9 * channels, filters, bias=False)

    def forward(
        self, x: Float[Tensor, "images height width channels"]
    ) -> Float[Tensor, "images half_height half_width filters"]:
        """Return the filtered images."""
        height, width = x.shape[1:3]
        x = pad(x, (0, 0, 0, width % 2, 0, height % 2))
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        quarters = [half.unbind(3) for half in x.unbind(2)]  # even and odd rows, columns
        taps = []
        for i, j in product((-1, 0, 1), repeat=2):  # row 2r + i and column 2c + j
            down, right = int(i < 0), int(j < 0)  # row 2r - 1 is the odd row before, or a zero
            taps.append(pad(quarters[i % 2][j % 2], (0, 0, right, -right, down, -down)))
        return self.product(torch.cat(taps, dim=-1))


class _Norm(nn.Module):
    """Subtract the mean, divide by the deviation, scale and shift each channel.

    first: whether channels come first, `[images, channels, height, width]`, or last.
    gain: whether to scale.
    """

    def __init__(
        self, channels: int, *, first: bool = False, eps: float = 1e-5, gain: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if gain else None
        self.bias = nn.Parameter(torch.zeros(channels))
        self.first, self.eps = first, eps

    def extra_repr(self) -> str:
        gain = "" if self.weight is not None else ", gain=False"
        return f"{len(self.bias)}, first={self.first}, eps={self.eps}{gain}"

    def shared_dims(self) -> tuple[int, ...]:
        """Return the dimensions that share a mean."""
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "images a b c"]) -> Float[Tensor, "images a b c"]:
        """Return the normalised images."""
        channelwise = lambda t: t[:, None, None] if self.first else t
        variance, mean = torch.var_mean(x, dim=self.shared_dims(), correction=0, keepdim=True)
        x = (x - mean) * torch.rsqrt(variance + self.eps)
        x = x if self.weight is None else x * channelwise(self.weight)
        return x + channelwise(self.bias)


class BatchNorm(_Norm):
    """Normalise each channel by its mean and variance over the images at hand.

    Ioffe and Szegedy 2015, algorithm 1: `nn.BatchNorm2d(channels, track_running_stats=False)`. It
    keeps no running statistics, so it behaves the same in training and in testing, and what it
    makes of one image depends on the others.
    """

    def shared_dims(self) -> tuple[int, ...]:
        """Return images and positions."""
        return (0, 2, 3) if self.first else (0, 1, 2)


class LayerNorm(_Norm):
    """Normalise each image by its own mean and variance.

    Ba, Kiros and Hinton 2016, for images as in Wu and He 2018: `nn.GroupNorm(1, channels)`. What
    it makes of one image does not depend on the others.
    """

    def shared_dims(self) -> tuple[int, ...]:
        """Return positions and channels."""
        return (1, 2, 3)


class ChannelsLast(nn.Module):
    """From images `[images, channels, height, width]` to `[images, height, width, channels]`."""

    def forward(
        self, x: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images height width channels"]:
        """Return the same images."""
        return x.movedim(1, -1)


class GlobalAvgPool(nn.Module):
    """The mean of each channel over the positions of the image."""

    def forward(
        self, x: Float[Tensor, "images height width channels"]
    ) -> Float[Tensor, "images channels"]:
        """Return one number a channel."""
        return x.mean(dim=(1, 2))
