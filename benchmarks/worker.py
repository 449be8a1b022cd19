"""A contender in a process of its own, idle but for the rounds it is asked to run.

Thread pools of torch and JAX never meet, and peak memory and the time of the first call are the
contender's own.
"""

import multiprocessing
import os
import sys
import time
import traceback
from pathlib import Path


class Worker:
    """The near end: asks the process at the far end, one thing at a time.

    target: a string as `benchmarks.cases.build` takes, and `options` its other arguments.
    environment: variables to set there before anything is imported.
    """

    def __init__(self, target, *, environment=None, **options):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        arguments = far, dict(environment or {})
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        far.close()
        self.block = self.ask("build", target, options)

    def ask(self, what, *arguments):
        """Send a request and wait for the answer; raise here what went wrong there."""
        self.pipe.send((what, *arguments))
        try:
            answer, error = self.pipe.recv()
        except EOFError:
            raise RuntimeError("benchmarks: a worker died, perhaps for want of memory") from None
        if error:
            raise RuntimeError(f"benchmarks: a worker failed\n{error}")
        return answer

    def close(self):
        """End the process."""
        self.pipe.close()
        self.process.join(timeout=10)
        self.process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def peak_memory():
    """Return the most memory that this process has ever had, in MB.

    Where Linux tells, from /proc: `ru_maxrss` of a new process starts at its parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf8").splitlines()
        return int(next(s for s in lines if s.startswith("VmHWM")).split()[1]) / 1024
    import resource  # not on Windows

    scale = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _serve(pipe, environment):
    """Answer, at the far end, until the near end closes the pipe."""
    os.environ.update(environment)
    os.dup2(2, 1)  # libraries chat; the report's stdout stays clean
    far = _Far()
    while True:
        try:
            what, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((getattr(far, what)(*arguments), None))
        except Exception:
            pipe.send((None, traceback.format_exc()))


class _Far:
    """What can be asked of a worker."""

    def build(self, target, options):
        """Make the contender; a run must be a multiple of as many iterations as are returned."""
        from benchmarks import cases

        self.contender, self.batch = cases.build(target, **options)
        return getattr(self.contender, "block", 1)

    def gradient(self):
        """Return the meta-gradient as numpy arrays, and the seconds that it took."""
        start = time.perf_counter()
        gradient = self.contender.meta_gradient(self.batch)
        arrays = {name: value.numpy(force=True) for name, value in gradient.items()}
        return arrays, time.perf_counter() - start

    def run(self, iterations):
        """Return the seconds that so many meta-iterations take."""
        start = time.perf_counter()
        self.contender.run(iterations)
        return time.perf_counter() - start

    def memory(self):
        """Return the peak memory, in MB."""
        return peak_memory()
