"""The arithmetic floor: the matrix products that a meta-step of the Omniglot network consists of,
timed alone, at their shapes, in the same rounds as the meta-steps. Each is done in the fastest of
the ways at hand: by torch's own `mm` or `bmm`, or by the kernel that a compiled meta-step gives
products to (`mamlkit/training/products`), as it stands or turned, (Bᵀ Aᵀ)ᵀ.

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

import time
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.peers.networks import finish
from mamlkit.training.products.kernel import library, multiply

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


def products(tasks, shots, queries, ways=5):
    """All matrix products of one meta-step, in the order of the table above."""
    found = []
    for layer, side in enumerate(SIDES):
        patch = 9 * (1 if layer == 0 else FILTERS)
        support, query = ways * shots * side**2, ways * queries * side**2
        together = tasks * support
        forward = lambda batch, rows, k=patch: Product(batch, rows, k, FILTERS)
        weights = lambda batch, rows, k=patch: Product(batch, k, rows, FILTERS, left=True)
        inputs = lambda batch, rows, k=patch: Product(batch, rows, FILTERS, k, right=True)
        found += [forward(1, together), weights(tasks, support)]
        found += [forward(tasks, query), weights(tasks, query)]
        found += [forward(tasks, support), weights(1, together)]
        if layer > 0:
            found += [inputs(1, together), inputs(tasks, query), inputs(tasks, support)]
            found += [forward(1, together), weights(1, together), inputs(1, together)]
    return found


class Floor:
    """Does nothing but the products; a contender like the others."""

    def __init__(self, *, tasks, shots, queries, device="cpu"):
        self.device = torch.device(device)
        self.fast = self.device.type == "cpu" and library() is not None
        found = products(tasks, shots, queries)
        chosen = {product: self._fastest(product) for product in set(found)}
        self.calls = [chosen[product] for product in found]

    def _fastest(self, product):
        ways = self._ways(product)
        return min(ways, key=self._seconds)

    def _ways(self, product):
        """Functions that multiply two factors as they lie in memory."""
        one = product.batch == 1
        shape = lambda *sides: sides if one else (product.batch, *sides)
        draw = lambda *sides: torch.rand(shape(*sides), device=self.device)
        rows, inner, columns = product.rows, product.inner, product.columns
        a = draw(inner, rows).mT if product.left else draw(rows, inner)
        b = draw(columns, inner).mT if product.right else draw(inner, columns)
        result, turned = draw(rows, columns), draw(columns, rows)
        ways = [partial(torch.mm if one else torch.bmm, a, b, out=result)]
        if self.fast:
            ways += [partial(multiply, a, b, result), partial(multiply, b.mT, a.mT, turned)]
        return ways

    def _seconds(self, way, tries=7):
        """The least time of a few tries."""
        found = []
        for _ in range(tries):
            start = time.perf_counter()
            way()
            finish(self.device)
            found.append(time.perf_counter() - start)
        return min(found)

    def run(self, iterations):
        for _ in range(iterations):
            for call in self.calls:
                call()
        finish(self.device)


def flops(tasks, shots, queries):
    """FLOPs of one meta-step's matrix products."""
    return sum(product.flops for product in products(tasks, shots, queries))
