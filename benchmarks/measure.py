"""Contenders run in turn, a round each, many rounds: what slows the machine slows them all."""

import statistics
import tempfile

import numpy as np

from benchmarks.worker import Worker

SLOW = 5.0  # seconds an iteration; who is slower sits out all but the first rounds
FEW = 3


def measure(specs, *, rounds, seconds=1.0, tolerance=None, again=(), say=print):
    """Time contenders by turns. The first is mamlkit, to whom the others are compared.

    specs: name -> arguments of `Worker`, as a dict. rounds: turns of each. seconds: of one turn,
    or one iteration where that takes longer.
    tolerance: raise unless all meta-gradients agree so far, relatively, before anything is timed;
        None: there are none to compare.
    again: whose first call is timed a second time, in a new process on the same compile cache.

    Returns name -> a dict of numbers: see `_summary`.
    """
    workers, found = {}, {}
    with tempfile.TemporaryDirectory() as cold:
        environment = {"TORCHINDUCTOR_CACHE_DIR": cold, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        try:
            for name, spec in specs.items():
                say(f"  {name}: building")
                workers[name] = Worker(environment=environment, **spec)
                compare = tolerance is not None and spec["network"] != "floor"
                found[name] = _first(workers[name], compare)
            if tolerance is not None:
                _agree(found, tolerance)
            turns = _rounds(workers, rounds, seconds, say)
            for name, worker in workers.items():
                found[name] |= turns[name]
                found[name]["memory_mb"] = round(worker.ask("memory"))
            for name in again:
                with Worker(environment=environment, **specs[name]) as worker:
                    found[name]["warm_call_s"] = _first(worker, True)["first_call_s"]
        finally:
            for worker in workers.values():
                worker.close()
    ours = next(iter(found.values()))["rounds"]
    return {name: _summary(numbers, ours) for name, numbers in found.items()}


def _first(worker, compare):
    """The gradient, if it is to be compared, and the seconds until the first step was done."""
    gradient, spent = worker.ask("gradient") if compare else (None, 0.0)
    return {"gradient": gradient, "first_call_s": spent + worker.ask("run", worker.block)}


def _agree(found, tolerance):
    """Put down how far each meta-gradient lies from mamlkit's; raise if one lies too far."""
    ours = next(iter(found.values()))["gradient"]
    flat = lambda gradient: np.concatenate([gradient[k].ravel() for k in sorted(gradient)])
    for name, numbers in found.items():
        if numbers["gradient"] is None:
            continue
        shapes, wanted = ({k: v.shape for k, v in g.items()} for g in (numbers["gradient"], ours))
        if shapes != wanted:
            raise ValueError(f"{name}: gradient of shapes {shapes}, should be {wanted}")
        theirs = flat(numbers["gradient"]).astype(np.float64)
        distance = np.linalg.norm(theirs - flat(ours)) / np.linalg.norm(theirs)
        if not distance < tolerance:
            raise ValueError(
                f"{name}: its meta-gradient lies {distance:.1e} from mamlkit's, relatively; "
                f"nothing is timed beyond {tolerance:.0e}"
            )
        numbers["gradient_distance"] = float(distance)


def _rounds(workers, rounds, seconds, say):
    """Seconds per iteration of each contender in each round."""
    turns = {}
    for name, worker in workers.items():
        once = worker.ask("run", worker.block) / worker.block  # warm now
        blocks = max(1, round(seconds / once / worker.block))
        turns[name] = {"iterations": blocks * worker.block, "rounds": []}
        turns[name]["last"] = min(rounds, FEW) if once > SLOW else rounds
    for i in range(rounds):
        say(f"  round {i + 1} of {rounds}")
        for name, worker in workers.items():
            turn = turns[name]
            if i < turn["last"]:
                spent = worker.ask("run", turn["iterations"])
                turn["rounds"].append(spent / turn["iterations"])
    return turns


def quartiles(values):
    """`{"median", "low", "high"}`: the median and the quartiles."""
    if len(values) == 1:
        return dict.fromkeys(("low", "median", "high"), values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"low": low, "median": median, "high": high}


def _summary(numbers, ours):
    """Medians and quartiles: of seconds per iteration, and of the ratio to mamlkit in each round.

    A ratio within a round cancels what the machine did in it.
    """
    times = numbers["rounds"]
    summary = {
        "seconds": quartiles(times),
        "ratio": quartiles([t / o for t, o in zip(times, ours, strict=False)]),
        "rounds": len(times),
        "iterations_a_round": numbers["iterations"],
        "first_call_s": numbers["first_call_s"],
        "memory_mb": numbers["memory_mb"],
    }
    optional = "gradient_distance", "warm_call_s"
    return summary | {key: numbers[key] for key in optional if key in numbers}
