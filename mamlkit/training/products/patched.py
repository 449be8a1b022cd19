"""Products with the patches of images, which the kernel cuts, or adds up again, as it goes."""

import torch
from torch import Tensor
from torch._inductor.decomposition import select_decomp_table
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx

from mamlkit.models.patches import DEFINED
from mamlkit.training.products.graph import PRODUCTS, aten, call, replace, turned
from mamlkit.training.products.kernel import LANES, UNBOUNDED, fill, most, multiplied, worth

ours = torch.ops.mamlkit
FLEXIBLE = {"mutates_args": (), "tags": [torch.Tag.flexible_layout]}
SAME_ORDER = aten.reshape.default, aten.view.default, aten._unsafe_view.default


@torch.library.custom_op("mamlkit::patches_times", **FLEXIBLE)
def patches_times(x: Tensor, b: Tensor) -> Tensor:
    """`P @ b` with P, the patches of images as a matrix, or a batch of both.

    x: `[batch, images, height, width, channels]`; without `batch` if b has none.
    b: `[batch, 9 channels, columns]`. Both float32, on the CPU, where `library()` is.
    Raises ValueError for other tensors, as the next two do.
    """
    return _filled("patches_times", x, b, _patches_times(x, b))


@patches_times.register_fake
def _patches_times(x, b):
    images, height, width, channels = x.shape[-4:]
    _check("patches_times", _beside(b, x) and b.shape[-2] == 9 * channels, x, b)
    return x.new_empty((*b.shape[:-2], images * places(height, width), b.shape[-1]))


@torch.library.custom_op("mamlkit::times_patches", **FLEXIBLE)
def times_patches(a: Tensor, x: Tensor) -> Tensor:
    """`a @ P`; see `patches_times`."""
    return _filled("times_patches", a, x, _times_patches(a, x))


@times_patches.register_fake
def _times_patches(a, x):
    images, height, width, channels = x.shape[-4:]
    fit = _beside(a, x) and a.shape[-1] == images * places(height, width)
    _check("times_patches", fit, a, x)
    return x.new_empty((*a.shape[:-1], 9 * channels))


@torch.library.custom_op("mamlkit::pasted_product", **FLEXIBLE)
def pasted_product(a: Tensor, b: Tensor, height: int, width: int) -> Tensor:
    """The images, of this size, to which the rows of `a @ b` as patches add up."""
    return _filled("pasted_product", a, b, _pasted_product(a, b, height, width))


@pasted_product.register_fake
def _pasted_product(a, b, height, width):
    fit = a.ndim == b.ndim in (2, 3) and a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2]
    fit = fit and a.shape[-2] % places(height, width) == b.shape[-1] % 9 == 0
    _check("pasted_product", fit, a, b)
    *batch, rows, _ = a.shape
    images = rows // places(height, width)
    return a.new_empty((*batch, images, height, width, b.shape[-1] // 9))


def _filled(name, a, b, c):
    fill(name, a, b, c)
    return c


def _beside(matrix, x):
    """Whether this is one matrix for images, or one for each batch of them."""
    return matrix.ndim in (2, 3) and matrix.shape[:-2] == x.shape[:-4]


def _check(name, fit, a, b):
    if not (fit and multiplied(a) and multiplied(b)):
        raise ValueError(
            f"{name}: tensors of float32 on the CPU whose sizes fit each other, got {a.dtype} "
            f"{tuple(a.shape)} and {b.dtype} {tuple(b.shape)} on {a.device}; use patches(x) and @"
        )


def places(height, width):
    """Where the filter stops in an image of this size."""
    return (height + 1) // 2 * ((width + 1) // 2)


class Patched:
    """Products with patches never form them, where the kernel is fast at that. With P the patches
    of X as a matrix:

    - P B and A P come from X, as do their transposes.
    - A B whose rows are patches that add up to images comes as these images. A sum of such products
      is a sum of images.
    """

    def __call__(self, graph):
        """Rewrite the graph in place."""
        if most() < UNBOUNDED:
            return  # only small products are given to the kernel here
        replace(graph, (ours.folded.default,), self._pasted)
        replace(graph, PRODUCTS, self._product)

    def _product(self, graph, node):
        if not worth(node):
            return None
        for side, factor in enumerate(node.args):
            x, flipped = _images(graph, factor)
            if x is None:
                continue
            other = node.args[1 - side]
            if flipped:  # A Pᵀ = (P Aᵀ)ᵀ, Pᵀ B = (Bᵀ P)ᵀ
                other = turned(graph, other)
            if (side == 0) != flipped:
                new = call(graph, ours.patches_times.default, x, other)
            else:
                new = call(graph, ours.times_patches.default, other, x)
            return turned(graph, new) if flipped else new
        return None

    def _pasted(self, graph, node):
        p, height, width = node.args
        return _images_of(graph, p, (height, width), node.meta["val"].shape)


def _images(graph, factor):
    """`(x, flipped)`: the images of whose patches this matrix, or else its transpose, consists.
    None for x where there are none, or too few channels to copy together."""
    while _unmoved(factor):
        factor = factor.args[0]
    flipped = _swapped(factor)
    rows = factor.args[0] if flipped else factor
    *batch, many, columns = rows.meta["val"].shape
    p = _in_order(rows)
    if p.target is not ours.patches.default or p.meta["val"].shape[-1] != columns:
        return None, flipped
    *_, height, width, channels = p.args[0].meta["val"].shape
    if channels < LANES or many % places(height, width):
        return None, flipped
    sizes = [*batch, many // places(height, width), height, width, channels]
    return call(graph, aten.reshape.default, p.args[0], sizes), flipped


def _images_of(graph, p, size, shape):
    """The images of this size, together of this shape, that patches add up to, where the patches
    are a product or a sum of products; else None."""
    p = _in_order(p, alone=True)
    if len(p.users) > 1:
        return None
    if p.target in PRODUCTS and worth(p):
        rows, columns = p.meta["val"].shape[-2:]
        if shape[-1] < LANES or columns != 9 * shape[-1] or rows % places(*size):
            return None
        images = call(graph, ours.pasted_product.default, *p.args, *size)
        return call(graph, aten.reshape.default, images, list(shape))
    if p.target is aten.add.Tensor and not p.kwargs and all(_alike(p, term) for term in p.args):
        terms = [_images_of(graph, term, size, shape) for term in p.args]
        return call(graph, aten.add.Tensor, *terms) if all(terms) else None
    return None


def _alike(node, other):
    return isinstance(other, Node) and other.meta["val"].shape == node.meta["val"].shape


def _in_order(node, alone=False):
    """The first node that holds the same numbers in the same order, whatever the shape.

    alone: and that nothing else reads, nor one between.
    """
    while (node.target in SAME_ORDER or _unmoved(node)) and not (alone and len(node.users) > 1):
        node = node.args[0]
    return node


def _unmoved(node):
    if node.target in (*SAME_ORDER, aten.expand.default):
        return node.args[0].meta["val"].shape == node.meta["val"].shape
    return node.target is aten.permute.default and list(node.args[1]) == sorted(node.args[1])


def _swapped(node):
    """Whether it is a transposed matrix, or a batch of them."""
    if node.target is not aten.permute.default:
        return False
    *batch, rows, columns = node.args[1]
    return [*batch, columns, rows] == sorted(node.args[1])


class SpelledOut:
    """Patches and what they add up to, number by number: the compiler merges that with what is
    before and after."""

    def __call__(self, graph):
        """Rewrite the graph in place."""
        replace(graph, tuple(DEFINED), self._numbers)

    def _numbers(self, graph, node):
        given, *rest = node.args
        value = given.meta["val"]
        with value.fake_mode:
            table = select_decomp_table()
            plain = make_fx(lambda x: DEFINED[node.target](x, *rest), decomposition_table=table)
            spelled = plain(value).graph
        first = next(n for n in spelled.nodes if n.op == "placeholder")
        return graph.graph_copy(spelled, {first: given})
