"""mamlkit itself, through its public interface."""

from functools import partial
from itertools import cycle, islice

import torch
from torch.nn.functional import cross_entropy, mse_loss

import mamlkit
from benchmarks.peers.networks import finish
from mamlkit import MetaStep, OmniglotNetwork, SineNetwork, Sinusoids
from mamlkit.devices import generator


class Contender:
    """A MetaStep on parameters in the layout of `peers/networks.py`."""

    compile = True

    def __init__(self, learner, params, build=None):
        params = {**learner.init(), **params}  # step sizes, where they are learned
        adam = lambda leaves: torch.optim.Adam(leaves, lr=1e-3, fused=True)
        self.step = MetaStep(learner, params, adam, compile=self.compile, build=build, chunk="auto")
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
    def __init__(self, params, *, tasks, shots, queries, seed, steps=1, kind="MAML"):
        hidden = len(params["body.0.bias"]), len(params["body.2.bias"])
        learner = getattr(mamlkit, kind)(SineNetwork(1, hidden), mse_loss, lr=0.01, steps=steps)
        device = next(iter(params.values())).device
        sines = Sinusoids(device=device)
        super().__init__(learner, params, build=partial(sines.build, shots=shots))
        self.draw = partial(sines.draw, tasks, shots, queries, generator=generator(seed, device))

    def meta_gradient(self, batch):
        """Of a program of its own, that takes the batch as it is."""
        alone = Contender(self.step.learner, self.step.params)
        return alone.meta_gradient(batch)

    def run(self, iterations):
        self.train(self.draw() for _ in range(iterations))


class SineEager(Sine):
    compile = False


class Omniglot(Contender):
    """Its convolutions are products of patches: the kernels in another order."""

    def __init__(self, params, batches, *, ways, lr, kind="MAML"):
        params = {ours(name): _as_product(value) for name, value in params.items()}
        learner = getattr(mamlkit, kind)(OmniglotNetwork(ways), cross_entropy, lr=lr)
        super().__init__(learner, params)
        self.batches = cycle(batches)

    def meta_gradient(self, batch):
        """In the layout of `nn.Conv2d`."""
        found = super().meta_gradient(batch)
        return {theirs(name): _as_kernel(name, value) for name, value in found.items()}

    def run(self, iterations):
        self.train(islice(self.batches, iterations))


class OmniglotEager(Omniglot):
    compile = False


def ours(name):
    """body.0.0.weight is body.1.0.product.weight here, body.0.1.bias is body.1.1.bias."""
    if not name.startswith("body."):
        return name
    _, block, layer, kind = name.split(".")
    return f"body.{int(block) + 1}.{layer}.{'product.' * (layer == '0')}{kind}"


def theirs(name):
    """The way back."""
    if not name.startswith("body."):
        return name
    _, block, layer, *_, kind = name.split(".")
    return f"body.{int(block) - 1}.{layer}.{kind}"


def _as_product(value):
    return value.permute(0, 2, 3, 1).flatten(1) if value.ndim == 4 else value


def _as_kernel(name, value):
    if "product" not in name:
        return value
    return value.unflatten(1, (3, 3, value.shape[1] // 9)).permute(0, 3, 1, 2)
