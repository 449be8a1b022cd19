"""The outer loop itself: steps, progress, validation, saving, and an end without losses."""

import math
import time

import torch
from tqdm import tqdm

from mamlkit import processes
from mamlkit.training.run import Run
from mamlkit.training.stopping import Stopping

CHECK_EVERY = 1.0  # seconds between looks at the losses on a GPU, which has to be waited for


class Loop:
    """Where a run stands, and the loop that takes it on.

    step: a `MetaStep`. draw: a function that draws what the step is called with.
    iterations: in all. folder: a `resume.Folder` or None, saved to every `save_every` iterations.
    validate: a function from the parameters to a number, or None, called every `validate_every`.
    skip: how many batches with a gradient that is not finite may be left out.
    log: a function `(name, value, iteration)` that is told losses and validations, or None.
    """

    def __init__(
        self,
        step,
        draw,
        *,
        iterations,
        folder,
        save_every,
        validate,
        validate_every,
        skip,
        log,
        progress,
    ):
        self.step, self.draw, self.iterations = step, draw, iterations
        self.folder, self.save_every = folder, save_every
        self.validate, self.validate_every = validate, validate_every
        self.skip, self.log, self.progress = skip, log, progress
        self.device = next(iter(step.leaves.values())).device
        self.losses = torch.zeros(iterations, device=self.device)
        self.done, self.seconds, self.validation = 0, 0.0, []
        self.warmup, self._logged, self._checked = 0.0, 0, 0.0

    def go(self) -> Run:
        """Train to the end, or until asked to stop; save, and return the `Run`."""
        settings = {"desc": "meta-training", "mininterval": 1.0, "ncols": 88}
        shown = self.progress and processes.first()
        bar = tqdm(total=self.iterations, initial=self.done, disable=not shown, **settings)
        self._logged = self.done
        self._begin()
        with bar, Stopping() as stopping:
            while self.done < self.iterations and not stopping.asked:
                self._once(bar, self.done)
            if stopping.asked and self.folder and self.done:
                self._save()
        self.seconds = time.perf_counter() - self._begun
        self._tell()
        stopping.leave()
        stopped = self.done < self.iterations
        history = {"loss": self.losses[: self.done].cpu()}
        if self.validate or self.validation:
            rows = torch.tensor(self.validation, dtype=torch.float64)
            history["validation"] = rows.view(-1, 3)
        step = self.step
        return Run(step.params, history, self.seconds, self.warmup, step.compile, stopped)

    def _begin(self):
        self._begun = time.perf_counter() - self.seconds

    def _once(self, bar, done):
        self.losses[done] = loss = self.step(self.draw(), progress=done / self.iterations)
        self.warmup = self.warmup or time.perf_counter() - self._begun - self.seconds
        self.done = done = done + 1
        last = done == self.iterations
        if self.device.type == "cpu" and not math.isfinite(loss):
            self._require_finite()
        if bar.update() or last:
            bar.set_postfix(loss=f"{self._require_finite():.3f}", refresh=False)
        if self.validate and (done % self.validate_every == 0 or last):
            self._validate()
        if done % self.save_every == 0 or last:
            self._require_finite(self.step.params)
            self._tell()
            if self.folder:
                self._save()

    def _save(self):
        self._require_finite(self.step.params)
        self.seconds = time.perf_counter() - self._begun
        self.folder.save(self)

    def _validate(self):
        self._require_finite(self.step.params)  # and waits for a GPU
        self.seconds = time.perf_counter() - self._begun
        found = _number(self.validate, self.step.params, self.device)
        self.validation.append([self.done, self.seconds, found])
        if self.log:
            self.log("validation", found, self.done)
        if self.folder and found >= max(row[2] for row in self.validation):
            self.folder.save(self, best=True)
        self._begin()

    def _tell(self):
        """The losses since the last time, to whoever keeps a log."""
        if self.log:
            for number in range(self._logged, self.done):
                self.log("loss", self.losses[number].item(), number + 1)
        self._logged = self.done

    def _require_finite(self, params=None):
        """The last loss, after checking that all so far, and the parameters, are finite."""
        losses = self.losses[: self.done]
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad) > self.skip:
            first = bad[self.skip].item()
            where = f"{losses[first].item()} at iteration {first + 1}"
            if self.skip:
                where += f", after {self.skip} such batches that could be skipped"
            raise FloatingPointError(
                f"fit: the loss was {where}; try a smaller step size in the learner or in the "
                f"optimiser, clip=10, or look for extreme values in the tasks. {self._last_good()}"
            )
        for name, value in (params or {}).items():
            if not bool(torch.isfinite(value).all()):
                raise FloatingPointError(
                    f"fit: the update of iteration {self.done} or one shortly before left {name!r} "
                    "not finite, though the loss was; look for a root or a logarithm at 0 in the "
                    f"model. {self._last_good()}"
                )
        return losses[-1].item()

    def _last_good(self):
        saved = self.folder.last() if self.folder else None
        if saved is None:
            return "Nothing was saved."
        return f"The last good checkpoint is {saved}."


def _number(validate, params, device):
    """What `validate` returns, whatever it does with the random state or with these copies."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        found = validate({name: value.clone() for name, value in params.items()})
    try:
        return float(found)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"fit: validate must return one number, got {type(found).__name__} {found!r:.60}; for "
            "example evaluate(...).mean[-1]"
        ) from None
