"""Compiling a meta-step as one program. Importing this file takes a while: the compiler comes."""

import ctypes
import logging
import os
import sys
import warnings
from contextlib import nullcontext

import torch
from torch._guards import TracingContext, tracing
from torch._subclasses import FakeTensorMode
from torch.fx._lazy_graph_module import _make_graph_module, _use_lazy_graph_module
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._pytree import tree_flatten, tree_unflatten

from mamlkit.models.patches import whole
from mamlkit.training.products import Products, options

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's numbers of these settings

# With nvcc at hand but no GPU, torch says so on every import of its compiler: no news here.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
    # glibc hands memory above a few MB back to the system as soon as it is free, and a step asks
    # for the same again 0.3 ms later. Kept, a step of 400 sine tasks takes a third of the time.
    _libc = ctypes.CDLL(None)
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(TRIM_THRESHOLD, 2**28)
        _libc.mallopt(MMAP_THRESHOLD, 2**25)

_PROGRAMS = {}  # by fingerprint, the newest last
REMEMBERED = 32


class Compiled:
    """`function(held, *args)`, compiled as a whole at the first call, called as `compiled(*args)`.

    The function is recorded once as a graph of tensor operations and handed to TorchInductor, the
    compiler behind `torch.compile`. Nothing is left to be checked at a call, which for a step of a
    third of a millisecond matters. So the program holds for arguments of the same shapes and for
    an unchanged function: whoever changes either makes a new one.

    held: a pytree of tensors that the function may change in place, always the same ones.
    args: dicts or tuples of tensors, of the same shapes at each call.
    eager: `eager(*args)`, what to run, with a warning, where the function does not compile.
    """

    def __init__(self, function, held, eager):
        self.function = function
        self.held = tree_flatten(held)
        self.eager = eager
        self.program = None

    def __call__(self, *args):
        """What `function(held, *args)` returns."""
        if self.program is None:
            try:
                self.program = self._compile(args)
                return self._run(*args)
            except Exception as error:
                self.program = False
                result = self.eager(*args)  # a mistake of the caller's shows itself here
                reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                warnings.warn(f"fit: running eagerly, compiling failed: {reason}", stacklevel=5)
                return result
        return self._run(*args) if self.program else self.eager(*args)

    def _run(self, *args):
        leaves = [t for arg in args for t in (arg.values() if isinstance(arg, dict) else arg)]
        if len(leaves) != self.given:  # the program itself would not notice
            raise ValueError(f"Compiled: {len(leaves)} tensors given, {self.given} expected")
        returned = self.program(*self.held[0], *(tensor.contiguous() for tensor in leaves))
        return tree_unflatten(returned, self.returned)

    def _compile(self, args):
        leaves, spec = tree_flatten(args)
        count, self.given = len(self.held[0]), len(leaves)

        def flat(*tensors):
            held = tree_unflatten(tensors[:count], self.held[1])
            result = self.function(held, *tree_unflatten(tensors[count:], spec))
            found, self.returned = tree_flatten(result)
            return found

        inputs = [*self.held[0], *(tensor.contiguous() for tensor in leaves)]
        devices = {tensor.device for tensor in inputs if tensor.is_cuda}
        # Lazily: torch keeps the code of each graph module for good, and of a known program nobody
        # will ask for it.
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=list(devices)),
            _use_lazy_graph_module(True),
            nullcontext() if devices else whole(),
        ):
            graph = make_fx(flat)(*(tensor.clone() for tensor in inputs))
        for node in graph.graph.nodes:
            node.meta.pop("val", None)  # example values; the compiler makes its own
        if devices:
            return _on_gpu(graph, inputs, count)
        return _on_cpu(graph, inputs)


def _on_cpu(graph, inputs):
    settings = {
        "cpp_wrapper": True,
        "cpp_wrapper_build_separate": True,  # its loops are compiled faster, and are faster
        "size_asserts": False,  # the step makes another program for other shapes
        "cpp.min_chunk_size": 2**15,  # numbers a thread: for fewer, waiting for it costs more
        "post_grad_custom_pre_pass": Products(),
        **options(),
    }
    return _inductor(graph, inputs, settings)


def _inductor(graph, inputs, options=None):
    """The graph as a program. What this process has compiled lately is not compiled again: beside
    the time, each time would leave some memory behind."""
    graph.graph.eliminate_dead_code()  # among it the module's own weights, read and not used
    if any(node.op in ("get_attr", "call_module") for node in graph.graph.nodes):
        graph.recompile()
        return _compiled(graph, inputs, options)  # it holds tensors that may change, or more graphs
    with _use_lazy_graph_module(True):
        graph = _make_graph_module({}, graph.graph)  # without those weights: nor are they passed on
    known = _fingerprint(graph, inputs)
    if known not in _PROGRAMS:
        while len(_PROGRAMS) >= REMEMBERED:
            del _PROGRAMS[next(iter(_PROGRAMS))]  # the oldest
        _PROGRAMS[known] = _compiled(graph, inputs, options)
    return _PROGRAMS[known]


def _fingerprint(graph, inputs):
    """What a program without constants depends on: operations, shapes, torch's settings."""
    shapes = [(*t.shape, t.stride(), t.dtype, t.device) for t in inputs]
    exact = torch.are_deterministic_algorithms_enabled()
    return graph.graph.python_code("self").src, str(shapes), torch.get_num_threads(), exact


def _compiled(graph, inputs, options):
    # Of the inputs the compiler needs only the shapes, and these fixed; the context of shapes is
    # what its cache on disk asks for.
    fake = FakeTensorMode(shape_env=ShapeEnv())
    with tracing(TracingContext(fake)):
        shapes = [fake.from_tensor(tensor, static_shapes=True) for tensor in inputs]
        return torch._inductor.compile(graph, shapes, options=options)


def _on_gpu(graph, inputs, held):
    return _Captured(_inductor(graph, inputs), held)


class _Captured:
    """A program whose kernels are launched as one CUDA graph, from the second call on."""

    def __init__(self, program, held):
        self.program = program
        self.held = held  # so many arguments, the first ones, are always the same tensors
        self.graph = None
        self.warm = False

    def __call__(self, *leaves):
        held, given = leaves[: self.held], leaves[self.held :]
        if not self.warm:  # libraries set themselves up, which must not happen while capturing
            self.warm = True
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                returned = self.program(*leaves)
            here.wait_stream(aside)
            return returned
        if self.graph is None:
            self.given = [tensor.clone() for tensor in given]
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.returned = self.program(*held, *self.given)
        for mine, new in zip(self.given, given, strict=True):
            mine.copy_(new)
        self.graph.replay()
        return [tensor.clone() for tensor in self.returned]
