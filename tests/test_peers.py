"""Other libraries as oracles: the same meta-gradient, from code that shares nothing with ours."""

import importlib

import pytest
import torch
from gradients import distance, double
from test_foreign_modules import Recurrent
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks import cases
from benchmarks.peers.higher_loop import Higher
from benchmarks.peers.plain_loop import Loop
from mamlkit import MAML, FewShot, SineNetwork, meta_gradient

NEEDS = {"parallel_metalearn": ("metalearn",), "jax_optax": ("jax", "optax")}
SMALL = {
    "sine": {"tasks": 4, "shots": 3, "queries": 5},
    "omniglot": {"tasks": 2, "shots": 1, "queries": 2},
}


class Convolutions(nn.Module):
    """A small CNN with group normalisation, tanh and pooling: not the network of the paper."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=3), nn.GroupNorm(2, 4), nn.Tanh(), nn.AvgPool2d(2)
        )
        self.head = nn.Linear(4 * 4 * 4, 3)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


def lstm(sines, alphabet):
    return Recurrent(), mse_loss, sines.sample(3, 5, 5)


def cnn(sines, alphabet):
    return Convolutions(), cross_entropy, FewShot(alphabet, 3, device="cpu").sample(3, 2, 2)


def sine_network(sines, alphabet):
    return SineNetwork(), mse_loss, sines.sample(5, 10, 10)


@pytest.mark.parametrize("peer", [Higher, Loop], ids=["higher", "plain loop"])
@pytest.mark.parametrize("case", [lstm, cnn, sine_network])
def test_meta_gradient_equals_a_peer(case, peer, sines, alphabet):
    """Bar: below 1e-10 in float64."""
    torch.manual_seed(0)
    module, loss, batch = case(sines, alphabet)
    module, batch = module.double(), double(batch)
    learner = MAML(module, loss, lr=0.05)
    with torch.backends.mkldnn.flags(enabled=False):  # its LSTM has no second derivative
        expected = peer(module, loss, lr=0.05).meta_gradient(batch)
    gradient, _ = meta_gradient(learner, learner.init(), batch)
    assert distance(gradient, expected) < 1e-10


def test_second_order_is_what_is_compared(sines):
    """Without it the gradient lies far from higher's, so the tests above can fail."""
    torch.manual_seed(0)
    module, batch = SineNetwork().double(), double(sines.sample(5, 10, 10))
    expected = Higher(module, mse_loss, lr=0.05).meta_gradient(batch)
    learner = MAML(module, mse_loss, lr=0.05)
    learner.first_order = True
    assert distance(meta_gradient(learner, learner.init(), batch)[0], expected) > 1e-2


def contenders():
    """(network, target) of every contender of the benchmarks."""
    targets = [(n, t) for n, named in cases.CONTENDERS.items() for t in named.values()]
    return sorted((n, t) for n, t in targets if not t.startswith("benchmarks.contender"))


@pytest.mark.parametrize(("network", "target"), contenders())
def test_every_contender_of_the_benchmarks(network, target):
    """In float32, from the same parameters on the same batch as mamlkit, eager."""
    module = target.split(":")[0].split(".")[-1]
    for library in NEEDS.get(module, ()):
        pytest.importorskip(library)
    eager = f"benchmarks.contender:{network.title()}Eager"
    contender, batch = cases.build(eager, network, SMALL[network])
    peer, _ = cases.build(target, network, SMALL[network])
    limit = 1e-5 if network == "sine" else 1e-4
    assert distance(contender.meta_gradient(batch), peer.meta_gradient(batch)) < limit


def test_peers_learn():
    """Each `run` really moves the parameters, as often as it says."""
    for name in ("plain_loop", "higher_loop", "torch_func"):
        kind = importlib.import_module(f"benchmarks.peers.{name}").Sine
        params = cases.parameters("sine")
        peer = kind(params, **SMALL["sine"], seed=0)
        peer.run(3)
        states = peer.optimizer.state_dict()["state"].values()
        assert all(int(state["step"]) == 3 for state in states)
