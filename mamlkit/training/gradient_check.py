"""Is the meta-gradient right? Against finite differences, and one task at a time."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mamlkit import checks, devices, files
from mamlkit.learners.adapt import Params
from mamlkit.learners.base import Learner
from mamlkit.learners.vmap import vmap_tasks
from mamlkit.tasks.batch import TaskBatch, check_batch
from mamlkit.training.meta_gradient import meta_gradient

STEPS = 1e-4, 1e-5, 1e-6  # of the differences; where a ReLU's kink spoils one, a smaller one is not


@dataclass(frozen=True)
class GradientCheck:
    """What `check_meta_gradient` found.

    errors: of the gradient along a random direction, relative to its size; where it is wrong, of
        each parameter's.
    vmap_error: the largest relative difference between all tasks at once and one at a time.
    layer: the innermost layer without which the error is gone, "" where there is none.
    """

    errors: dict[str, float]
    vmap_error: float
    tolerance: float
    layer: str = ""

    @property
    def ok(self) -> bool:
        """Whether all errors are below the tolerance."""
        return max(self.vmap_error, *self.errors.values()) < self.tolerance

    def __repr__(self) -> str:
        worst = max(self.errors, key=self.errors.get)
        if self.ok:
            return (
                f"the meta-gradient is right: within {self.errors[worst]:.0e} of finite "
                "differences, and all tasks at once as one by one"
            )
        wrong = [f"{n!r} by {e:.2g}" for n, e in self.errors.items() if not e < self.tolerance]
        text = "the meta-gradient is WRONG, relatively: " + ", ".join(
            wrong or [f"all tasks at once differ from one by one by {self.vmap_error:.2g}"]
        )
        where = f"layer {self.layer!r}" if self.layer else "the loss, or the code between layers"
        hint = "if only its second derivative is wrong, FirstOrderMAML will do"
        return f"{text}; the cause is in {where}; {hint}"


def check_meta_gradient(
    learner: Learner,
    batch: TaskBatch,
    *,
    params: Any = None,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradientCheck:
    """Compare a learner's meta-gradient with finite differences, in float64.

    Some of torch's kernels have a second derivative that is silently wrong, alone or under `vmap`;
    a meta-gradient needs it. Call this first for a module or a loss of your own: with a batch of
    two or three small tasks it takes seconds. Everything is computed on a copy, in evaluation mode
    (no dropout), along a random direction.

    learner: any but a first-order one, whose gradient is not the derivative, on purpose, and those
        of reinforcement learning, which estimate theirs.
    batch: a TaskBatch, such as `distribution.sample(2, shots, queries)`.
    params: where to compare; `learner.init()` by default. tolerance: of relative errors.

    Returns a `GradientCheck`, which prints as a sentence: whether all is well, and if not, which
    parameters are off, and which layer is the cause. Raises ValueError for the learners named.

    >>> from mamlkit import MAML, Sinusoids
    >>> module = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> maml = MAML(module, nn.functional.mse_loss, lr=0.1)
    >>> check_meta_gradient(maml, Sinusoids(device="cpu").sample(2, shots=3, queries=3)).ok
    True
    """
    name = "check_meta_gradient"
    checks.check_has(name, "learner", learner, "a Learner, such as MAML(...)", "outer_loss")
    check_batch(name, batch)
    tolerance = checks.check_float(name, "tolerance", tolerance, above=0)
    learner.check_classes(name, batch)
    if getattr(learner, "first_order", False):
        raise ValueError(
            f"{name}: {type(learner).__name__} leaves second derivatives out on purpose, so its "
            "gradient is no derivative; check MAML around the same module and loss"
        )
    if getattr(learner, "estimates_gradient", False):
        raise ValueError(
            f"{name}: {type(learner).__name__} estimates its gradient from samples, and finite "
            "differences of one sample's loss are another number; compare means over many tasks"
        )
    params = learner.init() if params is None else params
    learner.check_params(name, params)
    try:
        learner = copy.deepcopy(learner)
    except RuntimeError as error:
        raise ValueError(f"{name}: the module cannot be copied ({error}); use a new one") from None
    learner.module.double()
    double = lambda tensor: tensor.double() if tensor.is_floating_point() else tensor
    params, batch = tree_map(double, params), TaskBatch(*map(double, batch))
    generator = devices.generator(seed, batch.support_x.device)
    flat = files.flatten(params)
    ways = {
        name: torch.randn(value.shape, generator=generator, device=value.device, dtype=value.dtype)
        for name, value in flat.items()
        if value.numel()
    }
    for layer_name, layer in learner.module.named_modules():
        row = getattr(layer, "padding_idx", None)  # has no gradient, on purpose
        if row is not None and f"{layer_name}.weight" in ways:
            ways[f"{layer_name}.weight"][row] = 0
    with learner.mode(training=False):
        together, alone = (
            files.flatten(meta_gradient(learner, params, batch, vectorize=vectorize)[0])
            for vectorize in ("auto", False)
        )
        sizes = {n: value.norm().item() for n, value in alone.items()}
        largest = max(sizes.values()) + 1e-30
        apart = max((together[n] - alone[n]).norm().item() for n in flat) / largest
        # All at once, each parameter so far that it weighs as much as the others.
        for n, way in ways.items():
            way *= min(largest / (sizes[n] + 1e-30), 100.0)
        error = partial(_error, learner, params, batch)
        result = GradientCheck({"all": error(together, ways)}, apart, tolerance)
        if result.ok:
            return result
        errors = {n: error(together, {n: way}) for n, way in ways.items()}
        for layer in _layers(learner.module):
            with _replaced(learner.module, layer):
                gradient = files.flatten(meta_gradient(learner, params, batch)[0])
                if error(gradient, ways) < tolerance:
                    return GradientCheck(errors, apart, tolerance, layer)
    return GradientCheck(errors, apart, tolerance)


def _error(learner: Learner, params: Any, batch: TaskBatch, gradient: Params, way: Params) -> float:
    """Return the relative error of a gradient along a way through some of the parameters."""
    flat = files.flatten(params)

    def objective(size: float) -> float:
        moved = {n: value + size * way[n] if n in way else value for n, value in flat.items()}
        one_task = partial(learner.outer_loss, files.unflatten(moved, like=params))
        return vmap_tasks(one_task, learner.module, batch, vectorize=False).mean().item()

    analytic = sum((gradient[n] * d).sum().item() for n, d in way.items())
    size = sum(gradient[n].norm().item() ** 2 * d.square().mean().item() for n, d in way.items())
    error, reach = torch.inf, max(d.square().mean().item() ** 0.5 for d in way.values())
    for h in STEPS:
        h = h / max(reach, 1.0)
        difference = (objective(h) - objective(-h)) / (2 * h)
        scale = max(size**0.5, abs(difference), 1e-6)  # a gradient of zero has no size
        error = min(error, abs(difference - analytic) / scale)
        if error < 1e-7:
            break
    return error


def _layers(module: nn.Module) -> list[str]:
    """Return the names of all layers, inner ones first, and of these the later.

    What comes before a wrong layer matters only through it, so the last one without which all is
    well is the one. The layers of a parametrization are parts of one.
    """
    names = [name for name, _ in module.named_modules() if name and "parametrizations" not in name]
    return sorted(names, key=lambda name: (name.count("."), names.index(name)), reverse=True)


@contextmanager
def _replaced(module: nn.Module, name: str) -> Iterator[None]:
    """Let a layer return something smooth in its input, of the same shape, in place of its own."""

    def instead(_: nn.Module, inputs: tuple, output: Any) -> Any:
        x = next((v for v in inputs if isinstance(v, Tensor) and v.is_floating_point()), None)
        own = lambda t: 0 * t.detach() + (0 if x is None else torch.sin(x.mean()))
        spread = lambda t: own(t) + torch.linspace(-1, 1, t.numel(), dtype=t.dtype).view(t.shape)
        return tree_map(lambda t: spread(t) if torch.is_tensor(t) else t, output)

    hook = module.get_submodule(name).register_forward_hook(instead)
    try:
        yield
    finally:
        hook.remove()
