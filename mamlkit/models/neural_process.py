"""Parts of neural processes: an encoder of pairs, a decoder of mean and deviation, attention."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softplus

from mamlkit import checks
from mamlkit.models.layers import mlp


class MeanAndDeviation(nn.Module):
    """From two numbers a point to a mean and a standard deviation above a floor.

    floor: the smallest deviation. Garnelo et al. 2018 use 0.1, which caps the log-likelihood at
        1.384 nats a point; here 0.01, so that noise of 0.1 is for the network to find out.

    >>> MeanAndDeviation()(torch.zeros(3, 2))[:, 1]
    tensor([0.7031, 0.7031, 0.7031])
    """

    def __init__(self, floor: float = 0.01) -> None:
        super().__init__()
        self.floor = checks.check_float("MeanAndDeviation", "floor", floor, above=0)

    def extra_repr(self) -> str:
        """Return the floor, for a card."""
        return f"floor={self.floor}"

    def forward(self, raw: Float[Tensor, "*points 2"]) -> Float[Tensor, "*points 2"]:
        """Return (mean, deviation)."""
        mean, deviation = raw.unbind(-1)
        return torch.stack([mean, self.floor + softplus(deviation)], -1)


class PositionCode(nn.Module):
    """Append the sines and cosines of one column at five frequencies (Vaswani et al. 2017, 3.5).

    How transformers are told a position, here for a real number; it spares a network learning
    what is smooth, and periodic, from straight pieces. Waves of frequency 1 are among its own.

    column: of the input, the first or the last.

    >>> PositionCode()(torch.zeros(4, 2)).shape
    torch.Size([4, 12])
    """

    frequencies = 0.25, 0.5, 1.0, 2.0, 4.0
    added = 2 * len(frequencies)

    def __init__(self, column: int = 0) -> None:
        super().__init__()
        self.column = checks.check_choice("PositionCode", "column", column, (0, -1))

    def extra_repr(self) -> str:
        """Return column and frequencies, for a card."""
        return f"column={self.column}, frequencies={self.frequencies}"

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points coded"]:
        """Return x with the codes behind it."""
        angles = [f * x[:, self.column] for f in self.frequencies]
        codes = [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
        return torch.cat([x, torch.stack(codes, -1)], -1)


def coded_mlp(*widths: int, column: int = 0, code: bool = False) -> nn.Sequential:
    """Return an `mlp` of these widths, behind a `PositionCode` if there is to be one."""
    first, *others = widths
    network = mlp(first + (PositionCode.added if code else 0), *others)
    return nn.Sequential(PositionCode(column), *network) if code else network


class NeuralProcess(nn.Module):
    """Encoder and decoder of a conditional neural process (Garnelo et al. 2018a, section 2).

    width: of every hidden layer and of the representation. inputs: numbers in x. code: whether
        they see x through a `PositionCode`, too.

    `encoder` maps pairs `[points, inputs + 1]` to representations `[points, width]`; `decoder`
    maps a representation beside x, `[points, width + inputs]`, to mean and deviation `[points, 2]`.

    >>> parts = NeuralProcess(width=32)
    >>> parts.decoder(torch.cat([parts.encoder(torch.zeros(4, 2)), torch.zeros(4, 1)], -1)).shape
    torch.Size([4, 2])
    """

    def __init__(self, *, width: int = 128, inputs: int = 1, code: bool = False) -> None:
        width = checks.check_int(type(self).__name__, "width", width, low=1)
        check_inputs(type(self).__name__, inputs, code)
        super().__init__()
        self.encoder = coded_mlp(inputs + 1, width, width, width, code=code)
        decoder = coded_mlp(width + inputs, width, width, 2, column=-1, code=code)
        self.decoder = decoder.append(MeanAndDeviation())


def check_inputs(caller: str, inputs: int, code: bool) -> None:
    """Raise for a position code of several columns, of which it would see one."""
    code = checks.check_bool(caller, "code", code)
    if checks.check_int(caller, "inputs", inputs, low=1) > 1 and code:
        raise ValueError(
            f"{caller}: code=True is for one number in x, there are {inputs}; use code=False, or "
            "append sines and cosines to your x"
        )


def check_heads(caller: str, heads: int, width: int) -> None:
    """Raise unless a width can be shared out among so many heads."""
    heads = checks.check_int(caller, "heads", heads, low=1)
    if checks.check_int(caller, "width", width, low=1) % heads:
        raise ValueError(f"{caller}: a width of {width} cannot be shared out among {heads} heads")


class CrossAttention(nn.Module):
    """Attention from x to the points of a support set, by what is near in x (Kim et al. 2019).

    heads: of width `width / heads` each. Keys and queries come from x alone, by a small network.

    >>> attention = CrossAttention(width=32, heads=4)
    >>> x, r = torch.zeros(5, 1), torch.zeros(5, 32)
    >>> attention(torch.zeros(7, 1), x, r, torch.ones(5, dtype=torch.bool)).shape
    torch.Size([7, 32])
    """

    def __init__(self, *, width: int, heads: int, inputs: int = 1, code: bool = False) -> None:
        check_heads("CrossAttention", heads, width)
        super().__init__()
        self.heads = heads
        self.place = coded_mlp(inputs, width, width, code=code)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "queries inputs"],
        support_x: Float[Tensor, "points inputs"],
        values: Float[Tensor, "points width"],
        seen: Bool[Tensor, " points"],
    ) -> Float[Tensor, "queries width"]:
        """Return for each x a mean of the values, weighed by how well its place fits theirs."""
        split = lambda t: t.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        query, key, value = map(split, (self.place(x), self.place(support_x), self.value(values)))
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=seen[None, None])
        return self.out(mixed.transpose(0, 1).flatten(1))


class AttentiveProcess(NeuralProcess):
    """The parts of a neural process and `attention` (Kim et al. 2019, figure 2, upper path).

    width, inputs, code: as for `NeuralProcess`. heads: of the attention.
    """

    def __init__(
        self, *, width: int = 128, heads: int = 8, inputs: int = 1, code: bool = False
    ) -> None:
        super().__init__(width=width, inputs=inputs, code=code)
        self.attention = CrossAttention(width=width, heads=heads, inputs=inputs, code=code)
