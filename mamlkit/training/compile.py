"""The meta-step through the public `torch.compile`. Import it late: loading it takes a while.

Nothing but speed depends on it: what does not compile runs eagerly, with one line that says why.
"""

import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from mamlkit.training.small_products import rewrite_small_products

# With nvcc at hand but no GPU, torch says so on every import of its compiler: no news here.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

try:
    from torch._inductor.custom_graph_pass import CustomGraphPass
except ImportError:  # a private name, which another version of torch may not have
    CustomGraphPass = None


class SmallProducts(CustomGraphPass or object):
    """The pass `rewrite_small_products`, with a name for the compiler's cache on disk."""

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Rewrite the graph in place."""
        rewrite_small_products(graph)

    def uuid(self) -> str:
        """Name the pass; change the name with the rules."""
        return "mamlkit small products, 1"


_ONE_AT_A_TIME = threading.Lock()  # torch's compiler is not made for several threads


class Compiled:
    """`function(*args)`, compiled as a whole at the first call; where that fails, `eager(*args)`.

    No guards are checked at a call, which for a step of half a millisecond would be a tenth of it.
    So the program holds for arguments of the same shapes, contiguous, and for an unchanged
    function: whoever changes either makes a new one.
    """

    def __init__(self, function: Callable, eager: Callable, device: torch.device) -> None:
        self.function, self.eager, self.device = function, eager, device
        self.program = None

    def __call__(self, *args: Any) -> Any:
        """Return what `function(*args)` returns."""
        if self.program:
            return self.program(*args)
        try:
            with _ONE_AT_A_TIME:
                program = torch.compile(self.function, **self._settings())
                result = program(*args)
            self.program = program
        except Exception as error:
            self.program = self.eager
            result = self.eager(*args)  # a mistake of the caller's shows itself here
            lines = (str(error).strip() or type(error).__name__).splitlines()
            more = [s.strip() for s in lines[1:] if s.strip().startswith(("Explanation", "Hint"))]
            reason = "; ".join(line[:200] for line in [lines[0], *more[:2]])
            warnings.warn(f"fit: running eagerly, compiling failed: {reason}", stacklevel=5)
        return result

    def _settings(self) -> dict[str, Any]:
        settings = {"fullgraph": True, "dynamic": False, "isolate_recompiles": True}
        if self.device.type == "cuda":
            return {**settings, "mode": "reduce-overhead"}  # launched as one CUDA graph
        options = {
            "cpp_wrapper": self.device.type == "cpu",
            "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
        }
        if CustomGraphPass:
            options["post_grad_custom_pre_pass"] = SmallProducts()
        return {**settings, "options": options}


def functional_update(optimizer: Optimizer, leaves: list[Tensor]) -> Callable[..., None] | None:
    """Return `optimizer.step()` as a function that compiles with the gradient, or None.

    For SGD, Adam and AdamW of these leaves in one group: torch's own functional forms. The function
    `update(values, gradients, state, lr)` changes values and state in place; `lr` is a tensor, so
    that a schedule can change it, and alone: none that moves the momentum too compiles.
    """
    (group, *others), kind = optimizer.param_groups, type(optimizer)
    same_leaves = [*map(id, group["params"])] == [*map(id, leaves)]
    if others or not same_leaves or isinstance(group["lr"], Tensor) or "base_momentum" in group:
        return None
    same = {"maximize": group["maximize"], "weight_decay": group["weight_decay"], "foreach": False}
    if kind in (torch.optim.Adam, torch.optim.AdamW):
        beta1, beta2 = group["betas"]
        same |= {"beta1": beta1, "beta2": beta2, "eps": group["eps"], "amsgrad": group["amsgrad"]}
        same |= {"decoupled_weight_decay": group["decoupled_weight_decay"], "capturable": True}
        return lambda values, gradients, state, lr: adam(
            values, gradients, state["exp_avg"], state["exp_avg_sq"],
            state.get("max_exp_avg_sq", []), state["step"], lr=lr, **same,
        )  # fmt: skip
    if kind is torch.optim.SGD and not group["dampening"]:
        same |= {key: group[key] for key in ("momentum", "dampening", "nesterov")}
        return lambda values, gradients, state, lr: sgd(
            values, gradients, state.get("momentum_buffer", [None] * len(values)), lr=lr, **same
        )
    return None


def optimizer_state(optimizer: Optimizer) -> dict[str, list[Tensor]]:
    """Return the optimiser's own state, zeros where it has none yet: name -> one a parameter."""
    (group,) = optimizer.param_groups
    if isinstance(optimizer, torch.optim.SGD):
        names = ["momentum_buffer"] if group["momentum"] else []
    else:
        names = ["step", "exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * group["amsgrad"]]
    zeros = lambda name, leaf: (
        torch.zeros((), device=leaf.device, dtype=torch.float32)
        if name == "step"
        else torch.zeros_like(leaf).detach()
    )
    state = optimizer.state
    return {
        name: [state[leaf].setdefault(name, zeros(name, leaf)) for leaf in group["params"]]
        for name in names
    }
