"""The two networks as everyone writes them, in plain torch."""

import torch
from torch import nn
from torch.nn.functional import batch_norm


class SineNetwork(nn.Module):
    """1-40-40-1 with ReLU, or another width."""

    def __init__(self, width=40):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.body(x))


class ScaleOutside(nn.Module):
    """Batch normalisation by the statistics of the batch, its scale and shift written out.

    Inside torch's `batch_norm`, scale and shift have silently wrong second derivatives under vmap
    (functorch issue 534; still so in torch 2.14). Who uses vmap must write this.
    """

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        scale, shift = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
        return batch_norm(x, None, None, training=True) * scale + shift


def batch_statistics(channels):
    """Return torch's own batch normalisation, without running statistics."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


class OmniglotNetwork(nn.Module):
    """Four 3x3 convolutions of stride 2 with 64 filters, normalised by the batch; a linear head.

    The convolutions have no bias, which the normalisation would take out again.
    """

    def __init__(self, ways, norm=batch_statistics):
        super().__init__()
        blocks = [
            nn.Sequential(
                nn.Conv2d(before, 64, 3, stride=2, padding=1, bias=False), norm(64), nn.ReLU()
            )
            for before in (1, 64, 64, 64)
        ]
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(64, ways)

    def forward(self, x):
        return self.head(self.body(x))


def load(network, params):
    """Load parameters into a network, on their device and in their precision; return it."""
    network.to(next(iter(params.values())))
    network.load_state_dict(params)
    return network


def copy_gradients(network):
    """Return the gradients that `backward` left in a network."""
    return {name: p.grad.clone() for name, p in network.named_parameters()}


def finish(device):
    """Wait for a GPU; the CPU does not run ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
