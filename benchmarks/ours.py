"""mamlkit itself, through its public interface."""

from itertools import cycle, islice

import torch
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.peers.networks import finish
from mamlkit import MAML, MetaStep, OmniglotNetwork, SineNetwork, Sinusoids


class Contender:
    """A MetaStep on parameters in the layout of `peers/networks.py`."""

    compile = True

    def __init__(self, learner, params):
        adam = lambda leaves: torch.optim.Adam(leaves, lr=1e-3)
        self.step = MetaStep(learner, params, adam, compile=self.compile)
        self.device = next(iter(params.values())).device
        learner.module.to(self.device)

    def meta_gradient(self, batch):
        """As the timed program itself computes it: Adam's first moment after its first step is
        (1 - 0.9) times the gradient. Moves the parameters, so it is asked for once."""
        self.step(batch)
        state = self.step.optimizer.state_dict()["state"]
        names = list(self.step.params)
        return {name: state[i]["exp_avg"] / (1 - 0.9) for i, name in enumerate(names)}

    def train(self, batches):
        for batch in batches:
            self.step(batch)
        finish(self.device)


class Sine(Contender):
    def __init__(self, params, *, tasks, shots, queries, seed, steps=1):
        torch.manual_seed(seed)
        hidden = len(params["body.0.bias"]), len(params["body.2.bias"])
        super().__init__(MAML(SineNetwork(1, hidden), mse_loss, lr=0.01, steps=steps), params)
        self.size, self.sines = (tasks, shots, queries), Sinusoids(device=self.device)

    def run(self, iterations):
        self.train(self.sines.sample(*self.size) for _ in range(iterations))


class SineEager(Sine):
    compile = False


class Omniglot(Contender):
    def __init__(self, params, batches, *, ways, lr):
        super().__init__(MAML(OmniglotNetwork(ways), cross_entropy, lr=lr), params)
        self.batches = cycle(batches)

    def run(self, iterations):
        self.train(islice(self.batches, iterations))


class OmniglotEager(Omniglot):
    compile = False
