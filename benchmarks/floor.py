"""The arithmetic floor: the matrix products that an Omniglot meta-step consists of, alone.

They are timed at their shapes, in the same rounds as the meta-steps, by torch's `mm` and `bmm`.

A convolution is X W: patches `[positions, 9 channels]` times weights `[9 channels, 64]`. One inner
step, with θ shared by the tasks and θ' of each task's own, needs for every layer

    support, forward           Y  = X W                     shared weights
    support, inner gradient    G  = Xᵀ dY                   one for each task
                               dX = dY Wᵀ                   shared
    query, forward             Y' = X' W'                   of each task
    query, gradient            V  = X'ᵀ dY',  dX' = dY' W'ᵀ of each task
    through G = Xᵀ dY          dY Vᵀ and X V                of each task
    through dX = dY Wᵀ         D W and Dᵀ dY                shared
    through Y = X W            E Wᵀ and Xᵀ E                shared

where D and E are what comes back for dX and Y. The first layer needs no gradient for the images,
and with it six of the twelve go.
"""

from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.peers.networks import finish

FILTERS = 64
SIDES = 14, 7, 4, 2  # of the images after each convolution, from 28x28


@dataclass(frozen=True)
class Product:
    """`[batch, rows, inner] @ [batch, inner, columns]`; `left`, `right`: stored transposed."""

    batch: int
    rows: int
    inner: int
    columns: int
    left: bool = False
    right: bool = False

    @property
    def flops(self):
        """Multiplications and additions."""
        return 2 * self.batch * self.rows * self.inner * self.columns

    def call(self, device):
        """Return a function that multiplies two random factors as they lie in memory."""
        draw = lambda *sides: torch.rand(self.batch, *sides, device=device)
        rows, inner, columns = self.rows, self.inner, self.columns
        a = draw(inner, rows).mT if self.left else draw(rows, inner)
        b = draw(columns, inner).mT if self.right else draw(inner, columns)
        if self.batch == 1:
            return partial(torch.mm, a[0], b[0], out=draw(rows, columns)[0])
        return partial(torch.bmm, a, b, out=draw(rows, columns))


def products(tasks, shots, queries, ways=5):
    """Return all matrix products of one meta-step, in the order of the table above."""
    every = []
    for layer, side in enumerate(SIDES):
        patch = 9 * (1 if layer == 0 else FILTERS)
        support, query = ways * shots * side**2, ways * queries * side**2
        together = tasks * support
        forward = lambda batch, rows, k=patch: Product(batch, rows, k, FILTERS)
        weights = lambda batch, rows, k=patch: Product(batch, k, rows, FILTERS, left=True)
        inputs = lambda batch, rows, k=patch: Product(batch, rows, FILTERS, k, right=True)
        every += [forward(1, together), weights(tasks, support)]
        every += [forward(tasks, query), weights(tasks, query)]
        every += [forward(tasks, support), weights(1, together)]
        if layer > 0:
            every += [inputs(1, together), inputs(tasks, query), inputs(tasks, support)]
            every += [forward(1, together), weights(1, together), inputs(1, together)]
    return every


class Floor:
    """A contender that does nothing but the products."""

    def __init__(self, *, tasks, shots, queries, device="cpu"):
        self.device = torch.device(device)
        every = products(tasks, shots, queries)
        calls = {product: product.call(self.device) for product in set(every)}
        self.calls = [calls[product] for product in every]

    def run(self, iterations):
        """Multiply what so many meta-iterations multiply."""
        for _ in range(iterations):
            for call in self.calls:
                call()
        finish(self.device)


def flops(tasks, shots, queries):
    """Return the FLOPs of one meta-step's matrix products."""
    return sum(product.flops for product in products(tasks, shots, queries))
