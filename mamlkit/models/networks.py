"""The two networks of Finn et al. 2017. Plain modules: nothing in them knows of meta-learning."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from mamlkit import require
from mamlkit.models.layers import BatchNorm, ChannelsLast, PatchConvolution, SpatialMean


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
    """The Omniglot network: four strided convolutions, each normalised by its batch.

    Finn et al. 2017, section 5.2: 3x3 convolutions of stride 2 with 64 filters, batch
    normalisation, ReLU; the mean over what space is left; a linear head. Batch normalisation uses
    the statistics of the images it is given, always: it keeps no running ones, so it behaves the
    same in training and testing, and predictions for a query set depend on the whole set. Inside,
    channels come last and convolutions are products of patches, for the sake of the compiled
    meta-step (see `PatchConvolution`). They have no bias: normalisation would take it out again.

    ways: classes to tell apart. filters: of each convolution. channels: of the images.

    Maps images `[images, channels, height, width]` to scores `[images, ways]`. The head starts
    from zero, so an untrained network prefers no class.

    >>> import torch
    >>> OmniglotNetwork(ways=5)(torch.zeros(3, 1, 28, 28)).shape
    torch.Size([3, 5])
    """

    def __init__(self, ways, *, filters=64, channels=1):
        ways = require.whole("OmniglotNetwork", "ways", ways, least=1)
        filters = require.whole("OmniglotNetwork", "filters", filters, least=1)
        channels = require.whole("OmniglotNetwork", "channels", channels, least=1)
        blocks = [
            nn.Sequential(PatchConvolution(before, filters), BatchNorm(filters), nn.ReLU())
            for before in (channels, filters, filters, filters)
        ]
        super().__init__()
        self.body = nn.Sequential(ChannelsLast(), *blocks, SpatialMean())
        self.head = nn.Linear(filters, ways)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, x: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images ways"]:
        """Scores of the images."""
        return self.head(self.body(x))
