"""Rules that change the matrix products of a graph, or what is next to them, for speed."""

import torch
from torch.fx import Node

from mamlkit.training.products.graph import PRODUCTS, WORTH, aten, call, replace, turned


class Simpler:
    """Less arithmetic. Rules found by reading the code generated for the sinusoid meta-step:

    - A product over an inner dimension of 1 is no product: it becomes a multiplication, which the
      compiler merges with its neighbours.
    - Nor is a small product with a vector: a multiplication and a sum.
    - A number that multiplies a large operand, such as the inner step size, multiplies the smaller
      product instead: A (αB) becomes α (A B).
    - Zeros are not added to a product: A B + 0 becomes A B. (To an input they are: what held the
      sum may have to outlive a change of that input in place.) Nor is a sum of transposed matrices
      transposed back: (Aᵀ + Bᵀ)ᵀ becomes A + B.
    """

    def __call__(self, graph):
        """Rewrite the graph in place."""
        replace(graph, (aten.add.Tensor,), self._sum)
        replace(graph, (aten.permute.default,), self._turned_back)
        replace(graph, PRODUCTS, self._product)

    def _sum(self, graph, node):
        for zeros, other in (node.args, node.args[::-1]):
            if _zero(zeros) and _is(other, *PRODUCTS) and not node.kwargs:
                here, there = node.meta["val"], other.meta["val"]
                if here.shape == there.shape and here.dtype == there.dtype:
                    return other
        return None

    def _turned_back(self, graph, node):
        total, dims = node.args
        terms = total.args if _is(total, aten.add.Tensor) and not total.kwargs else ()
        there = [term.args[1] for term in terms if _is(term, aten.permute.default)]
        if len(there) == 2 and all([order[d] for d in dims] == sorted(dims) for order in there):
            return call(graph, aten.add.Tensor, *(term.args[0] for term in terms))
        return None

    def _product(self, graph, node):
        a, b = node.args
        rows, inner = a.meta["val"].shape[-2:]
        columns = b.meta["val"].shape[-1]
        if inner == 1:
            return call(graph, aten.mul.Tensor, a, b)
        if 1 in (rows, columns) and a.meta["val"].numel() * columns < WORTH and _floats(node):
            if columns == 1:
                return _summed(graph, call(graph, aten.mul.Tensor, a, turned(graph, b)), -1)
            return _summed(graph, call(graph, aten.mul.Tensor, turned(graph, a), b), -2)
        a, outside_a = _peel(graph, a) if inner > columns else (a, 1)
        b, outside_b = _peel(graph, b) if inner > rows else (b, 1)
        if (a, b) == node.args:
            return None
        return call(graph, aten.mul.Tensor, call(graph, node.target, a, b), outside_a * outside_b)


class Ordered:
    """The same arithmetic in the order that a CPU does fast. Three rules:

    - A batch of products with many rows and few columns is slow (25 times 40x40 by 40x10: 60 to
      120 µs; its transpose, 16 µs), so A B becomes (Bᵀ Aᵀ)ᵀ.
    - A sum over tasks of transposed matrices is the transposed sum: read as they lie.
    - A sum over tasks and points is first one over the points: the loop of the task's other sums
      then takes it in, which reads all of them once.
    """

    def __call__(self, graph):
        """Rewrite the graph in place."""
        replace(graph, (aten.bmm.default,), self._product)
        replace(graph, (aten.sum.dim_IntList,), self._sum)
        replace(graph, (aten.sum.dim_IntList,), self._points_first)

    def _product(self, graph, node):
        a, b = node.args
        rows, columns = node.meta["val"].shape[-2:]
        if not rows > columns > 1:
            return None
        return turned(graph, call(graph, aten.bmm.default, turned(graph, b), turned(graph, a)))

    def _sum(self, graph, node):
        summed, dims, *keep = node.args
        flipped = summed.target is aten.permute.default and summed.args[1] == [0, 2, 1]
        if not (flipped and dims == [0] and keep == [True] and not node.kwargs):
            return None
        return turned(graph, call(graph, aten.sum.dim_IntList, summed.args[0], dims, True))

    def _points_first(self, graph, node):
        summed, dims, *keep = node.args
        if not (dims and dims[0] == 0 and dims[1:] and keep == [True] and not node.kwargs):
            return None  # no dims: over all of them
        within = call(graph, aten.sum.dim_IntList, summed, dims[1:], True)
        return call(graph, aten.sum.dim_IntList, within, [0], True)


def _is(node, *targets):
    return isinstance(node, Node) and node.target in targets


def _zero(node):
    """Whether it is a tensor of zeros, as it was made or seen otherwise."""
    while _is(node, aten.permute.default, aten.expand.default):
        node = node.args[0]
    return _is(node, aten.full.default) and node.args[1] == 0


def _summed(graph, node, dim):
    return call(graph, aten.sum.dim_IntList, node, [dim], True)


def _floats(node):
    """Whether its numbers are those that neither overflow nor change their kind when multiplied."""
    return node.meta["val"].dtype in (torch.float32, torch.float64)


def _peel(graph, node):
    """`(inner, number)` with node = number * inner, both of one dtype that no number overflows."""
    inner = node.args[0] if node.args else None
    if not _floats(node) or getattr(inner, "meta", {}).get("val") is None:
        return node, 1
    if inner.meta["val"].dtype != node.meta["val"].dtype:  # whole numbers, which no product takes
        return node, 1
    if node.target is aten.neg.default:
        found, number = _peel(graph, inner)
        return found, -number
    if node.target is aten.mul.Tensor and isinstance(node.args[1], (int, float)):
        found, number = _peel(graph, inner)
        return found, number * node.args[1]
    if node.target is aten.permute.default:
        found, number = _peel(graph, inner)
        if number != 1:
            return call(graph, aten.permute.default, found, node.args[1]), number
    return node, 1
