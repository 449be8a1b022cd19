"""Patches of images: recorded whole, differentiated, and multiplied without being formed."""

import pytest
import torch
from torch._inductor.decomposition import select_decomp_table
from torch.func import grad, jvp, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from mamlkit.models.patches import patches, whole
from mamlkit.training import compiling
from mamlkit.training.products import kernel as kernels
from mamlkit.training.products import patched
from mamlkit.training.products.patched import Patched, SpelledOut

ours = torch.ops.mamlkit
SIZES = [(14, 14), (7, 7), (4, 5), (1, 2), (9, 6)]


@pytest.fixture
def kernel():
    if kernels.most() < kernels.UNBOUNDED:
        pytest.skip("the kernel is not used for large products on this processor")


def folded(p, height, width):
    """The transpose of `patches`, by torch's derivatives."""
    _, pasted = vjp(patches, p.new_zeros(*p.shape[:-3], height, width, p.shape[-1] // 9))
    return pasted(p)[0]


@pytest.mark.parametrize("height, width", SIZES)
def test_patches_are_what_unfold_finds(height, width):
    x = torch.rand(3, height, width, 2)
    theirs = functional.unfold(x.movedim(-1, 1), 3, padding=1, stride=2)  # channels first
    theirs = theirs.unflatten(1, (2, 9)).permute(0, 3, 2, 1).flatten(2)
    assert patches(x).flatten(1, 2).equal(theirs)


@pytest.mark.parametrize("height, width", SIZES)
def test_whole_operations_have_the_derivatives_of_their_parts(height, width):
    """First and second ones, either way, with one more dimension of tasks or two."""
    torch.manual_seed(0)
    x, direction = torch.randn(2, 3, 4, height, width, 2, dtype=torch.float64)
    weights = torch.randn(18, 3, dtype=torch.float64)

    def loss(x, weights):
        return (patches(x) @ weights).tanh().square().sum()

    def everything():
        slope = lambda x, weights: grad(loss)(x, weights).square().sum()
        one = lambda x, t: jvp(lambda x: grad(slope)(x, weights), (x,), (t,))
        two = lambda x, t: vmap(one)(x, t)  # of images without a number of images
        plain = x.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(loss(plain, weights), plain, create_graph=True)
        (more,) = torch.autograd.grad(slopes.square().sum(), plain)
        return *one(x, direction), *vmap(two)(x, direction), slopes, more

    expected = everything()
    with whole():
        found = everything()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def _targets(graph):
    return [node.target for node in graph.nodes if node.op == "call_function"]


def test_whole_operations_are_recorded_where_asked_for_only():
    both = {ours.patches.default, ours.folded.default}
    slope = grad(lambda x: patches(x).square().sum())
    x = torch.rand(2, 5, 5, 3)
    with whole():
        assert both <= set(_targets(make_fx(slope)(x).graph))
    graph = make_fx(slope)(x)
    assert not both & set(_targets(graph.graph))
    with whole():
        again = make_fx(slope, tracing_mode="fake")(x)
    SpelledOut()(again.graph)
    again.recompile()
    assert not both & set(_targets(again.graph))
    torch.testing.assert_close(again(x), graph(x))


SHAPES = [  # batch, images, height, width, channels, columns; whole blocks, parts of them, many
    *[(3, 5, 14, 14, 64, 64), (2, 3, 4, 5, 16, 20), (1, 90, 7, 7, 64, 64)],
    *[(2, 5, 1, 2, 20, 7), (1, 2, 9, 6, 80, 33), (2, 1, 40, 40, 16, 3)],
]


@pytest.mark.parametrize("batch, images, height, width, channels, columns", SHAPES)
@pytest.mark.parametrize("oddly", [False, True])
@pytest.mark.usefixtures("kernel")
def test_products_with_patches_are_those_of_float64(
    batch, images, height, width, channels, columns, oddly
):
    """Of images with channels together in memory or apart, factors by rows or by columns."""
    torch.manual_seed(0)
    x = torch.randn(batch, images, height, width, channels)
    p = patches(x.double()).flatten(1, 3)
    b, a = torch.randn(batch, 9 * channels, columns), torch.randn(batch, columns, p.shape[1])
    if oddly:
        x = x.movedim(-1, 2).contiguous().movedim(2, -1)
        b, a = b.mT.contiguous().mT, a.mT.contiguous().mT
    product = (a.mT.double() @ b.mT.double()).unflatten(1, patches(x).shape[1:4])
    for found, exact in (
        (lambda x, a, b: ours.patches_times(x, b), p @ b.double()),
        (lambda x, a, b: ours.times_patches(a, x), a.double() @ p),
        (
            lambda x, a, b: ours.pasted_product(a.mT, b.mT, height, width),
            folded(product, height, width),
        ),
    ):
        for result, wanted in ((found(x, a, b), exact), (found(x[-1], a[-1], b[-1]), exact[-1])):
            assert result.shape == wanted.shape
            error = (result - wanted).norm() / wanted.norm()
            assert error < 1e-6


def _after(function, *inputs):
    """Operations of the recorded function once the rules have changed it."""
    with whole():
        record = make_fx(function, select_decomp_table(), tracing_mode="fake")
        graph = record(*inputs)
    for rule in (Patched(), SpelledOut()):
        rule(graph.graph)
        graph.graph.eliminate_dead_code()
    return [target for target in _targets(graph.graph) if str(target).startswith("mamlkit.")]


def _inputs(dtype=torch.float32, channels=16, images=3):
    """Images of two tasks, weights of all and of each, and numbers for the places of each."""
    torch.manual_seed(0)
    x = torch.randn(2, images, 9, 10, channels, dtype=dtype)
    shared = torch.randn(9 * channels, 32, dtype=dtype)
    own = torch.randn(2, 9 * channels, 32, dtype=dtype)
    return x, shared, own, torch.randn(2, images * 25, 32, dtype=dtype)


def _matrix(x):
    return patches(x).flatten(1, 3)


def _pasted(p):
    return folded(p.view(2, -1, 5, 5, p.shape[-1]), 9, 10)


times, times_by, pasted_product = (
    getattr(ours, name).default for name in ("patches_times", "times_patches", "pasted_product")
)
CASES = {
    "shared weights": (lambda x, w, o, g: patches(x) @ w, [times]),
    "own weights": (lambda x, w, o, g: _matrix(x) @ o, [times]),
    "own weights, turned": (lambda x, w, o, g: o.mT @ _matrix(x).mT, [times]),
    "gradient of own": (lambda x, w, o, g: _matrix(x).mT @ g, [times_by]),
    "gradient of own, turned": (lambda x, w, o, g: g.mT @ _matrix(x), [times_by]),
    "gradient of shared": (
        lambda x, w, o, g: _matrix(x).flatten(0, 1).mT @ g.flatten(0, 1),
        [times_by],
    ),
    "gradient of images": (lambda x, w, o, g: _pasted(g @ o.mT), [pasted_product]),
    "a sum of two": (
        lambda x, w, o, g: _pasted(g @ o.mT + (g.flatten(0, 1) @ w.mT).view(2, -1, len(w))),
        [pasted_product, pasted_product],
    ),
    "a sum with what is no product": (lambda x, w, o, g: _pasted(g @ o.mT + _matrix(x)), []),
    "a product that is read": (lambda x, w, o, g: (_pasted(p := g @ o.mT), p.exp()), []),
    "patches that are read": (lambda x, w, o, g: (_matrix(x) @ o, patches(x).exp()), [times]),
    "rows of several patches": (
        lambda x, w, o, g: _matrix(x).view(2, -1, 5 * len(w)) @ o.repeat(1, 5, 1),
        [],
    ),
    "rows that are no places": (lambda x, w, o, g: _matrix(x)[:, 1:] @ o, []),
}


@pytest.mark.parametrize("case", CASES)
def test_products_never_form_patches(case, monkeypatch):
    function, expected = CASES[case]
    monkeypatch.setattr(kernels, "most", lambda: kernels.UNBOUNDED)
    monkeypatch.setattr(patched, "most", lambda: kernels.UNBOUNDED)
    assert _after(function, *_inputs()) == expected
    assert _after(function, *_inputs(torch.float64)) == []
    assert _after(function, *_inputs(channels=4, images=8)) == []  # too few channels
    monkeypatch.setattr(patched, "most", lambda: 10**9)
    assert _after(function, *_inputs()) == []


@pytest.mark.parametrize("as_it_lies", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_they_are_the_same(dtype, as_it_lies, monkeypatch):
    """In one program, none through Python; and beside something that reads memory as it lies."""
    monkeypatch.setattr(patched, "fill", None)

    def function(*inputs):
        found = [result for run, _ in CASES.values() for result in _flat(run(*inputs))]
        return [*found, inputs[3].exp().as_strided((5, 3), (3, 1))] if as_it_lies else found

    inputs = _inputs(dtype)
    compiled = compiling.Compiled(lambda held, inputs: function(*inputs), (), None)(inputs)
    for found, wanted in zip(compiled, function(*inputs), strict=True):
        assert (found - wanted).norm() < 1e-6 * wanted.norm()


def _flat(results):
    return results if isinstance(results, tuple) else (results,)


@pytest.mark.usefixtures("kernel")
def test_products_with_patches_refuse_what_does_not_fit():
    x, b, a = torch.zeros(2, 3, 5, 6, 4), torch.zeros(2, 36, 7), torch.zeros(2, 7, 27)
    assert ours.patches_times(x, b).shape == (2, 27, 7)
    assert ours.times_patches(a, x).shape == (2, 7, 36)
    assert ours.pasted_product(a.mT, b.mT, 5, 6).shape == x.shape
    for name, wrong in (
        ("patches_times", (x, b[:, 1:])),
        ("patches_times", (x, b[0])),
        ("patches_times", (x.double(), b.double())),
        ("times_patches", (a[..., 1:], x)),
        ("times_patches", (a[:1], x)),
        ("pasted_product", (a.mT[:, 1:], b.mT, 5, 6)),
        ("pasted_product", (a.mT, b.mT[..., 1:], 5, 6)),
        ("pasted_product", (a.mT, b.mT[:, 1:], 5, 6)),
    ):
        with pytest.raises(ValueError, match=f"{name}: tensors of float32 on the CPU"):
            getattr(ours, name)(*wrong)
