"""Meta-training: the outer loop of algorithm 1 from start to end, with progress and resumption."""

import time
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from mamlkit import devices, files, require
from mamlkit.training import checkpoint as checkpoints
from mamlkit.training import resume
from mamlkit.training.pays import pays
from mamlkit.training.step import MetaStep

ADAM = partial(torch.optim.Adam, lr=1e-3, fused=True)  # the paper's, in both experiments


@dataclass
class Run:
    """What `fit` returns.

    params: the meta-trained parameters, a dict of tensors without gradients.
    history: `{"loss": [iterations]}`, the mean query loss after adaptation, on the CPU; with
        `validate` also `{"validation": [times, 3]}`, rows of iterations done, seconds of training
        until then, and what `validate` returned.
    seconds: of training, compilation and all earlier parts of a resumed run included.
    warmup: seconds of the first iteration in this process, compilation included.
    compiled: whether the meta-step was to be compiled.
    """

    params: dict[str, Tensor]
    history: dict[str, Tensor] = field(repr=False)
    seconds: float = 0.0
    warmup: float = 0.0
    compiled: bool = False

    @property
    def iterations(self):
        """How many times the parameters were updated."""
        return len(self.history["loss"])


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
    params=None,
    seed=0,
    device="auto",
    compile="auto",
    chunk=None,
    checkpoint=None,
    checkpoint_every=1_000,
    validate=None,
    validate_every=500,
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
    params: where to start, a dict of tensors; the module's own parameters by default.
    seed: of the tasks drawn (and of dropout). device: "auto" is CUDA, then MPS, then the CPU.
    compile: True, False, or "auto", which compiles where that is expected to save time, weighing
        the size of a step and the number of iterations. Where compilation fails, the run goes on
        eagerly and says so.
    chunk: tasks at a time where memory is short, None for all of a batch at once.
    checkpoint: a folder to save to every `checkpoint_every` iterations and to resume from. A run
        resumed there ends as if it had never stopped.
    validate: a function from the parameters to a number, such as the accuracy on tasks held out,
        called every `validate_every` iterations and at the end. Its time does not count. A resumed
        run keeps what was found before, whatever function found it.
    progress: show a bar with loss, rate and time left.

    Returns a `Run`. Raises ValueError or TypeError for settings out of bounds, before any work;
    FloatingPointError when the loss stops being finite.

    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> run = fit(maml, Sinusoids(), iterations=3, shots=5, queries=5, progress=False)
    >>> run.iterations
    3
    """
    iterations = require.whole("fit", "iterations", iterations, least=1)
    checkpoint_every = require.whole("fit", "checkpoint_every", checkpoint_every, least=1)
    validate_every = require.whole("fit", "validate_every", validate_every, least=1)
    if not (validate is None or callable(validate)):
        raise TypeError(
            f"fit: validate must be a function of the parameters, got {validate!r}; for example "
            "lambda params: evaluate(learner, params, tasks, shots=1, queries=5).mean[-1]"
        )
    tasks_per_batch = require.whole("fit", "tasks_per_batch", tasks_per_batch, least=1)
    shots = require.whole("fit", "shots", shots, least=1)
    queries = require.whole("fit", "queries", queries, least=1)
    seed = require.whole("fit", "seed", seed, least=0)
    if not (schedule is None or schedule == "cosine" or callable(schedule)):
        raise ValueError(
            f"fit: schedule must be None, 'cosine' or a function of the optimiser, got {schedule!r}"
        )
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
    step = MetaStep(learner, start, optimizer, schedule, clip=clip, chunk=chunk, build=build)
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
        losses = torch.zeros(iterations, device=device)
        done, seconds, validation = 0, 0.0, []
        if checkpoint:
            recipe = {
                **resume.recipe(learner, distribution, step, optimizer, schedule),
                "start": files.digest(params) if params is not None else "the module's own",
                "tasks_per_batch": tasks_per_batch,
                "shots": shots,
                "queries": queries,
                "clip": clip,
                "seed": seed,
                "device": device.type,
            }
            checkpoints.claim(checkpoint, recipe)
            done, seconds, before = resume.restore(checkpoint, step, generator, losses, validation)
            compile = before if compile == "auto" and done else compile
        if compile == "auto":
            found = learner.at(0.0)
            trial = lambda: step.gradient(found[0], step.params, found[1], drawn)
            compile = pays(trial, iterations)
        step.compile = compile
        begun, warmup = time.perf_counter() - seconds, 0.0
        bar = tqdm(
            total=iterations,
            initial=done,
            desc="meta-training",
            disable=not progress,
            mininterval=1.0,
            ncols=88,
        )
        with bar:
            while done < iterations:
                losses[done] = step(draw(), progress=done / iterations)
                warmup = warmup or time.perf_counter() - begun - seconds
                done += 1
                if bar.update() or done == iterations:
                    bar.set_postfix(loss=f"{_finite(losses, done):.3f}", refresh=False)
                if validate and (done % validate_every == 0 or done == iterations):
                    _finite(losses, done, step.params)  # and waits for a GPU
                    seconds = time.perf_counter() - begun
                    validation.append([done, seconds, _validate(validate, step.params)])
                    begun = time.perf_counter() - seconds
                if done % checkpoint_every and done != iterations:
                    continue
                _finite(losses, done, step.params)
                if checkpoint:
                    seconds = time.perf_counter() - begun
                    resume.save(checkpoint, step, generator, losses[:done], validation, seconds)
    seconds = time.perf_counter() - begun
    history = {"loss": losses.cpu()}
    if validate or validation:
        history["validation"] = torch.tensor(validation, dtype=torch.float64).view(-1, 3)
    return Run(step.params, history, seconds, warmup, step.compile)


def _validate(validate, params):
    """The number, whatever it does with the global random state or with these copies."""
    device = next(iter(params.values())).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        found = validate({name: value.clone() for name, value in params.items()})
    try:
        return float(found)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"fit: validate must return one number, got {type(found).__name__} {found!r:.60}; for "
            "example evaluate(...).mean[-1]"
        ) from None


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


def _finite(losses, done, params=None):
    """The last loss, after checking that all so far, and the parameters, are finite."""
    for name, value in (params or {}).items():
        if bool(torch.isfinite(losses[:done]).all()) and not bool(torch.isfinite(value).all()):
            raise FloatingPointError(
                f"fit: the update of iteration {done} or one shortly before left {name!r} not "
                "finite, though the loss was; look for a root or a logarithm at 0 in the model"
            )
    bad = (~torch.isfinite(losses[:done])).nonzero()
    if len(bad):
        raise FloatingPointError(
            f"fit: the loss was {losses[bad[0]].item()} at iteration {bad[0].item() + 1}; try a "
            "smaller step size in the learner or in the optimiser, or look for extreme values in "
            "the tasks"
        )
    return losses[done - 1].item()
