"""What the peers train on: each case's network, loss, inner step and supply of task batches.

A peer brings a class with `__init__(network, loss, lr)`, `device` and `train(batches)`.
"""

from itertools import cycle, islice

import torch
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.peers.networks import OmniglotNetwork, SineNetwork, batch_statistics, load
from mamlkit import Sinusoids


class OnSines:
    """A peer on waves drawn as the run goes."""

    def __init__(self, params, *, tasks, shots, queries, seed):
        torch.manual_seed(seed)
        width = len(params["body.0.bias"])
        super().__init__(load(SineNetwork(width), params), mse_loss, lr=0.01)
        self.size, self.sines = (tasks, shots, queries), Sinusoids(device=self.device)

    def run(self, iterations):
        self.train(self.sines.sample(*self.size) for _ in range(iterations))


class OnEpisodes:
    """A peer on a few task batches in turn; `norm` makes the network's normalisation."""

    norm = staticmethod(batch_statistics)

    def __init__(self, params, batches, *, ways, lr):
        super().__init__(load(OmniglotNetwork(ways, self.norm), params), cross_entropy, lr)
        self.batches = cycle(batches)

    def run(self, iterations):
        self.train(islice(self.batches, iterations))
