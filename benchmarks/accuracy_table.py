"""accuracy.json as Markdown: the tables of the README, of notebook 07 and of ACCURACY.md."""

import re
from statistics import mean, median

BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"
SETTINGS = "5way-1shot", "5way-5shot", "20way-1shot", "20way-5shot"
METHODS = {
    "": "**MAML**, head from zero; its one step moves the head alone"
}  # the end of a recipe's name; what the table calls it
FAMILY = {
    "-zeroed": "MAML, head from zero",
    "-learned-head": "MAML, head learned, as in the paper",
    "-first-order": "first-order MAML, 8 inner steps",
    "-anil": "ANIL",
    "-meta-sgd": "Meta-SGD",
    "-maml-plus-plus": "MAML++, 2 inner steps",
    "-reptile": "Reptile, 5 inner steps, 20 in the test, Adam outside",
    "-prototypical": "prototypical network, no inner step",
}
PUBLISHED = {  # 5-way 1-shot, 5-way 5-shot, 20-way 1-shot, 20-way 5-shot; queries; source
    "MAML": ("98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2", "together",
             "Finn et al. 2017"),
    "MAML++": ("99.47", "99.93", "97.65", "99.33", "together", "Antoniou et al. 2019"),
    "Meta-SGD": ("99.53", "99.93", "95.93", "98.97", "together", "Li et al. 2017"),
    "first-order MAML": ("98.3", "99.2", "89.4", "97.9", "together", "Nichol et al. 2018"),
    "Reptile": ("97.68", "99.48", "89.43", "97.12", "together", "Nichol et al. 2018"),
    "Reptile ": ("95.39", "98.90", "88.14", "96.65", "each by itself", "Nichol et al. 2018"),
    "ANIL": ("–", "–", "96.2", "98.0", "together", "Raghu et al. 2020"),
    "prototypical network": ("98.8", "99.7", "96.0", "98.9", "–", "Snell et al. 2017"),
}  # fmt: skip
UNTUNED = (
    "First-order MAML, MAML++ and Reptile were tuned in a few short tries and stay far below their "
    "papers, which train tens of thousands of iterations: their rows say nothing against the "
    "methods."
)
SPLITS = {
    "main": "background → evaluation, no alphabet shared",
    "shuffled": "a random 1,200/423, alphabets shared, as in most papers",
}
REMARKS = {  # on a split's table
    "shuffled": "Of these 423 test characters 260 come from the background split, on which the "
    "recipe was chosen: a figure a little kinder to it than the one above. The draw is seed 0 of "
    "`shuffled_split`; the papers' own is lost."
}
HEAD = (
    "| | 5-way 1-shot | 5-way 5-shot | 20-way 1-shot | 20-way 5-shot | queries |\n"
    "| --- | ---: | ---: | ---: | ---: | --- |"
)


def summary(rows, link):
    """One table for each split, then the papers' figures; `link` leads to ACCURACY.md."""
    parts = []
    for split, title in SPLITS.items():
        here = [row for row in rows if row["split"] == split]
        lines = list(_lines(here, METHODS))
        if lines:
            parts += [f"**{title}**", "\n".join([HEAD, *lines])]
            parts += [REMARKS[split]] if split in REMARKS else []
        family = list(_lines(here, FAMILY))
        if family:
            parts += [f"**relatives, {_budget(here)}; {title}**", "\n".join([HEAD, *family])]
            parts += [UNTUNED]
    papers = [
        "| " + " | ".join([f"{method.strip()}, {source}", *cells, queries]) + " |"
        for method, (*cells, queries, source) in PUBLISHED.items()
    ]
    parts += ["**published, random 1,200/423**", "\n".join([HEAD, *papers]), _where(rows, link)]
    return "\n\n".join(parts)


def report(rows):
    """The whole of ACCURACY.md."""
    head = (
        "| recipe | split | seed | before | steps | together | each by itself "
        "| iterations | seconds | threads |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    lines = [
        f"| {row['recipe']} | {row['split']} | {row['seed']} | {_cell(row['together'], 0)} "
        f"| {len(row['together']['mean']) - 1} | {_cell(row['together'])} | {_cell(row['apart'])} "
        f"| {row['iterations']:,} | {row['seconds']:,.0f} | {row['threads']} |"
        for row in rows
    ]
    return "\n\n".join(
        [
            "# Accuracy on Omniglot",
            "Made by `python -m benchmarks.accuracy` from [accuracy.json](accuracy.json). Percent "
            "± 95 % over test tasks of 15 queries a class, after as many inner steps as in "
            "training, *together* with all queries of the task in one batch or *each by itself* "
            "beside the support set. *Before* is before any adaptation: chance is one in the "
            "number of ways.",
            summary(rows, "ACCURACY.md"),
            "## Every run",
            "\n".join([head, *lines]),
        ]
    ) + "\n"  # fmt: skip


def insert(text, rows, link="benchmarks/ACCURACY.md"):
    """A page's text with the section between the marks made anew, if it has the marks."""
    section = f"{BEGIN}\n{summary(rows, link)}\n{END}"
    return re.sub(f"{BEGIN}.*?{END}", lambda _: section, text, flags=re.DOTALL)


def _budget(rows):
    """What the family had in common, in words."""
    runs = [row for row in rows if any(row["recipe"].endswith(end) for end in FAMILY)]
    times = [row["seconds"] / 60 for row in runs]
    (iterations,) = {row["iterations"] for row in runs}
    return (
        f"each with the small network of notebook 07 and {iterations:,} iterations on 5 ways, "
        f"{min(times):.0f} to {max(times):.0f} minutes, {median(times):.0f} in the median (more "
        "where the machine did much else)"
    )


def _lines(rows, methods):
    """A line for each method, two where the other queries matter."""
    for suffix, title in methods.items():
        runs = {
            setting: [row for row in rows if row["recipe"] == f"omniglot-{setting}{suffix}"]
            for setting in SETTINGS
        }
        if not any(runs.values()):
            continue
        cells = {mode: [_mean(runs[s], mode) for s in SETTINGS] for mode in ("together", "apart")}
        if cells["together"] == cells["apart"]:
            yield _line(title, cells["apart"], "either way")
        else:
            yield _line(title, cells["together"], "together")
            yield _line(title, cells["apart"], "each by itself")


def _line(title, cells, queries):
    return "| " + " | ".join([title, *cells, queries]) + " |"


def _mean(rows, mode):
    """The mean over training seeds, ± that over test tasks; the seeds' range where there are some.

    >>> row = {"apart": {"mean": [20.0, 98.25], "interval": [0.0, 0.15]}}
    >>> _mean([row], "apart")
    '98.2 ± 0.1'
    """
    if not rows:
        return "–"
    last = [row[mode]["mean"][-1] for row in rows]
    text = f"{mean(last):.1f} ± {mean(row[mode]['interval'][-1] for row in rows):.1f}"
    return text + (f" ({min(last):.1f}–{max(last):.1f})" if len(rows) > 1 else "")


def _cell(numbers, step=-1):
    return f"{numbers['mean'][step]:.2f} ± {numbers['interval'][step]:.2f}"


def _where(rows, link):
    machines = {
        f"{row['run']['machine']['cpu']}, {row['threads']} thread{'s' * (row['threads'] > 1)} a run"
        for row in rows
    }
    versions = {row["run"]["versions"]["torch"] for row in rows}
    longest = max(row["seconds"] for row in rows) / 60
    tasks = min(row["together"]["tasks"] for row in rows)
    return (
        f"mamlkit's rows: ± 95 % over {tasks:,} test tasks; the mean of the training seeds, and "
        f"their range in brackets where there were several. {'; '.join(sorted(machines))}, at most "
        f"{longest:.0f} minutes of training, torch {', '.join(sorted(versions))}. Every run, with "
        f"its command: [benchmarks/ACCURACY.md]({link})."
    )
