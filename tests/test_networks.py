"""The Omniglot network's layers do what torch's own do; its options are what they say."""

import pytest
import torch
from torch import nn

from mamlkit import OmniglotNetwork
from mamlkit.models.layers import BatchNorm, LayerNorm, PatchConv2d


def channels_first(x):
    return x.movedim(-1, 1)


@pytest.mark.parametrize("height, width", [(28, 28), (7, 7), (5, 8), (1, 2)])
def test_patches_are_a_convolution(height, width):
    torch.manual_seed(0)
    ours = PatchConv2d(3, 6).double()
    theirs = nn.Conv2d(3, 6, kernel_size=3, stride=2, padding=1, bias=False).double()
    kernel = ours.product.weight.detach().unflatten(1, (3, 3, 3)).permute(0, 3, 1, 2)
    theirs.weight.data = kernel.contiguous()
    x = torch.randn(4, height, width, 3, dtype=torch.float64)
    torch.testing.assert_close(channels_first(ours(x)), theirs(channels_first(x)))


@pytest.mark.parametrize(
    "kind, theirs",
    [
        (BatchNorm, nn.BatchNorm2d(6, track_running_stats=False)),
        (LayerNorm, nn.GroupNorm(1, 6)),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_norms_are_torchs(kind, theirs, first):
    ours = kind(6, first=first)
    torch.manual_seed(0)
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        nn.init.normal_(parameter)
        other.data = parameter.data.clone()
    x = torch.randn(4, 5, 7, 6)
    found = ours(channels_first(x)) if first else channels_first(ours(x))
    torch.testing.assert_close(found, theirs(channels_first(x)))


def test_pooling_is_torchs_own_layers():
    torch.manual_seed(0)
    network = OmniglotNetwork(
        3, filters=(4, 5, 6, 7), norm="layer", features="all", downsample="pool"
    )
    nn.init.normal_(network.head.weight)
    theirs = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            theirs += [layer, nn.GroupNorm(1, layer.out_channels), nn.ReLU()]
            theirs += [nn.MaxPool2d(2, ceil_mode=True)]
    images = torch.rand(6, 1, 28, 28)
    features = nn.Sequential(*theirs)(images)
    assert features.shape == (6, 7, 2, 2)
    expected = network.head(features.movedim(1, -1).flatten(1))
    torch.testing.assert_close(network(images), expected, atol=1e-5, rtol=1e-4)


def test_the_papers_network_has_the_papers_size():
    """112,005 parameters: Finn's 112,261 without the 4 * 64 biases before normalisation."""
    assert sum(p.numel() for p in OmniglotNetwork(5).parameters()) == 112_005


@pytest.mark.parametrize("size, seen", [(28, 4), (16, 1), (17, 4), (33, 9)])
@pytest.mark.parametrize("downsample", ["stride", "pool"])
def test_all_features_are_those_at_every_position(size, seen, downsample):
    settings = {"channels": 2, "size": size, "features": "all", "downsample": downsample}
    network = OmniglotNetwork(3, filters=(2, 3, 4, 5), **settings)
    assert network.head.in_features == 5 * seen
    assert network(torch.zeros(2, 2, size, size)).shape == (2, 3)


def test_layer_norm_makes_predictions_independent():
    torch.manual_seed(0)
    network, images = OmniglotNetwork(5, filters=4, norm="layer"), torch.rand(6, 1, 28, 28)
    nn.init.normal_(network.head.weight)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone)
    paper = OmniglotNetwork(5, filters=4)
    nn.init.normal_(paper.head.weight)
    assert (paper(images)[0] - paper(images[:2])[0]).abs().max() > 0.01


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"filters": (8, 8)}, "filters must be one number or four, got 2"),
        ({"filters": (8, 8, 8, 0)}, "filters must be at least 1, got 0"),
        ({"norm": "group"}, "norm must be one of 'batch', 'layer', 'batch-shift'; got 'group'"),
        ({"features": "flat"}, "features must be one of 'mean', 'all'; got 'flat'"),
        ({"downsample": "half"}, "downsample must be one of 'stride', 'pool'; got 'half'"),
        ({"size": 0}, "size must be at least 1, got 0"),
    ],
)
def test_options_out_of_bounds(wrong, message):
    with pytest.raises(ValueError, match=message):
        OmniglotNetwork(5, **wrong)
