"""results.json as Markdown: the tables of the README and of RESULTS.md."""

import re

from benchmarks.cases import CASES, FLOOR, OURS
from benchmarks.cost import SIZES

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
HEAD = (
    "| | one meta-iteration | quartiles | times mamlkit's | quartiles "
    "| first call | peak memory |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def summary(results):
    """What the README shows: one table a case, and where it was measured."""
    parts = [_case(CASES[name], results[name]) for name in CASES if name in results]
    return "\n\n".join(parts)


def report(results):
    """The whole of RESULTS.md."""
    parts = [
        "# Benchmarks",
        "Made by `make bench` from [results.json](results.json). Each contender runs in three "
        "processes of its own, one after the other, by turns with the rest, a second at a time, "
        "all torch and XLA settings at their defaults; medians and quartiles over the rounds. On "
        "this machine two threads of one program run at one of two paces, which change within "
        "seconds, as if the two cores were at times halves of one; so a step as small as the "
        "sinusoid's is compiled for one thread. A ratio is taken within each round. Nothing was "
        "timed before all meta-gradients agreed on one batch. The first call is that gradient and "
        "the first run, compilers included. Peak memory is the whole process's, libraries too.",
        summary(results),
    ]
    parts += [_cost(results["cost"])] if "cost" in results else []
    parts += [_scaling(results["scaling"])] if "scaling" in results else []
    parts += [_gpu(results["gpu"])] if "gpu" in results else []
    for vectors, sections in results.get("apart", {}).items():
        parts += [f"## On a processor with {vectors}", summary(sections)]
    return "\n\n".join(parts) + "\n"


def insert(readme, results):
    """The README's text with the section between the marks made anew, if it has the marks."""
    section = f"{BEGIN}\n{summary(results)}\n{END}"
    return re.sub(f"{BEGIN}.*?{END}", lambda _: section, readme, flags=re.DOTALL)


def duration(seconds):
    """
    >>> duration(0.00059), duration(0.207), duration(61.2)
    ('0.590 ms', '207 ms', '61.2 s')
    """
    if seconds >= 10:
        return f"{seconds:.1f} s"
    if seconds >= 1:
        return f"{seconds:.2f} s"
    digits = 0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2 if seconds >= 1e-3 else 3
    return f"{1e3 * seconds:.{digits}f} ms"


def times(ratio):
    """
    >>> times(1.234), times(146.2)
    ('1.23', '146')
    """
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"


def _span(numbers, write):
    return f"{write(numbers['low'])} – {write(numbers['high'])}"


def _row(name, numbers):
    first = duration(numbers["first_call_s"])
    if "warm_call_s" in numbers:
        first += f" ({duration(numbers['warm_call_s'])} warm)"
    title = f"**{name}**" if name == OURS else name
    seconds, ratio = numbers["seconds"], numbers["ratio"]
    cells = [
        *(title, duration(seconds["median"]), _span(seconds, duration)),
        *(times(ratio["median"]), _span(ratio, times)),
        *(first, f"{numbers['memory_mb']} MB"),
    ]
    return "| " + " | ".join(cells) + " |"


def _table(contenders):
    return "\n".join([HEAD, *(_row(name, numbers) for name, numbers in contenders.items())])


def _case(case, section):
    run, contenders = section["run"], section["contenders"]
    machine = run["machine"]
    vectors = f" with {machine['vectors']}" if "vectors" in machine else ""
    distances = [c["gradient_distance"] for c in contenders.values() if "gradient_distance" in c]
    where = (
        f"{machine['cpu']}{vectors}, {machine['cores']} cores, torch {run['versions']['torch']}, "
        f"JAX {run['versions']['jax']}, {run['date']}, `{run['command']}`; meta-gradients agree "
        f"within {max(distances):.0e}."
    )
    parts = [f"**{case.title}**", _table(contenders), where]
    if FLOOR in contenders:
        floor = contenders[FLOOR]["seconds"]["median"]
        parts[-1] += (
            f" The floor is {section['flops'] / 1e9:.1f} GFLOP of matrix products at the "
            f"{section['flops'] / floor / 1e9:.0f} GFLOP/s reached on their shapes; "
            f"mamlkit takes {times(1 / contenders[FLOOR]['ratio']['median'])} times as long."
        )
    return "\n\n".join(parts)


def _cost(section):
    parts = [
        "## What MAML's relatives cost",
        "One inner step each, compiled; times and ratios to MAML within each round.",
    ]
    for case, size in SIZES.items():
        drawn = (
            f"{size['tasks']} tasks, {size['shots']} shots and {size['queries']} queries a class"
        )
        head = HEAD.replace("times mamlkit's", "times MAML's")
        rows = [_row(name, numbers) for name, numbers in section[case].items()]
        parts += [f"**{case}**, {drawn}", "\n".join([head, *rows])]
    return "\n\n".join(parts)


def _scaling(section):
    lines = ["| | one meta-step | per task | first call |", "| --- | ---: | ---: | ---: |"]
    for axis, points in section["axes"].items():
        for point in points:
            tasks = point["value"] if axis == "tasks" else CASES["sine"].size["tasks"]
            median = point["seconds"]["median"]
            each, first = f"{1e6 * median / tasks:.1f} µs", duration(point["first_call_s"])
            title = f"{point['value']} {axis}" if axis != "width" else f"width {point['value']}"
            lines.append(f"| {title} | {duration(median)} | {each} | {first} |")
    memory, sampling = section["evaluate_memory_mb"], section["sampling_s"]
    drawn = ", ".join(f"{name} {duration(seconds)}" for name, seconds in sampling.items())
    return "\n\n".join(
        [
            "## How the cost grows",
            "The sinusoid case, 25 tasks of 10 + 10 points, one inner step, width 40, with one of "
            "them changed.",
            "\n".join(lines),
            "![time per meta-step](scaling.png)",
            f"Evaluating 100 tasks takes {memory['100']} MB in all, 10,000 tasks "
            f"{memory['10000']} MB. Drawing one batch: {drawn}. Importing mamlkit takes "
            f"{duration(section['import_s'])} where torch is imported.",
        ]
    )


def _gpu(section):
    parts = [f"## On {section['device']}"]
    for name, found in section["cases"].items():
        contenders = found["contenders"]
        parts += [f"**{CASES[name].title}**", _table(contenders)]
        if "flops" in found:
            rate = found["flops"] / contenders[OURS]["seconds"]["median"]
            share = f", {rate / section['peak_flops']:.0%} of peak" if section["peak_flops"] else ""
            parts.append(f"mamlkit: {rate / 1e12:.2f} TFLOP/s in matrix products{share}.")
    if "full_run" in section:
        run = section["full_run"]
        parts.append(
            f"{run['iterations']:,} iterations of the paper's 5-way 1-shot Omniglot took "
            f"{run['seconds'] / 60:.1f} minutes: accuracy {run['accuracy']:.1%} ± "
            f"{100 * run['interval']:.1f} on 600 new tasks."
        )
    return "\n\n".join(parts)
