"""Meta-training: the outer loop of algorithm 1, with all that it is given looked at first."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from mamlkit import checks, devices, files
from mamlkit.learners.base import Learner
from mamlkit.training import distributed
from mamlkit.training.checkpoint import CheckpointManager, run_metadata
from mamlkit.training.loop import Loop, Run
from mamlkit.training.step import MetaStep
from mamlkit.training.trial import is_repeatable, should_compile, try_once

ADAM = partial(torch.optim.Adam, lr=1e-3, fused=True)  # the paper's, in both experiments


def fit(
    learner: Learner,
    distribution: Any,
    *,
    iterations: int,
    shots: int,
    queries: int,
    tasks_per_batch: int = 25,
    optimizer: Callable[[list[Tensor]], Optimizer] = ADAM,
    schedule: str | Callable[[Optimizer], Any] | None = None,
    clip: float | None = None,
    max_skipped: int = 0,
    params: Any = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    compile: bool | str = "auto",
    microbatch: int | str | None = "auto",
    vectorize: bool | str = "auto",
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1_000,
    keep_last: int = 2,
    validate: Callable[[Any], float] | None = None,
    validate_every: int = 500,
    log: Callable[[str, float, int], Any] | None = None,
    progress: bool = True,
) -> Run:
    """Meta-train a learner on a distribution of tasks (Finn et al. 2017, algorithm 1).

    learner: a `Learner`, such as `MAML(module, loss, lr=0.01)`; its module moves to `device`.
    distribution: has `.sample(tasks, shots, queries, generator=...)` and `.to(device)`.
    iterations: updates of the meta-parameters in all, those of a resumed run included.
    shots, queries: support and query examples of a task (of each class, in classification).
    tasks_per_batch: tasks in each update.
    optimizer: a function from a list of tensors to a `torch.optim` optimiser; Adam at 1e-3.
    schedule: None, "cosine" (to 0 over all iterations), or a function from the optimiser to a
        `torch.optim.lr_scheduler`.
    clip: the largest norm of the meta-gradient, None for no bound.
    max_skipped: how many batches with a loss or gradient that is not finite may be left out,
        without an update; the next one after that ends the run.
    params: where to start, a structure like `learner.init()`, the default.
    seed: of the tasks drawn (and of dropout). device: "auto" is CUDA, then MPS, then the CPU.
    compile: True, False, or "auto", which compiles where that is expected to save time, by the
        number of iterations and the size of a batch (see `should_compile`). Where compilation
        fails, the run goes on eagerly and says so.
    microbatch: tasks at a time; a small number needs less memory. None is all of a batch at once,
        and so is "auto", except on a CPU for large batches of a module with convolutions: a few
        tasks at a time then stay in its cache, which is faster.
    vectorize: True, False, or "auto": all tasks at once with `vmap` where that works, else one by
        one, slower and equal, with a warning that says what `vmap` refuses.
    checkpoint: a folder to save to every `checkpoint_every` iterations and to resume from. A run
        resumed there ends as if it had never stopped. A run of other settings there is refused;
        tasks of your own are known by what their method `settings()` returns, if they have one.
    keep_last: how many checkpoints stay, the newest; with `validate`, also the best by it, the
        highest.
    validate: a function from the parameters to a number, such as the accuracy on tasks held out,
        called every `validate_every` iterations and at the end. Its time does not count. A resumed
        run keeps what was found before, whatever function found it.
    log: a function `(name, value, iteration)` that is told every "loss" and "validation", such as
        `add_scalar` of `torch.utils.tensorboard.SummaryWriter`; in batches, when the run is saved.
    progress: show a bar with loss, rate and time left.

    Ctrl-C and SIGTERM end the run after the iteration under way, saved if there is a folder; the
    *stop* button of a notebook leaves a `Run` of what was trained until then. Under `torchrun` the
    tasks of each batch are dealt out to all processes (see `mamlkit.training.distributed`).

    Returns a `Run`. Raises ValueError or TypeError for settings out of bounds, before any work;
    FloatingPointError when the loss or a parameter stops being finite; OSError where a checkpoint
    cannot be written.

    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> run = fit(maml, Sinusoids(), iterations=3, shots=5, queries=5, progress=False)
    >>> run.iterations
    3
    """
    what = "a Learner, such as MAML(...)", "a task distribution, such as Sinusoids()"
    checks.check_has("fit", "learner", learner, what[0], "outer_loss", "module")
    checks.check_has("fit", "distribution", distribution, what[1], "sample", "to")
    hint = "of a list of tensors: partial(Adam, lr=1e-3)"
    checks.check_callable("fit", "optimizer", optimizer, hint)
    if log is not None:
        checks.check_callable("fit", "log", log, "one of (name, value, iteration), or None", 3)
    if validate is not None:
        hint = "one of the parameters: lambda params: "
        hint += "evaluate(learner, params, tasks, shots=1, queries=5).mean[-1]"
        checks.check_callable("fit", "validate", validate, hint, 1)
    count = partial(checks.check_int, "fit")
    iterations = count("iterations", iterations, low=1)
    checkpoint_every = count("checkpoint_every", checkpoint_every, low=1)
    validate_every = count("validate_every", validate_every, low=1)
    keep_last = count("keep_last", keep_last, low=1)
    max_skipped = count("max_skipped", max_skipped, low=0)
    shots, queries = count("shots", shots, low=1), count("queries", queries, low=1)
    every, hint = distributed.world_size(), "every process takes at least one"
    tasks_per_batch = count("tasks_per_batch", tasks_per_batch, low=every, hint=hint)
    seed = count("seed", seed, low=0, high=devices.LARGEST_SEED)
    if not callable(schedule):
        known = (None, "cosine")
        checks.check_choice("fit", "schedule", schedule, known, "a function of the optimiser")
    checks.check_choice("fit", "compile", compile, (True, False, "auto"))
    device = devices.resolve(device)
    generator = devices.generator(seed, device)
    distribution = distribution.to(device)
    try:
        learner.module.to(device)
    except NotImplementedError as error:
        raise ValueError(f"fit: the model cannot move to {device}: {error}") from None
    if params is not None:
        learner.check_params("fit", params)
    own = learner.init()
    start = own if params is None else files.unflatten(files.flatten(params), like=own)
    start = tree_map(lambda value: value.to(device), start)
    if schedule == "cosine":
        schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=iterations)
    draw, build = _draw_and_build(distribution, tasks_per_batch, shots, queries, generator)
    options = {"clip": clip, "microbatch": microbatch, "build": build}
    step = MetaStep(learner, start, optimizer, schedule, skip_nonfinite=max_skipped > 0, **options)
    if isinstance(step.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ValueError(
            "fit: ReduceLROnPlateau needs a metric at every step, which fit has not; use 'cosine' "
            "or a schedule that counts iterations"
        )

    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with forked, learner.mode(training=True):
        batch = build(draw())
        step.vectorize = try_once(learner, start, batch, tasks_per_batch, vectorize)
        auto = compile == "auto"
        if auto:
            compile = step.vectorize and should_compile(learner.module, batch, iterations)
        step.compile = compile and is_repeatable(learner, start, batch)
        generator.manual_seed(seed)
        torch.manual_seed(seed)
        manager = None
        if checkpoint:
            settings = {
                **identity(learner, distribution, step, optimizer, schedule),
                "start": "the module's own"
                if params is None
                else files.checksum(files.flatten(params)),
                "tasks_per_batch": tasks_per_batch,
                "shots": shots,
                "queries": queries,
                "clip": clip,
                "max_skipped": max_skipped,
                "seed": seed,
            }
            manager = CheckpointManager(checkpoint, settings, step, generator, keep_last=keep_last)
        loop = Loop(
            step, draw, iterations=iterations, manager=manager, save_every=checkpoint_every,
            validate=validate, validate_every=validate_every, max_skipped=max_skipped, log=log,
            progress=progress,
        )  # fmt: skip
        compiled_before = manager.restore(loop) if manager else None
        if auto and compiled_before is not None:
            step.compile = compiled_before
        return loop.run()


def _draw_and_build(
    distribution: Any, tasks: int, shots: int, queries: int, generator: torch.Generator
) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Return what draws for each step, and what makes the task batch of it inside the step."""
    owner = next((c for c in type(distribution).__mro__ if "sample" in vars(c)), object)
    if "build" in vars(owner):  # not where a subclass has a `sample` of its own
        draw = partial(distribution.draw, tasks, shots, queries, generator=generator)
        return draw, partial(distribution.build, shots=shots)
    return partial(distribution.sample, tasks, shots, queries, generator=generator), lambda b: b


def identity(
    learner: Learner, distribution: Any, step: MetaStep, optimizer: Any, schedule: Any
) -> dict[str, Any]:
    """Return what of a run must be equal for it to go on, as plain values."""
    params = files.flatten(step.params)
    module = {**dict(learner.module.named_parameters()), **dict(learner.module.named_buffers())}
    frozen = {name: value for name, value in module.items() if not value.requires_grad}
    kind = repr(distribution)  # of one that has no settings()
    groups = step.optimizer.state_dict()["param_groups"]
    settings = {
        "learner": learner.settings(),
        "frozen": files.checksum(frozen),
        "distribution": distribution.settings() if hasattr(distribution, "settings") else kind,
        "parameters": {name: [str(p.dtype), *p.shape] for name, p in params.items()},
        "optimizer": f"{checks.describe_function(optimizer)}: {groups}",
        "schedule": checks.describe_function(schedule),
    }
    try:
        json.dumps(run_metadata(step, 0, 0.0))
    except TypeError as error:
        raise ValueError(
            f"fit: the optimiser's or the schedule's state cannot be saved ({error}); use plain "
            "numbers in their settings, or no checkpoint"
        ) from None
    text = json.dumps(settings, default=checks.describe_function)
    return json.loads(re.sub(r" at 0x[0-9a-f]+", "", text))  # of no meaning to another process
