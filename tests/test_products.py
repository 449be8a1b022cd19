"""The products of a compiled step are torch's own, whichever kernel makes them."""

import linecache
from functools import partial

import pytest
import torch
from torch.fx import Graph
from torch.fx.experimental.proxy_tensor import make_fx

from mamlkit import MAML, MetaStep, SineNetwork, Sinusoids
from mamlkit.training import compiling
from mamlkit.training.products import kernel as kernels
from mamlkit.training.products.graph import WORTH, call, turned
from mamlkit.training.products.kernel import ToKernel
from mamlkit.training.products.once import Once
from mamlkit.training.products.rules import Ordered, Simpler

SHAPES = [  # tasks, rows, inner, columns; the large first
    *[(3, 245, 576, 64), (2, 64, 245, 576), (4, 300, 9, 1100), (1, 1, 1500, 900)],
    *[(1, 41, 1400, 70)],
    *[(25, 10, 40, 40), (25, 40, 10, 40), (3, 7, 300, 5), (5, 1, 1, 1), (2, 33, 21, 97)],
]


@pytest.fixture
def kernel():
    if kernels.library() is None:
        pytest.skip("the kernels are not used on this processor")


@pytest.mark.parametrize("batch, rows, inner, columns", SHAPES)
@pytest.mark.parametrize("turned", [(), (0,), (1,), (0, 1)])
@pytest.mark.usefixtures("kernel")
def test_products_are_those_of_float64(batch, rows, inner, columns, turned):
    """Factors stored by rows or by columns, blocks that do not fit, one task or several."""
    torch.manual_seed(0)
    sides = [(rows, inner), (inner, columns)]
    a, b = (
        torch.randn(batch, *side[::-1]).mT if i in turned else torch.randn(batch, *side)
        for i, side in enumerate(sides)
    )
    exact = (a.double() @ b.double()).float()
    scale = inner**0.5
    for x, y, wanted in ((a, b, exact), (a[0], b[0], exact[0])):
        found = torch.ops.mamlkit.products(x, y)
        assert found.shape == wanted.shape
        torch.testing.assert_close(found / scale, wanted / scale, rtol=1e-5, atol=2e-6)


@pytest.mark.usefixtures("kernel")
def test_products_of_factors_that_lie_oddly_in_memory():
    """Every second row, one matrix for all tasks, columns that repeat."""
    a, b = torch.randn(4, 20, 30), torch.randn(30, 8)
    for x, y in (
        (a[:, ::2], b.expand(4, 30, 8)),
        (a[..., ::3], b[:10].expand(4, 10, 8)),
        (a[:, :1].expand(4, 6, 30), b.expand(4, 30, 8)),
        (a, b[:, :1].expand(4, 30, 8)),
    ):
        torch.testing.assert_close(torch.ops.mamlkit.products(x, y), x @ y)


def _zeros(*shape, **options):
    """As in a graph: a shape without numbers."""
    return torch.zeros(*shape, device="meta", **options)


def _graph(a, b, read=lambda graph, node: node):
    """A graph of one product, and of how it is read."""
    graph = Graph()
    inputs = [graph.placeholder(name) for name in "ab"]
    for node, value in zip(inputs, (a, b), strict=True):
        node.meta["val"] = value
    product = torch.ops.aten.mm.default if a.ndim == 2 else torch.ops.aten.bmm.default
    graph.output(read(graph, call(graph, product, *inputs)))
    return graph


def _targets(graph):
    return [node.target for node in graph.nodes if node.op == "call_function"]


def test_only_products_of_float32_that_are_worth_a_call_are_given_away(monkeypatch):
    side = round(WORTH ** (1 / 3)) + 1
    monkeypatch.setattr(kernels, "most", lambda: (2 * side) ** 3)
    given = torch.ops.mamlkit.products.default
    for value, expected in (
        (_zeros(side, side), True),
        (_zeros(side, side, dtype=torch.float64), False),
        (_zeros(side // 2, side // 2), False),
        (_zeros(side * 3, side * 3), False),
        (_zeros(30, side, side), True),
        (_zeros(30, side * 3, side * 3), False),
    ):
        graph = _graph(value, value)
        ToKernel()(graph)
        assert (given in _targets(graph)) is expected, value.shape


def test_without_the_kernel_nothing_changes(monkeypatch):
    monkeypatch.setattr(kernels, "most", lambda: 0)
    graph = _graph(_zeros(1000, 1000), _zeros(1000, 1000))
    ToKernel()(graph)
    assert _targets(graph) == [torch.ops.aten.mm.default]


def test_the_factor_that_is_less_work_is_copied(monkeypatch):
    """Xᵀ dY, with a tall X stored by rows: dY is copied, and the result read turned."""
    monkeypatch.setattr(kernels, "most", lambda: 10**9)
    graph = _graph(_zeros(20000, 900).mT, _zeros(20000, 10))
    ToKernel()(graph)
    given = next(n for n in graph.nodes if n.target is torch.ops.mamlkit.products.default)
    assert given.meta["val"].shape == (10, 900)
    assert list(graph.nodes)[-1].args[0].meta["val"].shape == (900, 10)


def test_the_wider_result_fills_the_lanes(monkeypatch):
    """(W Xᵀ)ᵀ, ten columns wide, as X Wᵀ, though more is copied; eighty wide, as it is."""
    monkeypatch.setattr(kernels, "most", lambda: 10**9)
    for points, expected in ((10, (25, 10, 40)), (80, (25, 40, 80))):
        graph = _graph(_zeros(25, 40, 40), _zeros(25, points, 40).mT, turned)
        ToKernel()(graph)
        given = next(n for n in graph.nodes if n.target is torch.ops.mamlkit.products.default)
        assert given.meta["val"].shape == expected


def test_a_sum_over_very_many_is_one_of_parts(monkeypatch):
    """Of a few numbers only, and where the parts are of one length."""
    monkeypatch.setattr(kernels, "most", lambda: 10**9)
    for rows, inner, columns, expected in (
        (9, 31360, 64, [(16, 9, 64)]),
        (9, 31360, 65, [(9, 65)]),
        (9, 31357, 64, [(9, 64)]),  # 31357 is prime
        (9, 1400, 64, [(2, 9, 64)]),
        (9, 900, 64, [(9, 64)]),
    ):
        graph = _graph(_zeros(rows, inner), _zeros(inner, columns))
        ToKernel()(graph)
        given = [n for n in graph.nodes if n.target is torch.ops.mamlkit.products.default]
        assert [tuple(n.meta["val"].shape) for n in given] == expected
        assert list(graph.nodes)[-1].args[0].meta["val"].shape == (rows, columns)


@pytest.mark.usefixtures("kernel")
def test_a_sum_of_parts_is_the_sum():
    """Of factors that lie in memory one way or the other."""
    torch.manual_seed(0)
    many, few = torch.randn(6000, 64), torch.randn(6000, 9)
    for a, b in ((many.mT, few), (few.mT, many), (many.mT.contiguous(), few.mT.contiguous().mT)):
        found = _compiled_alone(torch.mm, a, b)
        torch.testing.assert_close(found / 77, (a.double() @ b.double()).float() / 77)


def _shapes_after(rule, function, *inputs):
    """Rewrite the recorded function; see that it still computes the same; return the sides of the
    matrices that it now multiplies or adds up, and of the numbers that scale a tensor."""
    graph = make_fx(function, tracing_mode="fake")(*inputs)
    rule(graph.graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    torch.testing.assert_close(graph(*inputs), function(*inputs))
    aten, found = torch.ops.aten, {}
    for name in ("mm", "bmm", "mul", "sum", "add"):
        for overload in getattr(aten, name).overloads():
            target = getattr(getattr(aten, name), overload)
            for node in graph.graph.find_nodes(op="call_function", target=target):
                first = node.args[0].meta["val"]
                found.setdefault(name, []).append((tuple(first.shape), first.is_contiguous()))
    return found


def test_products_over_an_inner_dimension_of_one_become_multiplications():
    torch.manual_seed(0)
    a, b = torch.randn(3, 4, 1), torch.randn(3, 1, 5)
    assert _shapes_after(Simpler(), torch.bmm, a, b).keys() == {"mul"}
    assert _shapes_after(Simpler(), torch.mm, a[0], b[0]).keys() == {"mul"}


def test_small_products_with_a_vector_become_sums():
    torch.manual_seed(0)
    a, b = torch.randn(3, 4, 30), torch.randn(3, 30, 1)
    for x, y in ((a, b), (b.mT, a.mT)):
        assert _shapes_after(Simpler(), torch.bmm, x, y).keys() == {"mul", "sum"}
        assert _shapes_after(Simpler(), torch.mm, x[0], y[0]).keys() == {"mul", "sum"}
        # Whole numbers would become long ones, and halves be added up as such.
        assert _shapes_after(Simpler(), torch.bmm, x.half(), y.half()).keys() == {"bmm"}
        assert _shapes_after(Simpler(), torch.bmm, x.int(), y.int()).keys() == {"bmm"}
    large = torch.randn(WORTH // 30, 30)
    assert _shapes_after(Simpler(), torch.mm, large, b[0]).keys() == {"sum", "mul"}
    assert _shapes_after(Simpler(), torch.mm, torch.cat([large, large]), b[0]).keys() == {"mm"}


def _product_and(other):
    return lambda a, b: a @ b + other()


def _and_product(other):
    return lambda a, b: other() + a @ b


def test_zeros_are_not_added():
    torch.manual_seed(0)
    a, b = torch.randn(3, 5), torch.randn(5, 4)
    nothing = lambda *shape, **options: torch.full(shape, 0.0, **options)
    for zeros in (lambda: nothing(4, 3).permute(1, 0), lambda: nothing(1, 4).expand(3, 4)):
        assert "add" not in _shapes_after(Simpler(), _product_and(zeros), a, b)
        assert "add" not in _shapes_after(Simpler(), _and_product(zeros), a, b)
    wider = lambda: nothing(2, 3, 4), lambda: nothing(3, 4, dtype=torch.float64), lambda: 0.5
    for other in wider:
        assert "add" in _shapes_after(Simpler(), _product_and(other), a, b)
    twice = lambda a, b: torch.add(a @ b, nothing(3, 4), alpha=2)
    assert "add" in _shapes_after(Simpler(), twice, a, b)


def test_a_sum_with_zeros_outlives_a_change_of_what_was_added():
    def function(held, added):
        before = held[0] + torch.full((3,), 0.0)
        held[0].add_(added[0])
        return before

    compiled = compiling.Compiled(function, (torch.ones(3),), None)
    assert compiled((torch.ones(3),)).tolist() == [1, 1, 1]


def test_a_sum_of_transposed_matrices_is_not_transposed_back():
    torch.manual_seed(0)
    a, b, c = torch.randn(3, 4), torch.randn(3, 4), torch.randn(2, 3, 4)
    back = lambda a, b: (a.permute(1, 0) + b.permute(1, 0)).permute(1, 0).relu()
    assert _shapes_after(Simpler(), back, a, b)["add"] == [((3, 4), True)]
    once = lambda a, b: (a.permute(1, 0) + b).permute(1, 0)
    assert _shapes_after(Simpler(), once, a, b.mT.contiguous())["add"] == [((4, 3), False)]
    round_and_round = lambda c: (c.permute(1, 2, 0) + c.permute(1, 2, 0)).permute(1, 2, 0)
    assert _shapes_after(Simpler(), round_and_round, c)["add"] == [((3, 4, 2), False)]


def test_a_number_multiplies_the_smaller_side():
    """Of A (-0.01 B)ᵀ, 4x4 numbers instead of 90x4; of a product that is larger, its factor."""
    torch.manual_seed(0)
    a, b = torch.randn(3, 4, 90), torch.randn(3, 4, 90)
    scaled = lambda a, b: torch.bmm(a, (-(0.01 * b)).permute(0, 2, 1))
    assert _shapes_after(Simpler(), scaled, a, b)["mul"] == [((3, 4, 4), True)]
    assert _shapes_after(Simpler(), scaled, a.mT, b.mT)["mul"] == [((3, 90, 4), False)]


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float16])
def test_a_number_stays_where_it_makes_a_float_or_keeps_one_small(dtype):
    """Whole numbers times 0.5 are floats, they themselves no factor of a product; and a half that
    is not scaled down first may overflow."""
    torch.manual_seed(0)
    a = torch.randn(10, 300).to(dtype if dtype.is_floating_point else torch.float32)
    b = torch.randn(300, 90).mul(3).to(dtype)
    half = lambda a, b: a @ (b * 0.5)
    turned = lambda a, b: (b * 0.5).permute(1, 0) @ a.permute(1, 0)
    for function in (half, turned):
        assert _shapes_after(Simpler(), function, a, b)["mul"][0][0] == (300, 90)
        if a.dtype == torch.float32:
            torch.testing.assert_close(
                _compiled_alone(function, a, b), function(a, b), rtol=1e-4, atol=1e-3
            )


def _compiled_alone(function, *inputs):
    held = (torch.zeros(1),)
    return compiling.Compiled(lambda held, xs: function(*xs), held, None)(inputs)


def test_products_of_many_rows_and_few_columns_are_turned():
    torch.manual_seed(0)
    tall, wide = torch.randn(3, 40, 20), torch.randn(3, 20, 5)
    assert _shapes_after(Ordered(), torch.bmm, tall, wide)["bmm"] == [((3, 5, 20), False)]
    assert _shapes_after(Ordered(), torch.bmm, wide.mT, tall.mT)["bmm"] == [((3, 5, 20), False)]


def test_transposed_matrices_are_added_up_as_they_lie():
    torch.manual_seed(0)
    matrices = torch.randn(3, 4, 5)
    turned = lambda x: x.permute(0, 2, 1).sum(0, keepdim=True)
    assert _shapes_after(Ordered(), turned, matrices)["sum"] == [((3, 4, 5), True)]
    each = lambda x: x.permute(0, 2, 1).sum(1, keepdim=True)  # not over the tasks
    assert _shapes_after(Ordered(), each, matrices)["sum"] == [((3, 5, 4), False)]


def test_sums_over_tasks_and_points_are_over_points_first():
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 6)
    both = lambda x: x.sum((0, 1, 2), keepdim=True)
    assert [shape for shape, _ in _shapes_after(Ordered(), both, x)["sum"]] == [
        (3, 4, 5, 6),
        (3, 1, 1, 6),
    ]
    whole = lambda x: torch.ops.aten.sum.dim_IntList(x, None, True)
    for one in (whole, lambda x: x.sum((1, 2), keepdim=True), lambda x: x.sum((0, 1))):
        assert len(_shapes_after(Ordered(), one, x)["sum"]) == 1


def _kept(function, *inputs):
    """The shapes of what the recorded function keeps; see that it still computes the same."""
    graph = make_fx(function, tracing_mode="fake")(*inputs)
    Once()(graph.graph)
    graph.recompile()
    torch.testing.assert_close(graph(*inputs), function(*inputs))
    torch.testing.assert_close(_compiled_alone(function, *inputs), function(*inputs))
    kept = graph.graph.find_nodes(op="call_function", target=torch.ops.mamlkit.kept.default)
    return [tuple(node.meta["val"].shape) for node in kept]


def test_what_much_larger_tensors_need_is_kept():
    torch.manual_seed(0)
    x, variance = torch.randn(20, 3), torch.rand(1, 3)
    assert _kept(lambda x, v: x * torch.rsqrt(v + 1), x, variance) == [(1, 3)]
    assert _kept(lambda x, v: x[:7] * torch.rsqrt(v + 1), x, variance) == []
    assert _kept(lambda x, v: x * v, x, variance) == []  # an input is in memory
    assert _kept(lambda x, v: x - x.mean(0), x, variance) == []  # and so is a sum

    def twice(x, v):
        """Both large ones read the same; what they share with each other is not small."""
        scale = v.sqrt()
        return x * scale + (x - scale).exp()

    assert _kept(twice, x, variance) == [(1, 3)]


@pytest.mark.usefixtures("kernel")
def test_products_refuse_what_the_kernel_cannot_do():
    product = torch.ops.mamlkit.products
    a = torch.ones(4, 5)
    for x, y in ((a.double(), a.mT.double()), (a, a), (a[None], a.mT), (a[0], a[0])):
        with pytest.raises(ValueError, match="two matrices of float32 on the CPU"):
            product(x, y)
    assert product(a[:0], a.mT).shape == (0, 4)
    assert product(a[:, :0], a.mT[:0]).tolist() == [[0.0] * 4] * 4
    assert product(torch.ones(0, 4, 5), torch.ones(0, 5, 2)).shape == (0, 4, 2)
    for x, y in ((a[:0], a.mT), (a[:, :0], a.mT[:0]), (a, a.mT[:, :0])):
        torch.testing.assert_close(_compiled_alone(product, x, y), x @ y)


@pytest.fixture
def compiled(monkeypatch):
    """What is compiled, in place of compiling it, with nothing remembered from before."""
    found = []
    monkeypatch.setattr(compiling, "_compiled", lambda *args: found.append(args) or args[0])
    monkeypatch.setattr(compiling, "_PROGRAMS", {})
    return found


def _once(function, *inputs):
    held = (torch.ones_like(inputs[0]),)
    return compiling.Compiled(lambda held, xs: function(held[0], *xs), held, None)(inputs)


def test_a_step_met_again_is_not_compiled_again(compiled):
    x = torch.arange(3.0)
    for _ in range(3):
        assert _once(lambda held, x: held * x + 1, x).tolist() == [1, 2, 3]
    assert len(compiled) == 1
    assert _once(lambda held, x: held * x + 2, x).tolist() == [2, 3, 4]
    assert _once(lambda held, x: held * x + 1, x[:2].clone()).tolist() == [1, 2]
    assert len(compiled) == 3


def test_a_step_met_again_leaves_no_code_behind(compiled):
    """torch keeps the code of every graph module, and linecache a word about it."""
    x = torch.arange(3.0)
    _once(lambda held, x: held * x + 1, x)
    before = len(linecache.cache)
    for _ in range(3):
        _once(lambda held, x: held * x + 1, x)
    assert len(linecache.cache) == before


def test_a_step_is_met_again_with_other_initial_weights(compiled):
    """The module's own weights are read when the step is recorded, and not used."""
    for seed in (0, 1):
        torch.manual_seed(seed)
        maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
        step = MetaStep(maml, maml.init(), partial(torch.optim.Adam, lr=1e-3), compile=True)
        assert step(Sinusoids(device="cpu").sample(3, 5, 5)).isfinite()
    assert len(compiled) == 1


def test_constants_are_never_shared(compiled):
    """A frozen weight may change where the program that holds it does not know."""
    first, second = torch.ones(3), torch.ones(3)
    x = torch.arange(3.0)
    assert _once(lambda held, x: held * x * first, x).tolist() == [0, 1, 2]
    first.fill_(5.0)
    assert _once(lambda held, x: held * x * second, x).tolist() == [0, 1, 2]
    assert len(compiled) == 2


def test_few_programs_are_remembered(compiled, monkeypatch):
    monkeypatch.setattr(compiling, "REMEMBERED", 3)
    for size in range(1, 8):
        _once(lambda held, x: held + x, torch.ones(size))
        assert len(compiling._PROGRAMS) == min(size, 3)
    _once(lambda held, x: held + x, torch.ones(7))  # the newest is there
    assert len(compiled) == 7
    _once(lambda held, x: held + x, torch.ones(1))  # the oldest is not
    assert len(compiled) == 8
