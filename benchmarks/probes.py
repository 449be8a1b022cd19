"""Small measurements, each in a new process: `python -m benchmarks.probes NAME ARGUMENT`."""

import json
import statistics
import subprocess
import sys
import time
from functools import partial

from benchmarks.worker import peak_memory


def evaluate_memory(tasks):
    """Peak memory in MB of a process that evaluates on so many sines."""
    import torch

    from mamlkit import MAML, SineNetwork, Sinusoids, evaluate

    maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    sines = Sinusoids(device="cpu")
    evaluate(maml, maml.init(), sines, shots=10, queries=100, tasks=int(tasks), steps=10)
    return peak_memory()


def import_time(_):
    """Seconds that importing mamlkit takes where torch is imported already."""
    import torch  # noqa: F401

    start = time.perf_counter()
    import mamlkit  # noqa: F401

    return time.perf_counter() - start


def sampling_time(name):
    """Seconds to draw one batch of a case's tasks, the median of many."""
    from benchmarks import cases
    from mamlkit import FewShot, Sinusoids, glyphs

    case = cases.CASES[name]
    sines = case.network == "sine"
    tasks = Sinusoids(device="cpu") if sines else FewShot(glyphs(964).images, 5, device="cpu")
    times = []
    for _ in range(200):
        start = time.perf_counter()
        tasks.sample(**case.size)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def sampling_share(name, steps=40):
    """Of the time of a recipe's compiled training step, the share that drawing tasks takes, %."""
    import torch

    from mamlkit import MetaStep
    from mamlkit.recipes import RECIPES

    torch.set_num_threads(1)
    recipe = RECIPES[name]
    learner, tasks, how = recipe.start(0), recipe.tasks(), recipe.training
    draw = partial(tasks.sample, how["tasks_per_batch"], how["shots"], how["queries"])
    step = MetaStep(learner, learner.init(), how["optimizer"], compile=True, chunk="auto")
    step(draw())
    drawing, training = [], []
    for _ in range(steps):
        start = time.perf_counter()
        batch = draw()
        middle = time.perf_counter()
        step(batch)
        drawing.append(middle - start)
        training.append(time.perf_counter() - middle)
    drawing, training = statistics.median(drawing), statistics.median(training)
    return 100 * drawing / (drawing + training)


PROBES = {
    probe.__name__: probe for probe in (evaluate_memory, import_time, sampling_share, sampling_time)
}


def probe(name, argument="", times=1):
    """The median of what several new processes measured."""
    command = [sys.executable, "-m", "benchmarks.probes", name, str(argument)]
    outputs = [subprocess.check_output(command, text=True) for _ in range(times)]
    return statistics.median(json.loads(output.splitlines()[-1]) for output in outputs)


if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]](sys.argv[2])))
