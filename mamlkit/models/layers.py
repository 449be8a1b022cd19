"""A convolution written as one matrix product, which stays one when every task has own weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class PatchConvolution(nn.Module):
    """A 3x3 convolution of stride 2 with zero padding of 1, as patches and one matrix product.

    What `nn.Conv2d(channels, filters, kernel_size=3, stride=2, padding=1, bias=False)` computes,
    with the channels last. Under `vmap`, weights of each task's own turn `nn.Conv2d` into a
    grouped convolution, slow above all in its second derivative; here they turn one matrix product
    into a batch of matrix products, which every machine does fast.

    channels, filters: of the images that come in, and of those that go out.

    Maps `[images, height, width, channels]` to half the height and width (rounded up) and `filters`
    channels.

    >>> PatchConvolution(1, 64)(torch.zeros(5, 28, 28, 1)).shape
    torch.Size([5, 14, 14, 64])
    """

    def __init__(self, channels, filters):
        super().__init__()
        self.product = nn.Linear(9 * channels, filters, bias=False)

    def forward(
        self, x: Float[Tensor, "images height width channels"]
    ) -> Float[Tensor, "images half_height half_width filters"]:
        """The filtered images."""
        height, width = x.shape[1:3]
        x = functional.pad(x, (0, 0, 1, 1, 1, 1))
        rows, columns = (range(start, start + 3) for start in (0, 0))
        views = [x[:, i : i + height : 2, j : j + width : 2] for i in rows for j in columns]
        return self.product(torch.cat(views, dim=-1))


class BatchNorm(nn.Module):
    """Normalise each channel by the mean and variance of the images at hand, then scale and shift.

    `nn.BatchNorm2d(channels, track_running_stats=False)` with the channels last (Ioffe and Szegedy
    2015, algorithm 1). It keeps no running statistics, so it behaves the same in training and in
    testing, and what it does to one image depends on the others.
    """

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, track_running_stats=False)

    def forward(self, x: Float[Tensor, "*places channels"]) -> Float[Tensor, "*places channels"]:
        """The normalised images."""
        return self.norm(x.flatten(0, -2)).view(x.shape)
