"""results.json as Markdown: the tables that RESULTS.md and the README have between their marks."""

from benchmarks.cases import CASES, FLOOR, MAMLKIT
from benchmarks.cost import SIZES

IN_README = "sine", "omniglot"
LEFT_OUT = FLOOR, "JAX, convolution", "mamlkit, eager", "parallel-metalearn"  # of the README
COLUMNS = (
    "| | fastest turn | median turn | times {0}'s, fastest turns | times {0}'s, median of rounds "
    "| first call | peak memory |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def summary(results):
    """Return what the README shows: one small table, times of mamlkit and ratios to it."""
    sections = [results.get(name) for name in IN_README]
    head = _line("", *(CASES[name].title for name in IN_README))
    rows = {
        name: None for case in IN_README for name in CASES[case].specs() if name not in LEFT_OUT
    }
    lines = [_line(_title(name), *(_cell(section, name) for section in sections)) for name in rows]
    machines = dict.fromkeys(_machine(section["run"]) for section in sections if section)
    measured = " ".join(f"{machine}." for machine in machines)
    table = "\n".join([head, "| --- | ---: | ---: |", *lines])
    note = "The fastest turn of each; a column was measured by turns, in one run."
    return f"{table}\n\n{note} {measured}".rstrip()


def _cell(section, name):
    if section is None:
        return "not measured" if name == MAMLKIT else ""
    row = section["contenders"].get(name)
    if row is None:
        return "–"
    return (
        duration(row["seconds"]["fastest"])
        if name == MAMLKIT
        else times(row["ratio"]["fastest"]) + " ×"
    )


def report(results):
    """Return the tables of RESULTS.md, by the name of their marks."""
    writers = dict.fromkeys(CASES, _case) | {"cost": _cost, "scaling": _scaling, "gpu": _gpu}
    return {
        f"bench-{name}": write(results[name]) if name in results else not_measured(name)
        for name, write in writers.items()
    }


def not_measured(name):
    """Return what stands in place of a table that results.json has no numbers for."""
    return f"Not measured yet: `python -m benchmarks --only {name}`."


def duration(seconds):
    """Return a time in a unit that fits it.

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
    """Return a ratio with three digits.

    >>> times(1.234), times(146.2)
    ('1.23', '146')
    """
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"


def _line(*cells):
    return "| " + " | ".join(cells) + " |"


def _title(name):
    return f"**{name}**" if name == MAMLKIT else name


def _machine(run):
    machine, versions = run["machine"], run["versions"]
    return (
        f"{machine['cpu']} with {machine['vectors']}, {machine['cores']} cores, torch "
        f"{versions['torch']}, JAX {versions['jax']}"
    )


def _where(run):
    threads = run["settings"].get("OMP_NUM_THREADS")
    threads = f"{threads} thread{'s' * (threads != '1')}" if threads else "as many threads as cores"
    load = f"load {run['machine']['load_before']:.1f} at the start"
    return f"{_machine(run)}, {threads}, {load}, {run['date']}, `{run['command']}`"


def _table(contenders, reference=MAMLKIT):
    lines = [COLUMNS.format(reference)]
    for name, row in contenders.items():
        seconds, ratio = row["seconds"], row["ratio"]
        first = duration(row["first_call_s"])
        if "warm_call_s" in row:
            first += f" ({duration(row['warm_call_s'])} warm)"
        cells = duration(seconds["fastest"]), duration(seconds["median"])
        cells += times(ratio["fastest"]), times(ratio["median"])
        lines.append(_line(_title(name), *cells, first, f"{row['memory_mb']} MB"))
    return "\n".join(lines)


def _case(section, where=None):
    contenders = section["contenders"]
    distances = [row["gradient_distance"] for n, row in contenders.items() if n != FLOOR]
    note = f"{where or _where(section['run'])}; meta-gradients agree within {max(distances):.0e}."
    if FLOOR in contenders:
        floor = contenders[FLOOR]
        rate = section["flops"] / floor["seconds"]["fastest"]
        note += (
            f" The floor is {section['flops'] / 1e9:.1f} GFLOP of matrix products at the "
            f"{rate / 1e9:.0f} GFLOP/s reached on their shapes; mamlkit takes "
            f"{times(1 / floor['ratio']['fastest'])} times as long."
        )
    return f"{_table(contenders)}\n\n{note}"


def _cost(section):
    parts = []
    for case, size in SIZES.items():
        examples = "points" if case == "sine" else "images a class"
        points = f"{size['tasks']} tasks, {size['shots']} + {size['queries']} {examples}"
        parts += [f"**{case}**, {points}", _table(section[case], "MAML")]
    return "\n\n".join([*parts, f"{_where(section['run'])}."])


def _scaling(section):
    lines = ["| | one meta-step | per task | first call |", "| --- | ---: | ---: | ---: |"]
    for axis, points in section["axes"].items():
        for point in points:
            tasks = point["value"] if axis == "tasks" else CASES["sine"].size["tasks"]
            median = point["seconds"]["median"]
            each, first = f"{1e6 * median / tasks:.1f} µs", duration(point["first_call_s"])
            title = f"{point['value']} {axis}" if axis != "width" else f"width {point['value']}"
            lines.append(_line(title, duration(median), each, first))
    memory = section["evaluate_memory_mb"]
    note = (
        f"Evaluating 100 tasks takes {memory['100']} MB in all, 10,000 tasks {memory['10000']} MB. "
        f"Importing mamlkit takes {duration(section['import_s'])} where torch is imported. "
        f"{_where(section['run'])}."
    )
    return "\n".join([*lines, "", note])


def _gpu(section):
    where = f"{section['device']}, {_where(section['run'])}"
    parts = [
        f"**{CASES[name].title}**\n\n{_case(case, where)}"
        for name, case in section["cases"].items()
    ]
    return "\n\n".join(parts)
