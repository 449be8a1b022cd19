"""Matrix products by a kernel that is faster, for these shapes, than the library torch asks."""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch._inductor.codecache import CppCodeCache

from mamlkit.training.products.graph import PRODUCTS, WORTH, aten, call, replace, turned

SOURCES = [Path(__file__).with_name(f"{name}.cpp") for name in ("kernel", "patched", "calls")]
LANES = 16  # of the widest vectors
COPY = 4  # multiplications in the time of copying a number
FEW = 64  # rows or columns that the kernel does not divide among threads
UNBOUNDED = 2**63 - 1  # `most()` where the kernel is faster at products of any size
PARTS, LONG = 16, 512  # at most so many parts of an inner dimension, and none shorter


@cache
def library():
    """The C++ files here, compiled and loaded, or None where it is of no use.

    torch multiplies float32 matrices with MKL. Small ones spend much of their time on the way
    there. Large ones leave half of AVX-512 unused on processors not made by Intel, and with AVX2,
    seen on one of AMD's, spend a sixth of theirs on copying factors that are read a few times.
    """
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return None
    try:
        found = CppCodeCache.load("\n".join(path.read_text() for path in SOURCES))
        found = ctypes.CDLL(found._name, mode=ctypes.RTLD_GLOBAL)  # compiled steps look for it
    except (OSError, RuntimeError, ImportError):  # then all is multiplied by torch itself
        return None
    found.mamlkit_most.restype = ctypes.c_int64
    return found if found.mamlkit_most() else None


@cache
def most():
    """Multiplications of the largest product, of one matrix with another, to give to the kernel."""
    return library().mamlkit_most() if library() else 0


def _declared(name, numbers=0):
    handle = "AtenTensorHandle"
    given = ", ".join([handle, handle, *["int64_t"] * numbers, f"{handle}*"])
    return f"AOTITorchError aoti_torch_cpu_{name}({given})"


class Shims(dict):
    """operation -> how to call it from C++. Can be written and read again, as caches ask."""

    def __init__(self):
        ours = torch.ops.mamlkit
        super().__init__(
            {
                ours.products.default: [_declared("products")],
                ours.patches_times.default: [_declared("patches_times")],
                ours.times_patches.default: [_declared("times_patches")],
                ours.pasted_product.default: [_declared("pasted_product", 2)],
            }
        )

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


class View(ctypes.Structure):
    """A tensor as the kernel sees it: `calls.cpp`."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("dimensions", ctypes.c_int64),
        ("sizes", ctypes.c_int64 * 5),
        ("steps", ctypes.c_int64 * 5),
    )

    @classmethod
    def of(cls, t):
        """That of `t`, which must live as long."""
        more = 5 - t.ndim
        sizes, steps = (*[1] * more, *t.shape), (*[0] * more, *t.stride())
        return cls(t.data_ptr(), t.ndim, (ctypes.c_int64 * 5)(*sizes), (ctypes.c_int64 * 5)(*steps))


def multiply(a, b, out):
    """`a @ b` into `out`, which is contiguous."""
    fill("products", a, b, out)


def fill(name, a, b, out):
    """Call a function of the kernel, which makes of `a` and `b` what it puts into `out`."""
    call = getattr(library(), f"mamlkit_{name}")
    call(*(ctypes.byref(View.of(t)) for t in (a, b, out)))


@products.register_fake
def _result(a, b):
    """The tensor for `a @ b`, still empty, or an error."""
    fit = a.ndim == b.ndim in (2, 3) and a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2]
    if not (fit and all(map(multiplied, (a, b)))):
        raise ValueError(
            f"products: two matrices of float32 on the CPU, or two batches of as many, got "
            f"{a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)} on {a.device}; use a @ b"
        )
    return a.new_empty((*a.shape[:-1], b.shape[-1]))


def multiplied(t):
    """Whether the kernel multiplies tensors like this."""
    return t.dtype == torch.float32 and t.device.type in ("cpu", "meta")


class ToKernel:
    """Give a graph's matrix products to the kernel, where they are worth a call."""

    def __call__(self, graph):
        """Rewrite the graph in place."""
        replace(graph, PRODUCTS, _rewritten)


def worth(node):
    """Whether the kernel is faster at this product."""
    a, b = (factor.meta["val"] for factor in node.args)
    multiplications = a.numel() * b.shape[-1]
    tasks = len(a) if a.ndim == 3 else 1
    large = multiplications >= WORTH and multiplications <= most() * tasks
    return large and multiplied(a) and multiplied(b)


def _rewritten(graph, node):
    """The product by the kernel. Where it is a few numbers, each a sum over very many, parts of the
    sum are products of their own, that threads share, and are added afterwards. None where it is
    not worth a call."""
    if not worth(node):
        return None
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
