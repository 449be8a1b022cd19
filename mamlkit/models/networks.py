"""The two networks of Finn et al. 2017. Plain modules: nothing in them knows of meta-learning."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from mamlkit import checks
from mamlkit.models.layers import BatchNorm, ChannelsLast, GlobalAvgPool, LayerNorm, PatchConv2d

NORMS = {
    "batch": BatchNorm,
    "layer": LayerNorm,
    "batch-shift": partial(BatchNorm, gain=False, eps=1e-3),
}


class SineNetwork(nn.Module):
    """The sinusoid network: two hidden layers of 40 units with ReLU (section 5.1 of the paper).

    inputs: 1, or 3 for the oracle, which also sees amplitude and phase.
    hidden: units of each hidden layer.

    Maps x `[points, inputs]` to y `[points, 1]`. Its initial weights come from torch's global
    random state: call `torch.manual_seed` first.

    >>> import torch
    >>> SineNetwork()(torch.zeros(10, 1)).shape
    torch.Size([10, 1])
    """

    def __init__(self, inputs: int = 1, hidden: tuple[int, ...] = (40, 40)) -> None:
        inputs = checks.check_int("SineNetwork", "inputs", inputs, low=1)
        if not isinstance(hidden, (tuple, list)):
            raise TypeError(
                f"SineNetwork: hidden must be a tuple of widths, got {checks.describe(hidden)}"
            )
        widths = [inputs, *(checks.check_int("SineNetwork", "hidden", h, low=1) for h in hidden)]
        layers = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points 1"]:
        """Return y for x."""
        return self.head(self.body(x))


class OmniglotNetwork(nn.Module):
    """The Omniglot network: four convolutions, each normalised, and a linear head.

    Finn et al. 2017, section 5.2: 3x3 convolutions of stride 2 with 64 filters, batch
    normalisation, ReLU; the mean over what space is left; a linear head. Strided convolutions are
    products of patches with the channels last, for the sake of the compiled meta-step (see
    `PatchConv2d`). No convolution has a bias: normalisation would take it out again.

    ways: classes to tell apart.
    filters: of each convolution; one number, or four.
    channels, size: of the images, and their pixels on a side.
    norm: "batch", as in the paper, uses the statistics of the images it is given, always: it keeps
        no running ones, so it behaves the same in training and testing, and predictions for a
        query set depend on the whole set. "layer" normalises each image by itself, over all
        channels and positions.
    features: what the head sees. "mean": of each filter over space, as in the paper. "all": every
        filter at every position that is left, four times as many for images of 28 pixels.
    downsample: of the image at each convolution. "stride", as in the paper's Omniglot network,
        computes every second position only; "pool", as in Vinyals et al. 2016, computes all and
        keeps the largest of each 2x2, for four times the arithmetic.
    head: where its weights start. "zeros": an untrained network prefers no class. "normal": from
        N(0, 1), as in the released code. "uniform": as `nn.Linear` does. Its biases start from zero
        with the first two.

    Maps images `[images, channels, height, width]` to scores `[images, ways]`.

    >>> import torch
    >>> OmniglotNetwork(ways=5)(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 5])
    >>> OmniglotNetwork(ways=5, filters=(16, 32, 64, 64), features="all").head.in_features
    256
    """

    def __init__(
        self,
        ways: int,
        *,
        filters: int | tuple[int, ...] = 64,
        channels: int = 1,
        size: int = 28,
        norm: str = "batch",
        features: str = "mean",
        downsample: str = "stride",
        head: str = "zeros",
    ) -> None:
        count = partial(checks.check_int, "OmniglotNetwork", low=1)
        ways = count("ways", ways)
        filters = tuple(filters) if isinstance(filters, (tuple, list)) else (filters,) * 4
        if len(filters) != 4:
            raise ValueError(
                f"OmniglotNetwork: filters must be one number or four, got {len(filters)}"
            )
        widths = [count("channels", channels), *(count("filters", f) for f in filters)]
        norm = NORMS[checks.check_choice("OmniglotNetwork", "norm", norm, tuple(NORMS))]
        checks.check_choice("OmniglotNetwork", "features", features, ("mean", "all"))
        checks.check_choice("OmniglotNetwork", "downsample", downsample, ("stride", "pool"))
        checks.check_choice("OmniglotNetwork", "head", head, ("zeros", "normal", "uniform"))
        positions = (count("size", size) + 15) // 16  # on a side, after downsample four times
        super().__init__()
        pairs = pairwise(widths)
        if downsample == "stride":
            layers = [ChannelsLast(), *(_strided(*pair, norm) for pair in pairs)]
        else:
            layers = [*(_pooled(*pair, norm) for pair in pairs), ChannelsLast()]
        self.body = nn.Sequential(*layers, GlobalAvgPool() if features == "mean" else nn.Flatten())
        width = filters[-1] * (1 if features == "mean" else positions**2)
        self.head = nn.Linear(width, ways)
        if head != "uniform":
            nn.init.normal_(self.head.weight, std=float(head == "normal"))
            nn.init.zeros_(self.head.bias)

    def forward(
        self, x: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images ways"]:
        """Return the scores of the images."""
        return self.head(self.body(x))


def _strided(before: int, after: int, norm: Callable[..., nn.Module]) -> nn.Module:
    return nn.Sequential(PatchConv2d(before, after), norm(after), nn.ReLU())


def _pooled(before: int, after: int, norm: Callable[..., nn.Module]) -> nn.Module:
    convolution = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
    pool = nn.MaxPool2d(2, ceil_mode=True)
    return nn.Sequential(convolution, norm(after, first=True), nn.ReLU(), pool)
