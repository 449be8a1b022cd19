"""Matrix products by a kernel that is faster, for these shapes, than the library torch asks."""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch._inductor.codecache import CppCodeCache

from mamlkit.training.products.graph import PRODUCTS, WORTH, aten, call, turned

SOURCE = Path(__file__).with_name("kernel.cpp")
LANES = 16  # of the widest vectors
COPY = 4  # multiplications in the time of copying a number
FEW = 64  # rows or columns that the kernel does not divide among threads
PARTS, LONG = 16, 512  # at most so many parts of an inner dimension, and none shorter


@cache
def library():
    """`kernel.cpp`, compiled and loaded, or None where it is of no use.

    torch multiplies float32 matrices with MKL. Small ones spend much of their time on the way
    there. Large ones leave half of AVX-512 unused on processors not made by Intel, and with AVX2,
    seen on one of AMD's, spend a sixth of theirs on copying factors that are read a few times.
    """
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return None
    try:
        found = CppCodeCache.load(SOURCE.read_text())
        found = ctypes.CDLL(found._name, mode=ctypes.RTLD_GLOBAL)  # compiled steps look for it
    except (OSError, RuntimeError, ImportError):  # then all is multiplied by torch itself
        return None
    found.mamlkit_products.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 10
    found.mamlkit_most.restype = ctypes.c_int64
    return found if found.mamlkit_most() else None


@cache
def most():
    """Multiplications of the largest product, of one matrix with another, to give to the kernel."""
    return library().mamlkit_most() if library() else 0


class Shims(dict):
    """operation -> how to call it from C++. Can be written and read again, as caches ask."""

    def __init__(self):
        handle = "AtenTensorHandle"
        declared = f"AOTITorchError aoti_torch_cpu_products({handle}, {handle}, {handle}*)"
        super().__init__({torch.ops.mamlkit.products.default: [declared]})

    def __reduce__(self):
        return Shims, ()


def options():
    """What tells TorchInductor to call the kernel without a detour through Python."""
    return {"aot_inductor.custom_ops_to_c_shims": Shims()} if library() else {}


@torch.library.custom_op("mamlkit::products", mutates_args=(), tags=[torch.Tag.flexible_layout])
def products(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` for float32 on the CPU, where `library()` is: two matrices, or two batches.

    Raises ValueError for other tensors.
    """
    c = _result(a, b)
    if a.numel() and b.numel():
        multiply(a, b, c)
    return c.zero_() if not a.shape[-1] else c


def multiply(a, b, out):
    """`a @ b` into `out`, which is contiguous."""
    batch = len(a) if a.ndim == 3 else 1
    strides = [t.stride() if t.ndim == 3 else (0, *t.stride()) for t in (a, b)]
    addresses = a.data_ptr(), b.data_ptr(), out.data_ptr()
    library().mamlkit_products(
        *addresses, batch, *out.shape[-2:], a.shape[-1], *strides[0], *strides[1]
    )


@products.register_fake
def _result(a, b):
    """The tensor for `a @ b`, still empty, or an error."""
    fit = a.ndim == b.ndim in (2, 3) and a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2]
    if not (fit and all(map(_multiplied, (a, b)))):
        raise ValueError(
            f"products: two matrices of float32 on the CPU, or two batches of as many, got "
            f"{a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)} on {a.device}; use a @ b"
        )
    return a.new_empty((*a.shape[:-1], b.shape[-1]))


def _multiplied(t):
    return t.dtype == torch.float32 and t.device.type in ("cpu", "meta")


class ToKernel:
    """Give a graph's matrix products to the kernel, where they are worth a call."""

    def __call__(self, graph):
        """Rewrite the graph in place."""
        for node in list(graph.nodes):
            if node.target in PRODUCTS and _worth(node):
                with graph.inserting_before(node):
                    new = _rewritten(graph, node)
                node.replace_all_uses_with(new)
                graph.erase_node(node)


def _worth(node):
    a, b = (factor.meta["val"] for factor in node.args)
    multiplications = a.numel() * b.shape[-1]
    tasks = len(a) if a.ndim == 3 else 1
    large = multiplications >= WORTH and multiplications <= most() * tasks
    return large and _multiplied(a) and _multiplied(b)


def _rewritten(graph, node):
    """The product by the kernel. Where it is a few numbers, each a sum over very many, parts of the
    sum are products of their own, that threads share, and are added afterwards."""
    a, b = node.args
    read_turned = all(user.target is aten.permute.default for user in node.users)
    parts = _parts(node)
    if parts == 1:
        return _by_kernel(graph, a, b, read_turned)
    (rows, inner), columns = a.meta["val"].shape, b.meta["val"].shape[1]
    a = call(graph, aten.view.default, a, [rows, parts, inner // parts])
    a = call(graph, aten.permute.default, a, [1, 0, 2])
    b = call(graph, aten.view.default, b, [parts, inner // parts, columns])
    return call(graph, aten.sum.dim_IntList, _by_kernel(graph, a, b, read_turned), [0])


def _parts(node):
    """The most parts that the inner dimension falls into, of one length."""
    a, b = (factor.meta["val"] for factor in node.args)
    rows, inner, columns = *a.shape[-2:], b.shape[-1]
    if a.ndim == 3 or max(rows, columns) > FEW:
        return 1
    most = min(PARTS, inner // LONG)
    return next((n for n in range(most, 1, -1) if inner % n == 0), 1)


def _by_kernel(graph, a, b, read_turned):
    """A B, or the same as (Bᵀ Aᵀ)ᵀ, whichever is less work."""
    product = torch.ops.mamlkit.products.default
    rows, columns = a.meta["val"].shape[-2], b.meta["val"].shape[-1]
    result = a.meta["val"].shape[:-1].numel() * columns
    by_rows = _work(a, columns, _copied(a, -1) + _copied(b, -1) + result * read_turned)
    by_columns = _work(b, rows, _copied(a, -2) + _copied(b, -2) + result * (not read_turned))
    if by_columns < by_rows:
        return turned(graph, call(graph, product, turned(graph, b), turned(graph, a)))
    return call(graph, product, a, b)


def _work(left, columns, copied):
    """Multiplications, those of lanes without a column among them, and copies: of factors that
    would have to lie otherwise in memory, and of a result that is read otherwise."""
    lanes = -(-columns // LANES) * LANES
    return left.meta["val"].numel() * lanes + COPY * copied


def _copied(factor, side):
    """Numbers to copy where this dimension is the one that should lie together in memory."""
    value = factor.meta["val"]
    return 0 if value.stride()[side] == 1 else value.numel()
