"""Rules that change the matrix products of a graph, or what is next to them, for speed."""

import torch

from mamlkit.training.products.graph import PRODUCTS, call, turned

aten = torch.ops.aten


class Simpler:
    """Less arithmetic. Two rules, found by reading the code generated for the sinusoid meta-step:

    - A product over an inner dimension of 1 is no product: it becomes a multiplication, which the
      compiler merges with its neighbours.
    - A number that multiplies a large operand, such as the inner step size, multiplies the smaller
      product instead: A (αB) becomes α (A B).
    """

    def __call__(self, graph):
        """Rewrite the graph in place."""
        _replace(graph, PRODUCTS, self._rewritten)

    def _rewritten(self, graph, node):
        a, b = node.args
        rows, inner = a.meta["val"].shape[-2:]
        columns = b.meta["val"].shape[-1]
        if inner == 1:
            return call(graph, aten.mul.Tensor, a, b)
        a, outside_a = _peel(graph, a) if inner > columns else (a, 1)
        b, outside_b = _peel(graph, b) if inner > rows else (b, 1)
        if (a, b) == node.args:
            return None
        return call(graph, aten.mul.Tensor, call(graph, node.target, a, b), outside_a * outside_b)


class Ordered:
    """The same arithmetic in the order that a CPU does fast. Two rules:

    - A batch of products with many rows and few columns is slow (25 times 40x40 by 40x10: 60 to
      120 µs; its transpose, 16 µs), so A B becomes (Bᵀ Aᵀ)ᵀ.
    - A sum over tasks of transposed matrices is the transposed sum: read as they lie.
    """

    def __call__(self, graph):
        """Rewrite the graph in place."""
        _replace(graph, (aten.bmm.default,), self._product)
        _replace(graph, (aten.sum.dim_IntList,), self._sum)

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


def _replace(graph, targets, rewritten):
    """Put `rewritten(graph, node)`, where it is not None, in the place of calls of `targets`."""
    for node in list(graph.nodes):
        if node.target in targets:
            with graph.inserting_before(node):
                new = rewritten(graph, node)
            if new:
                node.replace_all_uses_with(new)
                graph.erase_node(node)


def _peel(graph, node):
    """`(inner, number)` with node = number * inner, both of one dtype that no number overflows."""
    inner = node.args[0] if node.args else None
    kind = node.meta["val"].dtype
    if kind in (torch.float32, torch.float64) and getattr(inner, "meta", {}).get("val") is not None:
        if inner.meta["val"].dtype != kind:  # whole numbers, which a product would not take
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
