"""A small transformer over the pairs of a support set, and one layer of linear self-attention."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mamlkit import checks
from mamlkit.models.layers import mlp
from mamlkit.models.neural_process import (
    MeanAndDeviation,
    check_heads,
    check_inputs,
    coded_mlp,
)


class Block(nn.Module):
    """One layer of a transformer: attention to the first points, then a network for each point.

    Vaswani et al. 2017, with the norms in front (Xiong et al. 2020).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.network = mlp(width, 2 * width, width)

    def forward(
        self, tokens: Float[Tensor, "tokens width"], seen: Bool[Tensor, " points"]
    ) -> Float[Tensor, "tokens width"]:
        """Return the tokens, each having looked at those of the first points that are seen."""
        split = lambda t: t.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        query, key, value = self.project(self.norms[0](tokens)).chunk(3, -1)
        key, value = key[: len(seen)], value[: len(seen)]
        parts = map(split, (query, key, value))
        mixed = scaled_dot_product_attention(*parts, attn_mask=seen[None, None])
        tokens = tokens + self.out(mixed.transpose(0, 1).flatten(1))
        return tokens + self.network(self.norms[1](tokens))


class InContextTransformer(nn.Module):
    """A transformer that reads a support set and answers queries (Müller et al. 2022, figure 1).

    A support point is a token made of (x, y), a query one made of x. All look at the support points
    and at nothing else: queries do not see each other, and since a token has no number, the order
    of the support set means nothing.

    inputs: numbers in x. width, layers, heads: of the transformer. deviation: answer with mean and
        standard deviation, `[queries, 2]`, or with y alone, `[queries, 1]`. code: whether it sees x
        through a `PositionCode`, too.

    >>> x, y = torch.zeros(5, 1), torch.zeros(5, 1)
    >>> InContextTransformer()(x, y, torch.zeros(7, 1)).shape
    torch.Size([7, 2])
    """

    def __init__(
        self,
        *,
        inputs: int = 1,
        width: int = 64,
        layers: int = 4,
        heads: int = 4,
        deviation: bool = True,
        code: bool = False,
    ) -> None:
        check_heads("InContextTransformer", heads, width)
        check_inputs("InContextTransformer", inputs, code)
        layers = checks.check_int("InContextTransformer", "layers", layers, low=1)
        deviation = checks.check_bool("InContextTransformer", "deviation", deviation)
        super().__init__()
        self.pair = coded_mlp(inputs + 1, width, width, code=code)
        self.query = coded_mlp(inputs, width, width, code=code)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1 + deviation))
        if deviation:
            self.head.append(MeanAndDeviation())

    def forward(
        self,
        support_x: Float[Tensor, "points inputs"],
        support_y: Float[Tensor, "points 1"],
        x: Float[Tensor, "queries inputs"],
        seen: Bool[Tensor, " points"] | None = None,
    ) -> Float[Tensor, "queries outputs"]:
        """Return the answers at x, given the support points that are `seen` (default: all)."""
        if seen is None:
            seen = torch.ones(len(support_x), dtype=torch.bool, device=x.device)
        pairs = self.pair(torch.cat([support_x, support_y], -1))
        tokens = torch.cat([pairs, self.query(x)])
        for block in self.blocks:
            tokens = block(tokens, seen)
        return self.head(tokens[len(support_x) :])


class LinearSelfAttention(nn.Module):
    """One layer of self-attention without softmax (von Oswald et al. 2023, section 2).

    A token is e = (x, y), a query (x, 0), and the layer adds P (Σᵢ V eᵢ (K eᵢ)ᵀ) Q e / N to it. The
    answer is minus the last number of the query's token, so that the four matrices *can* be those
    of one step of gradient descent from w = 0 (their proposition 1): Q and K pick x, V picks -y, P
    scales by the step size η.

    inputs: numbers in x.

    >>> x, y = torch.zeros(5, 3), torch.zeros(5, 1)
    >>> LinearSelfAttention(3)(x, y, torch.zeros(7, 3)).shape
    torch.Size([7, 1])
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        size = checks.check_int("LinearSelfAttention", "inputs", inputs, low=1) + 1
        names = "Q", "K", "V", "P"
        matrices = {name: nn.Parameter(torch.randn(size, size) / size) for name in names}
        self.matrices = nn.ParameterDict(matrices)

    def forward(
        self,
        support_x: Float[Tensor, "points inputs"],
        support_y: Float[Tensor, "points 1"],
        x: Float[Tensor, "queries inputs"],
    ) -> Float[Tensor, "queries 1"]:
        """Return the answers at x."""
        tokens = torch.cat([support_x, support_y], -1)
        queries = torch.cat([x, torch.zeros_like(x[:, :1])], -1)
        Q, K, V, P = (self.matrices[name] for name in ("Q", "K", "V", "P"))
        memory = (tokens @ V.T).T @ (tokens @ K.T) / len(tokens)
        return -((queries @ Q.T) @ memory.T @ P.T)[:, -1:]
