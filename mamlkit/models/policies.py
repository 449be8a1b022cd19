"""Policies: networks whose output is a distribution of actions."""

import math
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mamlkit import checks
from mamlkit.models.layers import mlp


class GaussianPolicy(nn.Module):
    """A normal distribution of actions: a network for its mean, a learned deviation beside it.

    Finn et al. 2017, section 5.3: two hidden layers of 100 units with ReLU.

    observations, actions: numbers in each. hidden: units of each hidden layer, or of the only one.
    std: the deviation at the start, the same for every observation.

    Maps observations `[..., observations]` to the mean `[..., actions]` and the logarithm of the
    deviation `[actions]`.

    >>> mean, log_std = GaussianPolicy()(torch.zeros(20, 100, 2))
    >>> mean.shape, log_std
    (torch.Size([20, 100, 2]), Parameter containing:
    tensor([0., 0.], requires_grad=True))
    """

    def __init__(
        self,
        observations: int = 2,
        actions: int = 2,
        hidden: int | tuple[int, ...] = (100, 100),
        std: float = 1.0,
    ) -> None:
        super().__init__()
        count = partial(checks.check_int, "GaussianPolicy", low=1)
        hidden = hidden if isinstance(hidden, tuple | list) else (hidden,)
        widths = [count("observations", observations), *(count("hidden", n) for n in hidden)]
        self.mean = mlp(*widths, count("actions", actions))
        std = checks.check_float("GaussianPolicy", "std", std, above=0)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(std)))

    def forward(
        self, observations: Float[Tensor, "*batch observations"]
    ) -> tuple[Float[Tensor, "*batch actions"], Float[Tensor, " actions"]]:
        """Return mean and log deviation."""
        return self.mean(observations), self.log_std


class RecurrentActor(nn.Module):
    """A gated recurrent unit with two heads: logits of the actions, and the value to come.

    Cho et al. 2014 (arXiv:1406.1078), written with two linear layers, which batch over tasks and
    compile where `nn.GRUCell` does neither.

    observations, actions: numbers in each. hidden: numbers that it remembers.

    Maps observations `[games, observations]` and memory `[games, hidden]` to logits
    `[games, actions]`, value `[games]` and the new memory. Zeros are an empty memory.

    >>> actor = RecurrentActor(observations=7, actions=5)
    >>> logits, value, memory = actor(torch.zeros(3, 7), torch.zeros(3, 64))
    >>> logits.shape, value.shape, memory.shape
    (torch.Size([3, 5]), torch.Size([3]), torch.Size([3, 64]))
    """

    def __init__(self, observations: int, actions: int, hidden: int = 64) -> None:
        super().__init__()
        count = partial(checks.check_int, "RecurrentActor", low=1)
        inputs, self.hidden = count("observations", observations), count("hidden", hidden)
        self.gates = nn.Linear(inputs + hidden, 2 * hidden)
        self.candidate = nn.Linear(inputs + hidden, hidden)
        self.heads = nn.Linear(hidden, count("actions", actions) + 1)

    def forward(
        self, observations: Float[Tensor, "games observations"], memory: Float[Tensor, "games h"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, value and the new memory."""
        gates = self.gates(torch.cat([observations, memory], dim=-1)).sigmoid()
        forget, update = gates.chunk(2, dim=-1)
        candidate = self.candidate(torch.cat([observations, forget * memory], dim=-1)).tanh()
        memory = update * memory + (1 - update) * candidate
        heads = self.heads(memory)
        return heads[..., :-1], heads[..., -1], memory
