"""The same cases on a GPU, how near its peak they come, and the paper's whole Omniglot run."""

import time
from importlib.util import find_spec

from benchmarks import cases
from benchmarks.floor import flops
from benchmarks.measure import measure

# Published float32 rates without tensor cores, FLOP/s: what torch uses unless told otherwise.
PEAKS = {
    "H200": 67e12,
    "H100": 67e12,
    "A100": 19.5e12,
    "L4": 30.3e12,
    "V100": 15.7e12,
    "T4": 8.1e12,
}
JAX_ON_GPU = "jax_cuda12_plugin", "jax_cuda13_plugin"


def gpu(*, rounds, seconds, full=False, say=print):
    """The section of results.json, or None where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        say("  no CUDA device here: left out")
        return None
    name = torch.cuda.get_device_name()
    peak = next((rate for card, rate in PEAKS.items() if card in name), None)
    found = {"device": name, "peak_flops": peak, "cases": {}}
    for case in cases.CASES.values():
        say(f"  {case.title}")
        specs = {k: v for k, v in case.specs("cuda").items() if _runs_here(v["target"])}
        timing = {"rounds": rounds, "seconds": seconds, "tolerance": case.tolerance}
        contenders = measure(specs, **timing, again=[cases.OURS], say=say)
        found["cases"][case.name] = {"contenders": contenders}
        if case.network == "omniglot":
            found["cases"][case.name]["flops"] = flops(**case.size)
    if full:
        found["full_run"] = full_run(say)
    return found


def _runs_here(target):
    return "jax" not in target or any(find_spec(plugin) for plugin in JAX_ON_GPU)


def full_run(say):
    """Finn et al. 2017, 5-way 1-shot: 60,000 iterations of 32 tasks, then 600 test tasks.

    The inner step of 0.4 is of the paper's summed loss: 2.0 of a mean (FIELD_NOTES.md, section 2).
    """
    import torch
    from torch.nn.functional import cross_entropy

    from mamlkit import MAML, FewShot, OmniglotNetwork, characters, evaluate, fit

    torch.manual_seed(0)
    learner = MAML(OmniglotNetwork(5), cross_entropy, lr=2.0)
    train = FewShot(characters("background").images, 5, rotations=True, device="cuda")
    test = FewShot(characters("evaluation").images, 5, rotations=True, device="cuda")
    say("  60,000 iterations")
    start = time.perf_counter()
    training = {"iterations": 60_000, "shots": 1, "queries": 1, "tasks_per_batch": 32}
    run = fit(learner, train, **training, seed=0, device="cuda", progress=False)
    torch.cuda.synchronize()
    spent = time.perf_counter() - start
    result = evaluate(learner, run.params, test, shots=1, queries=15, tasks=600, steps=3)
    return {
        "iterations": 60_000,
        "seconds": spent,
        "accuracy": float(result.mean[3]),
        "interval": float(result.interval[3]),
    }
