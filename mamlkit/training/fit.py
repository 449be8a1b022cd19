"""Meta-training: the outer loop of algorithm 1, with all that it is given looked at first."""

from functools import partial

import torch

from mamlkit import devices, files, processes, require
from mamlkit.training import resume
from mamlkit.training.loop import Loop
from mamlkit.training.pays import pays
from mamlkit.training.run import Run
from mamlkit.training.step import MetaStep

ADAM = partial(torch.optim.Adam, lr=1e-3, fused=True)  # the paper's, in both experiments


def fit(
    learner,
    distribution,
    *,
    iterations,
    shots,
    queries,
    tasks_per_batch=25,
    optimizer=ADAM,
    schedule=None,
    clip=None,
    skip=0,
    params=None,
    seed=0,
    device="auto",
    compile="auto",
    chunk="auto",
    checkpoint=None,
    checkpoint_every=1_000,
    keep=2,
    validate=None,
    validate_every=500,
    log=None,
    progress=True,
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
    skip: how many batches with a loss or gradient that is not finite may be left out, without an
        update; the next one after that ends the run.
    params: where to start, a dict of tensors; the module's own parameters by default.
    seed: of the tasks drawn (and of dropout). device: "auto" is CUDA, then MPS, then the CPU.
    compile: True, False, or "auto", which compiles where that is expected to save time, weighing
        the size of a step and the number of iterations. Where compilation fails, the run goes on
        eagerly and says so.
    chunk: tasks at a time; a small number needs less memory. None is all of a batch at once, and
        so is "auto", except on a CPU for large batches of a module with convolutions: a few tasks
        at a time then stay in its cache, which is faster.
    checkpoint: a folder to save to every `checkpoint_every` iterations and to resume from. A run
        resumed there ends as if it had never stopped. Another recipe's run there is refused.
    keep: how many checkpoints stay, the newest; with `validate`, also the best by it, the highest.
    validate: a function from the parameters to a number, such as the accuracy on tasks held out,
        called every `validate_every` iterations and at the end. Its time does not count. A resumed
        run keeps what was found before, whatever function found it.
    log: a function `(name, value, iteration)` that is told every "loss" and "validation", such as
        `add_scalar` of `torch.utils.tensorboard.SummaryWriter`; in batches, when the run is saved.
    progress: show a bar with loss, rate and time left.

    Ctrl-C and SIGTERM end the run after the iteration under way, saved if there is a folder; the
    *stop* button of a notebook leaves a `Run` of what was trained until then. Under `torchrun` the
    tasks of each batch are dealt out to all processes (see `mamlkit.processes`).

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
    require.having("fit", "learner", learner, what[0], "outer_loss", "module")
    require.having("fit", "distribution", distribution, what[1], "sample", "to")
    require.function("fit", "optimizer", optimizer, "of a list of tensors: partial(Adam, lr=1e-3)")
    if log is not None:
        require.function("fit", "log", log, "one of (name, value, iteration), or None")
    iterations = require.whole("fit", "iterations", iterations, least=1)
    checkpoint_every = require.whole("fit", "checkpoint_every", checkpoint_every, least=1)
    validate_every = require.whole("fit", "validate_every", validate_every, least=1)
    if not (validate is None or callable(validate)):
        raise TypeError(
            f"fit: validate must be a function of the parameters, got {validate!r}; for example "
            "lambda params: evaluate(learner, params, tasks, shots=1, queries=5).mean[-1]"
        )
    keep = require.whole("fit", "keep", keep, least=1)
    skip = require.whole("fit", "skip", skip, least=0)
    tasks_per_batch = require.whole(
        "fit", "tasks_per_batch", tasks_per_batch, least=processes.count(),
        hint="every process takes at least one",
    )  # fmt: skip
    shots = require.whole("fit", "shots", shots, least=1)
    queries = require.whole("fit", "queries", queries, least=1)
    seed = require.whole("fit", "seed", seed, least=0, most=devices.LARGEST_SEED)
    if not callable(schedule):
        require.choice("fit", "schedule", schedule, (None, "cosine"), "a function of the optimiser")
    require.choice("fit", "compile", compile, (True, False, "auto"))
    device = devices.resolve(device)
    generator = devices.generator(seed, device)
    distribution = distribution.to(device)
    try:
        learner.module.to(device)
    except NotImplementedError as error:
        raise ValueError(f"fit: the model cannot move to {device}: {error}") from None
    if params is not None:
        learner.check("fit", params)
    start = {k: v.to(device) for k, v in (params or learner.init()).items()}
    if schedule == "cosine":
        schedule = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=iterations)
    draw, build = _draw_and_build(distribution, tasks_per_batch, shots, queries, generator)
    settings = {"clip": clip, "chunk": chunk, "build": build, "skip": skip > 0}
    step = MetaStep(learner, start, optimizer, schedule, **settings)
    if isinstance(step.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ValueError(
            "fit: ReduceLROnPlateau needs a metric at every step, which fit has not; use 'cosine' "
            "or a schedule that counts iterations"
        )

    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with forked, learner.mode(training=True):
        drawn = _try(draw, build, learner)
        generator.manual_seed(seed)
        torch.manual_seed(seed)
        folder = None
        if checkpoint:
            recipe = {
                **resume.recipe(learner, distribution, step, optimizer, schedule),
                "start": files.digest(params) if params is not None else "the module's own",
                "tasks_per_batch": tasks_per_batch,
                "shots": shots,
                "queries": queries,
                "clip": clip,
                "skip": skip,
                "seed": seed,
            }
            folder = resume.Folder(checkpoint, recipe, step, generator, keep=keep)
        loop = Loop(
            step, draw, iterations=iterations, folder=folder, save_every=checkpoint_every,
            validate=validate, validate_every=validate_every, skip=skip, log=log, progress=progress,
        )  # fmt: skip
        before = folder.restore(loop) if folder else None
        compile = before if compile == "auto" and before is not None else compile
        if compile == "auto":
            found = learner.at(0.0)
            what = found[0], step.params, found[1], drawn
            trial = [partial(function, *what) for function in (step.gradient, step.first_part)]
            compile = bool(processes.agreed(float(pays(trial[0], iterations, trial[1]))))
        step.compile = compile
        run = loop.go()
    devices.release_memory()
    return run


def _draw_and_build(distribution, tasks, shots, queries, generator):
    """What is drawn anew for each step, and what makes the task batch of it inside the step."""
    if hasattr(distribution, "build"):
        draw = partial(distribution.draw, tasks, shots, queries, generator=generator)
        return draw, partial(distribution.build, shots=shots)
    return partial(distribution.sample, tasks, shots, queries, generator=generator), lambda b: b


def _try(draw, build, learner):
    """Draw one batch and look at it, before the work begins; what was drawn."""
    drawn = draw()
    batch = build(drawn)
    for name, tensor in batch._asdict().items():
        require.finite("fit", name, tensor, hint="a single NaN would spoil all parameters")
    devices.same("fit", the_tasks=batch.support_x.device, the_model=_device(learner))
    return drawn


def _device(learner):
    return next(learner.module.parameters()).device
