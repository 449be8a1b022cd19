"""One turn of the outer loop: from a task batch to one update of the meta-parameters."""

from functools import partial

import torch
from torch import nn
from torch.nn.utils import get_total_norm

from mamlkit import processes, require
from mamlkit.learners.batching import at_once
from mamlkit.models.layers import PatchConvolution
from mamlkit.training.meta_gradient import gradient_of, in_parts, meta_gradient
from mamlkit.training.update import traceable

# On a CPU a batch whose inputs are more than MANY numbers is gone through in parts of up to PART.
# Measured with convolutions, whose activations are many times larger than the inputs: 32 tasks of
# 5 + 75 characters take half the time two by two, 16 tasks of 5 + 25 a little more than at once.
MANY, PART = 2**19, 2**17
CONVOLUTIONS = PatchConvolution, nn.Conv1d, nn.Conv2d, nn.Conv3d


class MetaStep:
    """The meta-parameters, their optimiser, and the call that moves them by one task batch.

    params: dict of tensors, the starting point; copied.
    optimizer: a function from a list of tensors to a `torch.optim` optimiser.
    schedule: a function from that optimiser to a `torch.optim.lr_scheduler`, or None.
    compile: compile gradient and update as one program (SGD, Adam, AdamW), or the gradient alone
        (any other optimiser); where that fails, run eagerly and say so.
    clip: the largest norm of the meta-gradient, all parameters together; None for no bound.
    skip: leave the parameters alone where loss or gradient is not finite, and return NaN.
    chunk: tasks at a time; None for all at once; "auto" is None but on a CPU, for a module with
        convolutions, whose batch would not stay in the cache. The gradient of a part is then one
        program, and the update another step.
    build: a function that makes the task batch of what the step is called with; it is compiled
        too. By default the step is called with the batch itself.
    """

    def __init__(
        self,
        learner,
        params,
        optimizer,
        schedule=None,
        compile=False,
        *,
        clip=None,
        chunk=None,
        build=None,
        skip=False,
    ):
        self.learner = learner
        self.leaves = {k: v.detach().clone().requires_grad_() for k, v in params.items()}
        self.optimizer = optimizer(list(self.leaves.values()))
        self.schedule = schedule(self.optimizer) if schedule else None
        self.compile = compile
        if clip is not None:
            require.number("MetaStep", "clip", clip, above=0, hint="None is no bound")
        if not (chunk is None or (isinstance(chunk, str) and chunk == "auto")):
            hint = "None is all tasks at once, 'auto' what the cache holds"
            require.whole("MetaStep", "chunk", chunk, least=1, hint=hint)
        self.clip, self.chunk, self.skip = clip, chunk, skip
        self.build = build or (lambda batch: batch)
        self._programs = {}
        device = next(iter(self.leaves.values())).device
        self._rate = torch.zeros((), device=device)
        self._shown_rate = None

    @property
    def params(self):
        """The meta-parameters θ as they stand, without gradients; they move with the next step."""
        return {name: leaf.detach() for name, leaf in self.leaves.items()}

    def __call__(self, drawn, progress=1.0):
        """Update θ once; return the loss before the update, a scalar on the device.

        drawn: the task batch, or what `build` makes it of.
        progress: the share of the run that is done, from 0 to 1; some learners change with it.
        """
        learner, extras = self.learner.at(progress)
        extras = {name: value.to(self._rate.device) for name, value in extras.items()}
        shapes = [(tensor.shape, tensor.dtype) for tensor in drawn]
        key = (id(learner), learner.module.training, *extras, *shapes)
        if key not in self._programs:
            self._programs[key] = self._program(learner, self._parts(drawn))
        loss = self._programs[key](extras, drawn)
        if self.schedule:
            self.schedule.step()
        return loss

    def gradient(self, learner, params, extras, drawn):
        """The meta-gradient on what was drawn, clipped, and the loss."""
        gradients, loss = self._share(learner, params, extras, drawn, self._parts(drawn))
        return self._clipped(gradients), loss

    def first_part(self, learner, params, extras, drawn):
        """The meta-gradient of what is computed at once: the batch, or the first part of it."""
        chunk = self._parts(drawn)
        batch = self._mine(self.build(drawn))
        part = batch if chunk is None else next(batch.split(chunk))
        return meta_gradient(learner, params, part, extras=extras)

    def _mine(self, batch):
        """This process's share of a batch."""
        return type(batch)(*map(processes.mine, batch)) if processes.together() else batch

    def _parts(self, drawn):
        """How many of this process's tasks at a time, None for all at once."""
        if self.chunk != "auto":
            return self.chunk
        found = (isinstance(layer, CONVOLUTIONS) for layer in self.learner.module.modules())
        if self._rate.device.type != "cpu" or not any(found):
            return None
        with torch.no_grad():
            batch = self._mine(self.build(drawn))
        tasks = len(batch.support_x)
        if at_once(batch, MANY) >= tasks:
            return None
        most = at_once(batch, PART)
        # Parts of one size, if that does not make them small: one program then serves them all.
        equal = max(n for n in range(1, most + 1) if tasks % n == 0)
        return equal if 2 * equal > most else most

    def _share(self, learner, params, extras, drawn, chunk=None, gradient=None):
        """The same before clipping, on this process's tasks, weighted by how many they are.

        gradient: what computes it for one part of the batch, if not `meta_gradient`'s own way.
        """
        batch = self.build(drawn)
        tasks = len(batch.support_x)
        batch = self._mine(batch)
        if gradient:
            gradients, loss = in_parts(batch, chunk, gradient)
        else:
            gradients, loss = meta_gradient(learner, params, batch, chunk=chunk, extras=extras)
        if processes.together():
            weight = len(batch.support_x) / tasks
            gradients = {name: weight * gradient for name, gradient in gradients.items()}
            loss = weight * loss
        return gradients, loss.detach()

    def _clipped(self, gradients):
        if not self.clip:
            return gradients
        norm = get_total_norm(list(gradients.values()))
        scale = (self.clip / (norm + 1e-6)).clamp(max=1.0)
        return {name: scale * gradient for name, gradient in gradients.items()}

    def _program(self, learner, chunk):
        """The function from (extras, drawn) to the loss that updates θ."""
        params = self.params
        eager = lambda *args: self._share(learner, params, *args, chunk)
        if not self.compile:
            return lambda *args: self._update(*eager(*args))
        from mamlkit.training.compiling import Compiled  # the compiler takes a while to import

        if chunk:
            return self._in_compiled_parts(learner, chunk)
        found = traceable(self.optimizer)
        if found is None or self.skip or processes.together():
            held = lambda params, *args: self._share(learner, params, *args)
            gradient = Compiled(held, params, eager)
            return lambda *args: self._update(*gradient(*args))
        state, update = found

        def whole(held, *args):
            params, state, rate = held
            gradients, loss = self._share(learner, params, *args)
            gradients = self._clipped(gradients)
            update(params.values(), gradients.values(), state, rate)
            return loss

        held = params, state, self._rate
        program = Compiled(whole, held, lambda *args: self._update(*eager(*args)))
        (group,) = self.optimizer.param_groups
        self.optimizer._opt_called = True  # for the schedule, which asks for optimizer.step()

        def run(*args):
            if group["lr"] != self._shown_rate:
                self._shown_rate = group["lr"]
                self._rate.fill_(self._shown_rate)
            return program(*args)

        return run

    def _in_compiled_parts(self, learner, chunk):
        """The same, with the gradient of a part compiled, for each number of tasks in one."""
        from mamlkit.training.compiling import Compiled

        params, programs = self.params, {}
        function = lambda params, extras, part: gradient_of(learner, params, extras, part)

        def run(extras, drawn):
            def gradient(part):
                size = len(part.support_x)
                if size not in programs:
                    programs[size] = Compiled(function, params, partial(function, params))
                return programs[size](extras, part)

            return self._update(*self._share(learner, params, extras, drawn, chunk, gradient))

        return run

    def _update(self, gradients, loss):
        """Add up over processes, clip, and let the optimiser step."""
        *values, loss = processes.added([*gradients.values(), loss])
        gradients = self._clipped(dict(zip(gradients, values, strict=True)))
        if self.skip and not all(bool(v.isfinite().all()) for v in (*gradients.values(), loss)):
            return loss * torch.nan
        for name, leaf in self.leaves.items():
            leaf.grad = gradients[name]
        self.optimizer.step()
        return loss
