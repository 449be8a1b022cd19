"""New nodes in a graph of tensor operations, with the shapes that they will have."""

import torch
from torch.fx import Node

aten = torch.ops.aten
PRODUCTS = aten.mm.default, aten.bmm.default
WORTH = 10**5  # multiplications; for fewer, calling the kernel costs more than is gained


def call(graph, target, *args):
    """A call of the operation `target`."""
    node = graph.call_function(target, args)
    node.meta["val"] = target(*(a.meta["val"] if isinstance(a, Node) else a for a in args))
    return node


def turned(graph, node):
    """The transposed matrices of a node, a view of it."""
    *batch, rows, columns = range(node.meta["val"].ndim)
    return call(graph, aten.permute.default, node, [*batch, columns, rows])


def replace(graph, targets, rewritten):
    """Put `rewritten(graph, node)`, where it is not None, in the place of calls of `targets`."""
    for node in list(graph.nodes):
        if node.target in targets:
            with graph.inserting_before(node):
                new = rewritten(graph, node)
            if new:
                node.replace_all_uses_with(new)
                graph.erase_node(node)
