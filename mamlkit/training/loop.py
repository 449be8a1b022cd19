"""The outer loop itself: steps, progress, validation, saving, and an end without losses."""

import builtins
import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from tqdm import tqdm

from mamlkit import files
from mamlkit.training import distributed
from mamlkit.training.checkpoint import CheckpointManager
from mamlkit.training.step import MetaStep

CHECK_EVERY = 100  # iterations between looks at the losses on a GPU, which has to be waited for


@dataclass
class Run:
    """What `fit` returns.

    params: the meta-trained parameters, a structure like `learner.init()`, without gradients.
    history: `{"loss": [iterations]}`, the mean query loss after adaptation, on the CPU, NaN where a
        batch was skipped; with `validate` also `{"validation": [times, 3]}`, rows of iterations
        done, seconds of training until then, and what `validate` returned.
    seconds: of training, compilation and all earlier parts of a resumed run included.
    compile_seconds: of the first iteration in this process, compilation included.
    compiled: whether the meta-step was to be compiled.
    stopped: whether it ended early, by a notebook's *stop* button.
    """

    params: Any
    history: dict[str, Tensor] = field(repr=False)
    seconds: float = 0.0
    compile_seconds: float = 0.0
    compiled: bool = False
    stopped: bool = False

    @property
    def iterations(self) -> int:
        """How many batches of tasks were seen."""
        return len(self.history["loss"])


class Loop:
    """Where a run stands, and the loop that takes it on.

    step: a `MetaStep`. draw: a function that draws what the step is called with.
    iterations: in all. manager: a `CheckpointManager` or None, saved to every `save_every`
    iterations. validate: a function from the parameters to a number, or None, called every
    `validate_every`. max_skipped: how many batches with a gradient that is not finite may be left
    out. log: a function `(name, value, iteration)` that is told losses and validations, or None.
    """

    def __init__(
        self,
        step: MetaStep,
        draw: Callable[[], Any],
        *,
        iterations: int,
        manager: CheckpointManager | None,
        save_every: int,
        validate: Callable[[Any], float] | None,
        validate_every: int,
        max_skipped: int,
        log: Callable[[str, float, int], Any] | None,
        progress: bool,
    ) -> None:
        self.step, self.draw, self.iterations = step, draw, iterations
        self.manager, self.save_every = manager, save_every
        self.validate, self.validate_every = validate, validate_every
        self.max_skipped, self.log, self.progress = max_skipped, log, progress
        self.losses = torch.zeros(iterations, device=step.device)
        self.done, self.seconds, self.validation = 0, 0.0, []
        self.compile_seconds, self._logged = 0.0, 0

    def run(self) -> Run:
        """Train to the end, or until asked to stop; save, and return the `Run`."""
        settings = {"desc": "meta-training", "mininterval": 1.0, "ncols": 88}
        shown = self.progress and distributed.is_main_process()
        bar = tqdm(total=self.iterations, initial=self.done, disable=not shown, **settings)
        self._logged = self.done
        self._start_clock()
        with bar, GracefulStop() as stop:
            while self.done < self.iterations and not stop.requested:
                self._iterate(bar)
            if stop.requested and self.manager and self.done:
                self._save()
        self.seconds = time.perf_counter() - self._begun
        self._write_log()
        stop.exit()
        stopped = self.done < self.iterations
        history = {"loss": self.losses[: self.done].cpu()}
        if self.validate or self.validation:
            rows = torch.tensor(self.validation, dtype=torch.float64)
            history["validation"] = rows.view(-1, 3)
        step = self.step
        return Run(
            step.params, history, self.seconds, self.compile_seconds, bool(step.compile), stopped
        )

    def _start_clock(self) -> None:
        self._begun = time.perf_counter() - self.seconds

    def _iterate(self, bar: tqdm) -> None:
        loss = self.step(self.draw(), progress=self.done / self.iterations)
        self.losses[self.done] = loss
        if not self.compile_seconds:
            self.compile_seconds = time.perf_counter() - self._begun - self.seconds
        self.done += 1
        done, last = self.done, self.done == self.iterations
        finite = self.step.device.type != "cpu" or math.isfinite(loss)
        if bar.update() or last:
            bar.set_postfix(loss=f"{self._check_finite():.3f}", refresh=False)
        elif not finite or done % CHECK_EVERY == 0:
            self._check_finite()
        save = done % self.save_every == 0 or last
        try:
            if self.validate and (done % self.validate_every == 0 or last):
                self._validate()
            if save:
                self._check_finite(self.step.params)
                self._write_log()
        except FloatingPointError:
            raise
        except Exception:  # of the user's function: what was trained is not lost with it
            if self.manager:
                self._save()
            raise
        if save and self.manager:
            self._save()

    def _save(self) -> None:
        self._check_finite(self.step.params)
        self.seconds = time.perf_counter() - self._begun
        self.manager.save(self)

    def _validate(self) -> None:
        self._check_finite(self.step.params)  # and waits for a GPU
        self.seconds = time.perf_counter() - self._begun
        value = _number(self.validate, self.step.params, self.step.device)
        self.validation.append([self.done, self.seconds, value])
        if self.log:
            self.log("validation", value, self.done)
        numbers = [row[2] for row in self.validation if not math.isnan(row[2])]
        if self.manager and value >= max(numbers, default=math.inf):
            self.manager.save(self, best=True)
        self._start_clock()

    def _write_log(self) -> None:
        """Pass the losses since the last time to whoever keeps a log."""
        if self.log:
            for number in range(self._logged, self.done):
                self.log("loss", self.losses[number].item(), number + 1)
        self._logged = self.done

    def _check_finite(self, params: Any = None) -> float:
        """Return the last loss, after checking that all so far, and the parameters, are finite."""
        losses = self.losses[: self.done]
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad) > self.max_skipped:
            first = bad[self.max_skipped].item()
            where = f"{losses[first].item()} at iteration {first + 1}"
            if self.max_skipped:
                where += f", after {self.max_skipped} such batches that could be skipped"
            raise FloatingPointError(
                f"fit: the loss was {where}; try a smaller step size in the learner or in the "
                f"optimiser, clip=10, or look for extreme values in the tasks. {self._last_good()}"
            )
        for name, value in files.flatten(params or {}).items():
            if not bool(torch.isfinite(value).all()):
                raise FloatingPointError(
                    f"fit: the update of iteration {self.done} or one shortly before left {name!r} "
                    "not finite, though the loss was; look for a root or a logarithm at 0 in the "
                    f"model. {self._last_good()}"
                )
        return losses[-1].item()

    def _last_good(self) -> str:
        path = self.manager.last() if self.manager else None
        return f"The last good checkpoint is {path}." if path else "Nothing was saved."


def _number(validate: Callable[[Any], float], params: Any, device: torch.device) -> float:
    """Return what `validate` does, whatever it does with the random state or with these copies."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        value = validate(tree_map(torch.clone, params))
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"fit: validate must return one number, got {type(value).__name__} {value!r:.60}; for "
            "example evaluate(...).mean[-1]"
        ) from None


class GracefulStop:
    """A context in which Ctrl-C and SIGTERM are noted in `requested` and do not break in.

    A second Ctrl-C breaks in. `exit()`, after everything is saved, does what the signal would have
    done, but in a notebook a Ctrl-C, which is its *stop* button, only ends the loop. Outside the
    main thread, where Python allows no handlers, nothing changes.

    >>> with GracefulStop() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    >>> stop.requested == signal.SIGTERM
    True
    """

    def __init__(self) -> None:
        self.requested = None
        self._handlers = {}

    def __enter__(self) -> "GracefulStop":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _request(self, number: int, _: object) -> None:
        if self.requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = number
        print("\nstopping after this iteration; Ctrl-C again stops at once", file=sys.stderr)

    def exit(self) -> None:
        """Do what was asked for; call it when handlers are the old ones again."""
        if self.requested == signal.SIGTERM or (self.requested and not in_notebook()):
            signal.raise_signal(self.requested)


def in_notebook() -> bool:
    """Say whether IPython runs this, as it does in every notebook."""
    return getattr(builtins, "__IPYTHON__", False)
