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
