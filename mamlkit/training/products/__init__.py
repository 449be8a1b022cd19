"""How a compiled meta-step multiplies matrices and adds up: rewriting its graph for the CPU."""

from pathlib import Path

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass

from mamlkit.models import patches
from mamlkit.training.products.kernel import ToKernel, most, options
from mamlkit.training.products.once import Once
from mamlkit.training.products.patched import Patched, SpelledOut
from mamlkit.training.products.rules import Ordered, Simpler

__all__ = ["Products", "options"]


class Products(CustomGraphPass):
    """Fewer operations first; then products go to the kernel that is fast at them, those with
    patches among them, and what is left is put in order, and nothing small is computed twice."""

    def __call__(self, graph):
        """Rewrite the graph in place."""
        rules = Simpler(), Patched(), SpelledOut(), ToKernel(), Ordered(), Once()
        if any(node.target is torch.ops.aten.as_strided.default for node in graph.nodes):
            rules = (SpelledOut(),)  # it reads memory as it lies: products stay as torch lays them
        for rule in rules:
            rule(graph)
            graph.eliminate_dead_code()

    def uuid(self):
        """What the compiler's cache knows these rules by: their text, and where they apply."""
        here = Path(__file__).parent
        paths = [path for kind in ("*.py", "*.cpp") for path in sorted(here.glob(kind))]
        texts = [path.read_text() for path in (*paths, Path(patches.__file__))]
        return "".join([*texts, str(most())])
