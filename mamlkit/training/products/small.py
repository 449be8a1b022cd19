"""Small matrix products, in the order that a CPU does fast."""

import torch

from mamlkit.training.products.graph import call, turned

aten = torch.ops.aten


class SmallProducts:
    """Rewrite the many small matrix products of a compiled meta-step.

    Three rules, found by reading the code generated for the sinusoid meta-step:

    - A product over an inner dimension of 1 is no product: it becomes a multiplication, which the
      compiler merges with its neighbours.
    - A number that multiplies a large operand, such as the inner step size, multiplies the smaller
      product instead: A (αB) becomes α (A B).
    - A batch of products with many rows and few columns is slow (25 times 40x40 by 40x10: 60 to
      120 µs; its transpose, 16 µs), so A B becomes (Bᵀ Aᵀ)ᵀ.
    """

    def __call__(self, graph):
        """Rewrite the graph in place."""
        for node in list(graph.nodes):
            if node.target in (aten.mm.default, aten.bmm.default):
                with graph.inserting_before(node):
                    new = self._rewritten(graph, node)
                if new:
                    node.replace_all_uses_with(new)
                    graph.erase_node(node)

    def _rewritten(self, graph, node):
        a, b = node.args
        rows, inner = a.meta["val"].shape[-2:]
        columns = b.meta["val"].shape[-1]
        if inner == 1:
            return call(graph, aten.mul.Tensor, a, b)
        if node.target is aten.mm.default:
            return None
        a, outside_a = _peel(graph, a) if inner > columns else (a, 1)
        b, outside_b = _peel(graph, b) if inner > rows else (b, 1)
        if columns > 1 and rows > columns:
            product = call(graph, aten.bmm.default, turned(graph, b), turned(graph, a))
            new = turned(graph, product)
        elif (a, b) != node.args:
            new = call(graph, aten.bmm.default, a, b)
        else:
            return None
        outside = outside_a * outside_b
        return new if outside == 1 else call(graph, aten.mul.Tensor, new, outside)


def _peel(graph, node):
    """`(inner, number)` with node = number * inner."""
    if node.target is aten.neg.default:
        inner, number = _peel(graph, node.args[0])
        return inner, -number
    if node.target is aten.mul.Tensor and isinstance(node.args[1], (int, float)):
        inner, number = _peel(graph, node.args[0])
        return inner, number * node.args[1]
    if node.target is aten.permute.default:
        inner, number = _peel(graph, node.args[0])
        if number != 1:
            return call(graph, aten.permute.default, inner, node.args[1]), number
    return node, 1
