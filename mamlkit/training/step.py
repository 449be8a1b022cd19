"""One turn of the outer loop: from a task batch to one update of the meta-parameters."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from mamlkit import checks
from mamlkit.learners.base import Learner
from mamlkit.learners.vmap import count_fitting_tasks
from mamlkit.models.layers import PatchConv2d
from mamlkit.tasks.batch import TaskBatch
from mamlkit.training import distributed
from mamlkit.training.meta_gradient import gradient_of_tasks, mean_over_parts

# On a CPU a batch whose inputs are more than MANY numbers is gone through in parts of up to PART.
# Measured with convolutions, whose activations are many times larger than the inputs: 32 tasks of
# 5 + 75 characters take half the time two by two, 16 tasks of 5 + 25 a little more than at once.
MANY, PART = 2**19, 2**17
_shapes = lambda tensors: [(tensor.shape, tensor.dtype) for tensor in tensors]
_contiguous = partial(tree_map, torch.Tensor.contiguous)  # programs do not look at the layout
CONVOLUTIONS = PatchConv2d, nn.Conv1d, nn.Conv2d, nn.Conv3d


class MetaStep:
    """The meta-parameters, their optimiser, and the call that moves them by one task batch.

    params: the starting point, a structure like `learner.init()`; copied.
    optimizer: a function from a list of tensors to a `torch.optim` optimiser.
    schedule: a function from that optimiser to a `torch.optim.lr_scheduler`, or None.
    compile: compile gradient and update as one program (SGD, Adam, AdamW on a CPU), or the
        gradient alone (anything else); where that fails, run eagerly and say so.
    clip: the largest norm of the meta-gradient, all parameters together; None for no bound.
    microbatch: tasks at a time; None for all at once; "auto" is None but on a CPU, for a module
        with convolutions, whose batch would not stay in the cache.
    build: a function that makes the task batch of what the step is called with; it is compiled
        too. By default the step is called with the batch itself.
    skip_nonfinite: leave the parameters alone where loss or gradient is not finite; return NaN.
    vectorize: all tasks at once; False is one by one.
    """

    def __init__(
        self,
        learner: Learner,
        params: Any,
        optimizer: Callable[[list[Tensor]], Optimizer],
        schedule: Callable[[Optimizer], Any] | None = None,
        compile: bool = False,
        *,
        clip: float | None = None,
        microbatch: int | str | None = None,
        build: Callable[[Any], TaskBatch] | None = None,
        skip_nonfinite: bool = False,
        vectorize: bool = True,
    ) -> None:
        if clip is not None:
            checks.check_float("MetaStep", "clip", clip, above=0, hint="None is no bound")
        if not (microbatch is None or microbatch == "auto"):
            hint = "None is all tasks at once, 'auto' what the cache holds"
            checks.check_int("MetaStep", "microbatch", microbatch, low=1, hint=hint)
        leaves, self._structure = tree_flatten(params)
        copy = partial(torch.clone, memory_format=torch.contiguous_format)  # as gradients come
        self._leaves = [copy(leaf.detach()).requires_grad_() for leaf in leaves]
        self._values = [leaf.detach() for leaf in self._leaves]  # the same memory
        self.device = self._values[0].device
        self.learner, self.compile, self.optimizer = learner, compile, optimizer(self._leaves)
        moved = {id(leaf) for group in self.optimizer.param_groups for leaf in group["params"]}
        if not moved <= {id(leaf) for leaf in self._leaves}:
            raise ValueError(
                "fit: the optimiser moves other tensors than the list that it is called with; use "
                "partial(Adam, lr=1e-3), or lambda tensors: Adam(tensors, lr=1e-3)"
            )
        self.schedule = schedule(self.optimizer) if schedule else None
        self.clip, self.microbatch, self.skip_nonfinite = clip, microbatch, skip_nonfinite
        self.vectorize = vectorize
        self.build = build or (lambda batch: batch)
        self._programs, self._parts, self._lr = {}, {}, torch.zeros((), device=self.device)

    @property
    def params(self) -> Any:
        """The meta-parameters θ as they stand, without gradients; they move with the next step."""
        return tree_unflatten(self._values, self._structure)

    def __call__(self, drawn: Any, progress: float = 1.0) -> Tensor:
        """Update θ once; return the loss before the update, a scalar on the device.

        drawn: the task batch, or what `build` makes it of.
        progress: the share of the run that is done, from 0 to 1; some learners change with it.
        """
        learner, extras = self.learner.stage(progress)
        extras = {name: value.to(self.device) for name, value in extras.items()}
        key = (id(learner), learner.module.training, *extras, *_shapes(drawn))
        if key not in self._programs:
            self._programs[key] = self._program(learner, drawn)
        loss = self._programs[key](extras, drawn)
        if self.schedule:
            self.schedule.step()
        return loss

    def _program(self, learner: Learner, drawn: Any) -> Callable[..., Tensor]:
        """Return the function from (extras, drawn) to the loss that updates θ."""
        size = self._part_size(drawn)
        apart = size or distributed.is_distributed() or self.skip_nonfinite
        whole = self.device.type == "cpu" and not apart
        compiler = self._compiler() if self.compile and whole else None
        update = compiler and compiler.functional_update(self.optimizer, self._leaves)
        if update is None:
            return partial(self._gradient_then_update, learner, size)
        structure, clip, build = self._structure, self.clip, self.build
        vectorize = self.vectorize

        def whole_step(
            values: list[Tensor], state: Any, lr: Tensor, extras: dict[str, Tensor], drawn: Any
        ) -> Tensor:
            with torch.no_grad():
                params = tree_unflatten(values, structure)
                gradients, loss = gradient_of_tasks(
                    learner, vectorize, params, extras, build(drawn)
                )
                update(values, clipped(tree_flatten(gradients)[0], clip), state, lr)
            return loss

        def eager(*args: Any) -> Tensor:
            self.compile = False
            return self._gradient_then_update(learner, None, *args[-2:])

        program = compiler.Compiled(whole_step, eager, self.device)
        state = compiler.optimizer_state(self.optimizer)
        (group,) = self.optimizer.param_groups
        self.optimizer.zero_grad()
        self.optimizer.step()  # moves nothing without gradients; the schedule asks for one

        def run(extras: dict[str, Tensor], drawn: Any) -> Tensor:
            self._lr.fill_(group["lr"] or 1e-30)  # torch's Adam divides by it
            return program(self._values, state, self._lr, extras, _contiguous(drawn))

        return run

    def _compiler(self) -> Any:
        """Return the module `compile`, which takes a while to import, or None where that fails."""
        try:
            from mamlkit.training import compile as compiler
        except ImportError as error:
            warnings.warn(f"fit: running eagerly, no compiler: {error}", stacklevel=5)
            compiler = self.compile = None
        return compiler

    def _gradient_then_update(
        self, learner: Learner, size: int | None, extras: dict[str, Tensor], drawn: Any
    ) -> Tensor:
        """Compute this process's share of the gradient in parts, add up, clip, and update."""
        whole = self.build(drawn)
        batch = TaskBatch(*map(distributed.shard, whole))
        gradient = partial(self._part_gradient, learner, extras)
        gradients, loss = mean_over_parts(gradient, batch, size)
        gradients = tree_flatten(gradients)[0]
        if distributed.is_distributed():
            share = len(batch.support_x) / len(whole.support_x)
            scaled = [share * value.detach() for value in (*gradients, loss)]
            *gradients, loss = distributed.all_reduce(scaled)
        gradients, loss = clipped(gradients, self.clip), loss.detach().clone()
        if self.skip_nonfinite and not all(bool(v.isfinite().all()) for v in (*gradients, loss)):
            return loss * torch.nan
        for leaf, gradient in zip(self._leaves, gradients, strict=True):
            leaf.grad = gradient.detach().contiguous()
        self.optimizer.step()
        return loss

    def _part_gradient(
        self, learner: Learner, extras: dict[str, Tensor], part: TaskBatch
    ) -> tuple[Any, Tensor]:
        """Return the meta-gradient of a part of a batch, compiled if it is to be."""
        key = (id(learner), learner.module.training, *extras, *_shapes(part))
        if key not in self._parts:
            part_gradient = partial(gradient_of_tasks, learner, self.vectorize)
            compiler = self.compile and self._compiler()
            if compiler:
                eager = part_gradient

                def fallback(*args: Any) -> Any:
                    self.compile = False
                    return eager(*args)

                part_gradient = compiler.Compiled(part_gradient, fallback, self.device)
            self._parts[key] = part_gradient
        return self._parts[key](self.params, extras, _contiguous(part))

    def _part_size(self, drawn: Any) -> int | None:
        """Return how many of this process's tasks to take at a time, None for all at once."""
        if self.microbatch != "auto":
            return self.microbatch
        convolutions = (isinstance(m, CONVOLUTIONS) for m in self.learner.module.modules())
        if self.device.type != "cpu" or not any(convolutions):
            return None
        batch = TaskBatch(*map(distributed.shard, self.build(drawn)))
        tasks = len(batch.support_x)
        if count_fitting_tasks(batch, MANY) >= tasks:
            return None
        most = count_fitting_tasks(batch, PART)
        # Parts of one size, if that does not make them small: one program then serves them all.
        equal = max(n for n in range(1, most + 1) if tasks % n == 0)
        return equal if 2 * equal > most else most


def clipped(gradients: list[Tensor], bound: float | None) -> list[Tensor]:
    """Return gradients whose norm, all together, is at most `bound` (None: as they are)."""
    if bound is None:
        return gradients
    scale = (bound / (get_total_norm(gradients, foreach=False) + 1e-6)).clamp(max=1.0)
    return [scale * gradient for gradient in gradients]
