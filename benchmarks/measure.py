"""Contenders timed by turns, a round each, many rounds: what slows the machine slows them all."""

import statistics
import tempfile
from itertools import chain

import click
import numpy as np

from benchmarks.worker import Worker

PROCESSES = 3  # of each contender, one after the other: one may be twice as fast as the next
SLOW = 5.0  # seconds an iteration; who is slower runs one round only in each process


def measure(specs, *, rounds, seconds=1.0, tolerance=None, again=()):
    """Time contenders by turns. The first is the one to whom the others are compared.

    specs: name -> arguments of `Worker`, as a dict. rounds: turns of each, spread over `PROCESSES`
    processes of its own. seconds: of one turn, or one iteration where that takes longer.
    tolerance: raise unless all meta-gradients agree so far, relatively, before anything is timed;
        None: there are none to compare.
    again: whose first call is timed a second time, in a new process on the same compile cache.

    Returns name -> a dict of numbers: see `_summary`.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {"TORCHINDUCTOR_CACHE_DIR": cache, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        parts = [
            _side_by_side(specs, environment, share, seconds, tolerance)
            for share in _shares(rounds)
        ]
    first = [part[next(iter(specs))] for part in parts]
    return {n: _summary([part[n] for part in parts], first, n in again) for n in specs}


def _shares(rounds):
    """Return how many rounds each process runs: as even as can be, none of them idle."""
    processes = min(PROCESSES, rounds)
    return [len(range(i, rounds, processes)) for i in range(processes)]


def _side_by_side(specs, environment, rounds, seconds, tolerance):
    """Run some rounds of all contenders, in a new process each."""
    workers, numbers = {}, {}
    try:
        for name, spec in specs.items():
            click.echo(f"  {name}: building")
            workers[name] = Worker(environment=environment, **spec)
            compare = tolerance is not None and spec["network"] != "floor"
            numbers[name] = _first_call(workers[name], compare)
        if tolerance is not None:
            compare_gradients(numbers, tolerance)
        turns = _rounds(workers, rounds, seconds)
        for name, worker in workers.items():
            numbers[name] |= turns[name] | {"memory_mb": worker.ask("memory")}
    finally:
        for worker in workers.values():
            worker.close()
    return numbers


def _first_call(worker, compare):
    """Return the gradient, if it is to be compared, and the seconds until the first step."""
    gradient, seconds = worker.ask("gradient") if compare else (None, 0.0)
    return {"gradient": gradient, "first_call_s": seconds + worker.ask("run", worker.block)}


def compare_gradients(numbers, tolerance):
    """Note how far each meta-gradient lies from the first; raise if one lies too far."""
    reference = next(iter(numbers.values()))["gradient"]
    flat = lambda gradient: np.concatenate([gradient[k].ravel() for k in sorted(gradient)])
    shapes = lambda gradient: {name: array.shape for name, array in gradient.items()}
    for name, row in numbers.items():
        gradient = row["gradient"]
        if gradient is None:
            continue
        if shapes(gradient) != shapes(reference):
            raise ValueError(
                f"{name}: gradient of shapes {shapes(gradient)}, should be {shapes(reference)}"
            )
        vector = flat(gradient).astype(np.float64)
        distance = np.linalg.norm(vector - flat(reference)) / np.linalg.norm(vector)
        if not distance < tolerance:
            raise ValueError(
                f"{name}: its meta-gradient lies {distance:.1e} from mamlkit's, relatively; "
                f"nothing is timed beyond {tolerance:.0e}"
            )
        row["gradient_distance"] = float(distance)


def _rounds(workers, rounds, seconds):
    """Time an iteration of each contender in each round."""
    turns, last = {}, {}
    for name, worker in workers.items():
        once = worker.ask("run", worker.block) / worker.block  # warm now
        blocks = max(1, round(seconds / once / worker.block))
        turns[name] = {"iterations": blocks * worker.block, "rounds": []}
        last[name] = 1 if once > SLOW else rounds
    for i in range(rounds):
        click.echo(f"  round {i + 1} of {rounds}")
        for name, worker in workers.items():
            if i < last[name]:
                iterations = turns[name]["iterations"]
                turns[name]["rounds"].append(worker.ask("run", iterations) / iterations)
    return turns


def spread(values):
    """Return the least, the median and the quartiles of some values.

    >>> spread([4.0, 1.0, 3.0, 2.0, 5.0])
    {'fastest': 1.0, 'low': 2.0, 'median': 3.0, 'high': 4.0}
    """
    if len(values) == 1:
        return dict.fromkeys(("fastest", "low", "median", "high"), values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"fastest": min(values), "low": low, "median": median, "high": high}


def _summary(parts, references, warm):
    """Return the spread of seconds an iteration, and of its ratio to the first contender's.

    parts, references: the numbers of each process of this contender, and of the first.
    A ratio within a round cancels what the machine did in it; that of the two fastest turns leaves
    out what the machine did to either.
    """
    rounds = [part["rounds"] for part in parts]
    others = [part["rounds"] for part in references]
    pairs = [
        pair
        for mine, theirs in zip(rounds, others, strict=True)
        for pair in zip(mine, theirs, strict=False)  # the slow ran fewer
    ]
    seconds, reference = spread([*chain(*rounds)]), spread([*chain(*others)])
    summary = {
        "seconds": seconds,
        "ratio": spread([mine / theirs for mine, theirs in pairs])
        | {"fastest": seconds["fastest"] / reference["fastest"]},
        "rounds": sum(map(len, rounds)),
        "by_process": [statistics.median(part) for part in rounds],
        "iterations_a_round": parts[0]["iterations"],
        "first_call_s": parts[0]["first_call_s"],
        "memory_mb": round(max(part["memory_mb"] for part in parts)),
    }
    if "gradient_distance" in parts[0]:
        summary["gradient_distance"] = max(part["gradient_distance"] for part in parts)
    if warm and len(parts) > 1:
        summary["warm_call_s"] = parts[1]["first_call_s"]
    return summary
