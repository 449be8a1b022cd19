"""What was measured, as Markdown: the tables of the README, of notebook 07 and of ACCURACY.md.

Three groups, by what adapts to a new task: every layer, the head, nothing. Rows of ours come from
accuracy.json (one recipe, three learners), paper.json (the paper's) and metric.json (Snell et
al.'s); published ones stand below them, each with its own split. Every row says which queries stood
in one batch.
"""

from statistics import mean

SETTINGS = "5way-1shot", "5way-5shot", "20way-1shot", "20way-5shot"
SPLITS = {
    "main": "no alphabet shared, upright",
    "vinyals": "Vinyals' 1,028/172/423, turned",
    "vinyals, validation in training": "Vinyals' 1,200/423, turned",
    "shuffled": "random 1,200/423, upright",
}
GROUPS = {  # what adapts: our methods, by the end of a recipe's name, then the published ones
    "Every layer adapts": (
        {"-paper": "MAML, the paper's recipe", "-maml": "MAML, our quick recipe"},
        (
            ("MAML, Finn et al. 2017", "random 1,100/100/423, turned", "K of each class",
             "98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2"),
            ("MAML, Raghu et al. 2020", "–", "–", "–", "–", "93.7 ± 0.7", "96.4 ± 0.1"),
            ("Meta-SGD, Li et al. 2017", "random 1,200/423", "–",
             "99.53 ± 0.26", "99.93 ± 0.09", "95.93 ± 0.38", "98.97 ± 0.19"),
            ("MAML++, Antoniou et al. 2019", "random 1,150/50/423", "together",
             "99.47", "99.93", "97.65", "99.33"),
            ("first-order MAML, run by Nichol et al. 2018", "–", "together",
             "98.3 ± 0.5", "99.2 ± 0.2", "89.4 ± 0.5", "97.9 ± 0.1"),
            ("Reptile, Nichol et al. 2018", "random 1,200/423, upright", "one of each class",
             "97.68 ± 0.04", "99.48 ± 0.06", "89.43 ± 0.14", "97.12 ± 0.32"),
            ("Reptile, Nichol et al. 2018", "random 1,200/423, upright", "each alone",
             "95.39 ± 0.09", "98.90 ± 0.10", "88.14 ± 0.15", "96.65 ± 0.33"),
        ),
    ),
    "Only the head adapts": (
        {"": "one MAML step from a zero head, our quick recipe"},
        (
            ("ANIL, Raghu et al. 2020", "–", "–", "–", "–", "96.2 ± 0.5", "98.0 ± 0.3"),
        ),
    ),
    "Nothing adapts": (
        {"-prototypes": "prototypical network, our quick recipe",
         "-snell": "prototypical network, Snell et al.'s form, 20 ways in training"},
        (
            ("prototypical network, Snell et al. 2017", "Vinyals' 1,200/423, turned",
             "any (running averages)", "98.8", "99.7", "96.0", "98.9"),
            ("matching network, Vinyals et al. 2016", "Vinyals' 1,200/423, turned", "–",
             "98.1", "98.9", "93.8", "98.5"),
            ("NIL, cosines of ANIL's features, Raghu et al. 2020", "–", "–",
             "–", "–", "96.7 ± 0.3", "98.0 ± 0.04"),
            ("relation network, Sung et al. 2018", "random 1,200/423", "together",
             "99.6 ± 0.2", "99.8 ± 0.1", "97.6 ± 0.2", "99.1 ± 0.1"),
        ),
    ),
}  # fmt: skip
QUERIES = {"together": "K of each class", "fifteen": "15 of each class", "apart": "each alone"}
FULL = 60_000  # iterations of the paper's recipe
POINTS = 8  # of a curve
HEAD = (
    "| | split | queries in one batch | 5-way 1-shot | 5-way 5-shot | 20-way 1-shot "
    "| 20-way 5-shot |\n| --- | --- | --- | ---: | ---: | ---: | ---: |"
)
HEAD_LEADS = (
    "| | 5-way 1-shot | 5-way 5-shot | 20-way 1-shot | 20-way 5-shot |\n"
    "| --- | ---: | ---: | ---: | ---: |"
)
HEAD_RUNS = (
    "| recipe | split | seed | before | steps | together | each alone | iterations | seconds |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def small(rows):
    """Return the README's table: ours, and in each group the first published row."""
    lines = [HEAD]
    for ours, published in GROUPS.values():
        best = [cells for cells in _methods(rows, ours) if cells[2] in ("any", QUERIES["together"])]
        lines += [_line(f"**{name}**, mamlkit", *cells) for name, *cells in best]
        lines.append(_line(*published[0]))
    return {"accuracy": "\n".join(lines)}


def summary(rows):
    """Return the tables of notebook 07, one a group."""
    parts = []
    for title, (ours, published) in GROUPS.items():
        own = [_line(f"**{name}**", *cells) for name, *cells in _methods(rows, ours)]
        parts += [f"**{title}**", "\n".join([HEAD, *own, *(_line(*p) for p in published)])]
    if any("minus zero head" in row for row in rows):
        parts += ["**Points more than the zero head, on the same tasks**", _leads(rows)]
    return {"accuracy": "\n\n".join([*parts, _where(rows)])}


def report(rows):
    """Return the tables of ACCURACY.md: those of notebook 07, and every run."""
    lines = [
        _line(row["recipe"], row["split"], row["seed"], _cell(row["together"], 0), _steps(row),
              _cell(row["together"], _steps(row)), _cell(row["apart"], _steps(row)),
              f"{row['iterations']:,}", f"{row['seconds']:,.0f}")
        for row in rows
        if "together" in row
    ]  # fmt: skip
    return {**summary(rows), "runs": "\n".join([HEAD_RUNS, *lines]), "curves": _curves(rows)}


def of_the_paper(rows):
    """Return rows of paper.json in the form of accuracy.json, whose splits have a column.

    >>> of_the_paper([{"recipe": "omniglot-5way-1shot-paper-main"}])
    [{'recipe': 'omniglot-5way-1shot-paper', 'split': 'main'}]
    """
    names = [row["recipe"].rpartition("-") for row in rows]
    return [
        {**row, "recipe": name, "split": split}
        for row, (name, _, split) in zip(rows, names, strict=True)
    ]


def of_snell(rows):
    """Return the whole runs of metric.json in the form of accuracy.json, a row for each setting.

    >>> test = {"20-way 1-shot": {"tasks": 1_000, "mean": [95.0], "interval": [0.2]}}
    >>> run = {"name": "snell", "split": "main", "iterations": 9, "queries": 15, "run": {}}
    >>> [row["recipe"] for row in of_snell([{**run, "prototypes": test}, {"name": "small cosine"}])]
    ['omniglot-20way-1shot-snell']
    """
    splits = {"main": "main", "vinyals": "vinyals, validation in training"}
    return [
        {
            "recipe": f"omniglot-{setting.replace('-', '').replace(' ', '-')}-snell",
            "split": splits[row["split"]],
            "iterations": row["iterations"],
            "steps": 0,
            "fifteen": test,
            **({"apart": row["apart"][setting]} if setting in row.get("apart", {}) else {}),
            "run": row["run"],
        }
        for row in rows
        if row["name"] == "snell" and row["queries"] == 15
        for setting, test in row["prototypes"].items()
    ]


def _curves(rows):
    """Return what the validation of each run said on the way."""
    lines = ["| recipe | seed | validation, %, after so many iterations |\n| --- | ---: | --- |"]
    for row in rows:
        points = row.get("validation") or []
        places = {round(i * (len(points) - 1) / (POINTS - 1)) for i in range(POINTS)}
        shown = [points[place] for place in sorted(places)] if points else []
        if shown:
            text = " · ".join(f"{done:,}: {value:.1f}" for done, value in shown)
            lines.append(_line(row["recipe"], row["seed"], text))
    return "\n".join(lines)


def _leads(rows):
    """Return how far the other learners of our quick recipe are ahead of the zero head."""
    lines = [HEAD_LEADS]
    for ours, _ in GROUPS.values():
        for suffix, title in ours.items():
            leads = [_lead(rows, f"omniglot-{setting}{suffix}") for setting in SETTINGS]
            lines += [_line(title, *leads)] if any(lead != "–" for lead in leads) else []
    return "\n".join(lines)


def _lead(rows, recipe):
    runs = [row for row in rows if row["recipe"] == recipe and "minus zero head" in row]
    return _cell(runs[0]["minus zero head"], 0).replace("-", "−") if runs else "–"


def _line(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def _methods(rows, methods):
    """Yield the cells of each method and split, one line for each way to ask."""
    for suffix, title in methods.items():
        for split, place in SPLITS.items():
            runs = [_longest(rows, f"omniglot-{s}{suffix}", split) for s in SETTINGS]
            if not any(runs):
                continue
            modes = [mode for mode in QUERIES if any(mode in r for each in runs for r in each)]
            cells = {mode: [_mean([r for r in each if mode in r], mode) for each in runs]
                     for mode in modes}  # fmt: skip
            if "together" in cells and cells["together"] == cells.get("apart"):
                yield title, place, "any", *cells["together"]
            else:
                yield from ((title, place, QUERIES[mode], *cells[mode]) for mode in modes)


def _longest(rows, recipe, split):
    """Return the runs of a recipe that were tested and trained as long as any of it."""
    runs = [row for row in rows if (row["recipe"], row["split"]) == (recipe, split)]
    runs = [row for row in runs if any(mode in row for mode in QUERIES)]
    most = max((row["iterations"] for row in runs), default=0)
    return [row for row in runs if row["iterations"] == most]


def _steps(row):
    """Return the inner steps after which a row is judged."""
    return row["steps"] if "steps" in row else len(row["together"]["mean"]) - 1


def _mean(rows, mode):
    """Return the mean over training seeds, ± that over test tasks, and the range of the seeds.

    >>> row = {"together": {"mean": [20.0, 98.25], "interval": [0.0, 0.15]}}
    >>> _mean([row], "together")
    '98.2 ± 0.1'
    """
    if not rows:
        return "–"
    last = [row[mode]["mean"][_steps(row)] for row in rows]
    half = mean(row[mode]["interval"][_steps(row)] for row in rows)
    text = f"{mean(last):.1f} ± {half:.1f}"
    done = rows[0].get("iterations", FULL)
    if rows[0].get("recipe", "").endswith("-paper") and done < FULL:
        text += f" ({done:,} iterations)"
    return text + (f" ({min(last):.1f}–{max(last):.1f})" if len(rows) > 1 else "")


def _cell(numbers, step):
    return f"{numbers['mean'][step]:.2f} ± {numbers['interval'][step]:.2f}"


def _where(rows):
    machines = {f"{row['run']['machine']['cpu']}, one thread a run" for row in rows}
    machines |= {row["device"] for row in rows if row.get("device", "CPU") != "CPU"}
    versions = sorted({row["run"]["versions"]["torch"] for row in rows})
    tasks = min(row[mode]["tasks"] for row in rows for mode in QUERIES if mode in row)
    return (
        f"mamlkit's rows: ± 95 % over {tasks:,} test tasks or more; the mean of the training "
        f"seeds, and their range in brackets where there were several, otherwise one seed; the "
        f"paper's recipe is of {FULL:,} iterations, or as many as a figure says. "
        f"{'; '.join(sorted(machines))}; torch {', '.join(versions)}."
    )
