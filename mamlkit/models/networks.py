"""The two networks of Finn et al. 2017. Plain modules: nothing in them knows of meta-learning."""

from functools import partial
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from mamlkit import require
from mamlkit.models.layers import (
    BatchNorm,
    ChannelsLast,
    LayerNorm,
    PatchConvolution,
    SpatialMean,
)

NORMS = {"batch": BatchNorm, "layer": LayerNorm}


class SineNetwork(nn.Module):
    """The sinusoid network: two hidden layers of 40 units with ReLU (appendix A.1 of the paper).

    inputs: 1, or 3 for the oracle, which also sees amplitude and phase.
    hidden: units of each hidden layer.

    Maps x `[points, inputs]` to y `[points, 1]`. Its initial weights come from torch's global
    random state: call `torch.manual_seed` first.

    >>> import torch
    >>> SineNetwork()(torch.zeros(10, 1)).shape
    torch.Size([10, 1])
    """

    def __init__(self, inputs=1, hidden=(40, 40)):
        inputs = require.whole("SineNetwork", "inputs", inputs, least=1)
        if not isinstance(hidden, (tuple, list)):
            raise TypeError(
                f"SineNetwork: hidden must be a tuple of widths, got {require.shown(hidden)}"
            )
        widths = [inputs, *(require.whole("SineNetwork", "hidden", h, least=1) for h in hidden)]
        layers = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points 1"]:
        """y for x."""
        return self.head(self.body(x))


class OmniglotNetwork(nn.Module):
    """The Omniglot network: four convolutions, each normalised, and a linear head.

    Finn et al. 2017, section 5.2: 3x3 convolutions of stride 2 with 64 filters, batch
    normalisation, ReLU; the mean over what space is left; a linear head. Strided convolutions are
    products of patches with the channels last, for the sake of the compiled meta-step (see
    `PatchConvolution`). No convolution has a bias: normalisation would take it out again.

    ways: classes to tell apart.
    filters: of each convolution; one number, or four.
    channels, size: of the images, and their pixels on a side.
    norm: "batch", as in the paper, uses the statistics of the images it is given, always: it keeps
        no running ones, so it behaves the same in training and testing, and predictions for a
        query set depend on the whole set. "layer" normalises each image by itself, over all
        channels and places.
    features: what the head sees. "mean": of each filter over space, as in the paper. "all": every
        filter at every place that is left, four times as many for images of 28 pixels.
    halving: of the image at each convolution. "stride", as in the paper's Omniglot network,
        computes every second place only; "pool", as in Vinyals et al. 2016, computes all and keeps
        the largest of each 2x2, for four times the arithmetic.

    Maps images `[images, channels, height, width]` to scores `[images, ways]`. The head starts
    from zero, so an untrained network prefers no class.

    >>> import torch
    >>> OmniglotNetwork(ways=5)(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 5])
    >>> OmniglotNetwork(ways=5, filters=(16, 32, 64, 64), features="all").head.in_features
    256
    """

    def __init__(self, ways, *, filters=64, channels=1, size=28, norm="batch", features="mean",
                 halving="stride"):  # fmt: skip
        whole = partial(require.whole, "OmniglotNetwork", least=1)
        ways = whole("ways", ways)
        filters = tuple(filters) if isinstance(filters, (tuple, list)) else (filters,) * 4
        if len(filters) != 4:
            raise ValueError(
                f"OmniglotNetwork: filters must be one number or four, got {len(filters)}"
            )
        widths = [whole("channels", channels), *(whole("filters", f) for f in filters)]
        norm = NORMS[require.choice("OmniglotNetwork", "norm", norm, tuple(NORMS))]
        require.choice("OmniglotNetwork", "features", features, ("mean", "all"))
        require.choice("OmniglotNetwork", "halving", halving, ("stride", "pool"))
        places = (whole("size", size) + 15) // 16  # on a side, after halving four times
        super().__init__()
        pairs = pairwise(widths)
        if halving == "stride":
            layers = [ChannelsLast(), *(_strided(*pair, norm) for pair in pairs)]
        else:
            layers = [*(_pooled(*pair, norm) for pair in pairs), ChannelsLast()]
        self.body = nn.Sequential(*layers, SpatialMean() if features == "mean" else nn.Flatten())
        seen = filters[-1] * (1 if features == "mean" else places**2)
        self.head = nn.Linear(seen, ways)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, x: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images ways"]:
        """Scores of the images."""
        return self.head(self.body(x))


def _strided(before, after, norm):
    return nn.Sequential(PatchConvolution(before, after), norm(after), nn.ReLU())


def _pooled(before, after, norm):
    convolution = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
    pool = nn.MaxPool2d(2, ceil_mode=True)
    return nn.Sequential(convolution, norm(after, first=True), nn.ReLU(), pool)
