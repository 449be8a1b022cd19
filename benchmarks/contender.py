"""mamlkit itself, through its public interface."""

from functools import partial
from itertools import cycle, islice

import torch
from torch.nn.functional import cross_entropy, mse_loss

import mamlkit
from benchmarks.peers.networks import finish
from mamlkit import MetaParams, MetaStep, OmniglotNetwork, SineNetwork, Sinusoids
from mamlkit.devices import generator


def meta_step(learner, params, compile, build=None):
    """Return a MetaStep with Adam on weights `params`; step sizes are the learner's own."""
    initial = learner.init()
    if isinstance(initial, MetaParams):
        params = initial._replace(weights=params)
    adam = lambda leaves: torch.optim.Adam(leaves, lr=1e-3, fused=True)
    return MetaStep(learner, params, adam, compile=compile, build=build, microbatch="auto")


def first_gradient(step, batch):
    """Return the gradient that the timed program itself computes in its first step.

    Adam's first moment is then (1 - 0.9) times the gradient.
    """
    step(batch)
    state = step.optimizer.state_dict()["state"]
    return {name: state[i]["exp_avg"] / (1 - 0.9) for i, name in enumerate(step.params)}


class Sine:
    """The sinusoid case; random numbers become waves inside the compiled step."""

    compile = True

    def __init__(self, params, *, tasks, shots, queries, seed, steps=1, kind="MAML"):
        hidden = len(params["body.0.bias"]), len(params["body.2.bias"])
        learner = getattr(mamlkit, kind)(SineNetwork(1, hidden), mse_loss, lr=0.01, steps=steps)
        self.device = next(iter(params.values())).device
        learner.module.to(self.device)
        sines = Sinusoids(device=self.device)
        self.step = meta_step(learner, params, self.compile, partial(sines.build, shots=shots))
        random = generator(seed, self.device)
        self.draw = partial(sines.draw, tasks, shots, queries, generator=random)

    def meta_gradient(self, batch):
        """Return the gradient of a program of its own, which takes the batch as it is."""
        step = meta_step(self.step.learner, self.step.params, self.compile)
        return first_gradient(step, batch)

    def run(self, iterations):
        """Train for so many iterations."""
        for _ in range(iterations):
            self.step(self.draw())
        finish(self.device)


class SineEager(Sine):
    """The same without a compiler."""

    compile = False


class Omniglot:
    """The Omniglot case. Its convolutions are products of patches: kernels in another order."""

    compile = True

    def __init__(self, params, batches, *, ways, lr, kind="MAML"):
        params = {from_peers(name): _as_product(value) for name, value in params.items()}
        learner = getattr(mamlkit, kind)(OmniglotNetwork(ways), cross_entropy, lr=lr)
        self.device = next(iter(params.values())).device
        learner.module.to(self.device)
        self.step = meta_step(learner, params, self.compile)
        self.batches = cycle(batches)

    def meta_gradient(self, batch):
        """Return the gradient in the layout of `nn.Conv2d`; moves the parameters."""
        gradient = first_gradient(self.step, batch)
        return {to_peers(name): _as_kernel(name, value) for name, value in gradient.items()}

    def run(self, iterations):
        """Train for so many iterations."""
        for batch in islice(self.batches, iterations):
            self.step(batch)
        finish(self.device)


class OmniglotEager(Omniglot):
    """The same without a compiler."""

    compile = False


def from_peers(name):
    """Return mamlkit's name of a parameter of `peers/networks.py`.

    >>> from_peers("body.0.0.weight"), from_peers("body.0.1.bias"), from_peers("head.weight")
    ('body.1.0.product.weight', 'body.1.1.bias', 'head.weight')
    """
    if not name.startswith("body."):
        return name
    _, block, layer, kind = name.split(".")
    return f"body.{int(block) + 1}.{layer}.{'product.' * (layer == '0')}{kind}"


def to_peers(name):
    """Return the name in `peers/networks.py` of a parameter of mamlkit.

    >>> to_peers("body.1.0.product.weight")
    'body.0.0.weight'
    """
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
