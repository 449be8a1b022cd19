"""Contenders run in turn, a round each, many rounds: what slows the machine slows them all."""

import statistics
import tempfile

import numpy as np

from benchmarks.worker import Worker

PROCESSES = 3  # of each contender, one after the other: one may be twice as fast as the next
SLOW = 5.0  # seconds an iteration; who is slower runs one round only in each process


def measure(specs, *, rounds, seconds=1.0, tolerance=None, again=(), say=print):
    """Time contenders by turns. The first is mamlkit, to whom the others are compared.

    specs: name -> arguments of `Worker`, as a dict. rounds: turns of each, spread over `PROCESSES`
    processes of its own. seconds: of one turn, or one iteration where that takes longer.
    tolerance: raise unless all meta-gradients agree so far, relatively, before anything is timed;
        None: there are none to compare.
    again: whose first call is told a second time, in a new process on the same compile cache.

    Returns name -> a dict of numbers: see `_summary`.
    """
    with tempfile.TemporaryDirectory() as cold:
        environment = {"TORCHINDUCTOR_CACHE_DIR": cold, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        parts = [
            _side_by_side(specs, environment, share, seconds, tolerance, say)
            for share in _shares(rounds)
        ]
    ours = next(iter(specs))
    found = {name: [part[name] for part in parts] for name in specs}
    return {name: _summary(each, found[ours], name in again) for name, each in found.items()}


def _shares(rounds):
    """How many rounds each process runs: as even as can be, none of them idle."""
    processes = min(PROCESSES, rounds)
    return [len(range(i, rounds, processes)) for i in range(processes)]


def _side_by_side(specs, environment, rounds, seconds, tolerance, say):
    """Some rounds of all contenders, in a new process each."""
    workers, found = {}, {}
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
            found[name] |= turns[name] | {"memory_mb": worker.ask("memory")}
    finally:
        for worker in workers.values():
            worker.close()
    return found


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
        turns[name]["last"] = 1 if once > SLOW else rounds
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


def _summary(parts, ours, warm):
    """Medians and quartiles: of seconds per iteration, and of the ratio to mamlkit in each round.

    parts, ours: what each process of this contender, and of mamlkit, found.
    A ratio within a round cancels what the machine did in it.
    """
    first, times = parts[0], [part["rounds"] for part in parts]
    pairs = [
        pair
        for these, those in zip(times, (part["rounds"] for part in ours), strict=True)
        for pair in zip(these, those, strict=False)  # the slow ran fewer
    ]
    summary = {
        "seconds": quartiles([time for part in times for time in part]),
        "ratio": quartiles([time / our for time, our in pairs]),
        "rounds": sum(map(len, times)),
        "by_process": [statistics.median(part) for part in times],
        "iterations_a_round": first["iterations"],
        "first_call_s": first["first_call_s"],
        "memory_mb": round(max(part["memory_mb"] for part in parts)),
    }
    if "gradient_distance" in first:
        summary["gradient_distance"] = max(part["gradient_distance"] for part in parts)
    if warm and len(parts) > 1:
        summary["warm_call_s"] = parts[1]["first_call_s"]
    return summary
