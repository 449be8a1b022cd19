"""Whether compiling a meta-step pays: its expected time against what a run would save."""

import time

import torch
from torch.overrides import TorchFunctionMode

SECONDS_A_CALL = 0.2  # of compiling, for each call of a torch function in a step; measured
FASTER = 2.5  # at least, once compiled; often much more


def pays(step, iterations, part=None):
    """Whether compiling `step()` is expected to save time over so many iterations.

    part: what of the step is compiled, where that is a part which is called repeatedly.

    Runs the step eagerly, twice: once to count its calls of torch, from which the compile time is
    estimated, once to time it.
    """
    with torch.random.fork_rng():  # dropout draws numbers, which the run itself is to draw
        with _Count() as count:
            (part or step)()
        begun = time.perf_counter()
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    saved = iterations * (time.perf_counter() - begun) * (1 - 1 / FASTER)
    return saved > SECONDS_A_CALL * count.calls


class _Count(TorchFunctionMode):
    def __enter__(self):
        self.calls = 0
        return super().__enter__()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))
