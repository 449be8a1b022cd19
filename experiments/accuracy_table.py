"""accuracy.json as Markdown: the tables of the README, of notebook 07 and of ACCURACY.md."""

from statistics import mean, median

SETTINGS = "5way-1shot", "5way-5shot", "20way-1shot", "20way-5shot"
MAML = {"": "**MAML**, head from zero; its one step moves the head alone"}
VARIANTS = {  # the end of a recipe's name: what the table calls it
    "-zero-head": "MAML, head from zero",
    "-learned-head": "MAML, head learned, as in the paper",
    "-first-order": "first-order MAML, 8 inner steps",
    "-anil": "ANIL",
    "-meta-sgd": "Meta-SGD",
    "-maml-plus-plus": "MAML++, 2 inner steps",
    "-reptile": "Reptile, 5 inner steps, 20 in the test, Adam outside",
    "-prototypical": "prototypical network, no inner step",
}
PUBLISHED = (  # 5-way 1-shot, 5-way 5-shot, 20-way 1-shot, 20-way 5-shot; queries
    ("MAML, Finn et al. 2017", "98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2", "together"),
    ("MAML++, Antoniou et al. 2019", "99.47", "99.93", "97.65", "99.33", "together"),
    ("Meta-SGD, Li et al. 2017", "99.53", "99.93", "95.93", "98.97", "together"),
    ("first-order MAML, Nichol et al. 2018", "98.3", "99.2", "89.4", "97.9", "together"),
    ("Reptile, Nichol et al. 2018", "97.68", "99.48", "89.43", "97.12", "together"),
    ("Reptile, Nichol et al. 2018", "95.39", "98.90", "88.14", "96.65", "each by itself"),
    ("ANIL, Raghu et al. 2020", "–", "–", "96.2", "98.0", "together"),
    ("prototypical network, Snell et al. 2017", "98.8", "99.7", "96.0", "98.9", "–"),
)
SPLITS = {
    "main": "background → evaluation, no alphabet shared",
    "shuffled": "a random 1,200/423, alphabets shared, as in most papers",
}
SHORT = {"main": "alphabets unseen", "shuffled": "random 1,200/423"}
HEAD = (
    "| | 5-way 1-shot | 5-way 5-shot | 20-way 1-shot | 20-way 5-shot |\n"
    "| --- | ---: | ---: | ---: | ---: |"
)
HEAD_QUERIES = HEAD.replace("\n", " queries |\n") + " --- |"
HEAD_RUNS = (
    "| recipe | split | seed | before | steps | together | each by itself "
    "| iterations | seconds | threads |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def small(rows):
    """Return the README's table: mamlkit on both splits beside the paper."""
    lines = [HEAD]
    for split, title in SHORT.items():
        for _, *cells, _ in _methods(_of(rows, split), MAML):
            lines.append(_line(f"**one step from a zero head, mamlkit**, {title}", *cells))
    name, *cells, _ = PUBLISHED[0]
    lines.append(_line(f"{name}, {SHORT['shuffled']}", *cells))
    return {"accuracy": "\n".join(lines)}


def summary(rows):
    """Return the table of notebook 07: each split, MAML's variants, and the papers."""
    parts = []
    for split, title in SPLITS.items():
        runs = _of(rows, split)
        for what, methods in ((title, MAML), (f"variants, {title}; {_budget(runs)}", VARIANTS)):
            if lines := [_line(*cells) for cells in _methods(runs, methods)]:
                parts += [f"**{what}**", "\n".join([HEAD_QUERIES, *lines])]
    papers = [_line(*cells) for cells in PUBLISHED]
    parts += ["**published, random 1,200/423**", "\n".join([HEAD_QUERIES, *papers]), _where(rows)]
    return {"accuracy": "\n\n".join(parts)}


def report(rows):
    """Return the tables of ACCURACY.md: those of notebook 07, and every run."""
    lines = [
        _line(row["recipe"], row["split"], row["seed"], _cell(row["together"], 0),
              len(row["together"]["mean"]) - 1, _cell(row["together"]), _cell(row["apart"]),
              f"{row['iterations']:,}", f"{row['seconds']:,.0f}", row["threads"])
        for row in rows
    ]  # fmt: skip
    return {**summary(rows), "runs": "\n".join([HEAD_RUNS, *lines])}


def _of(rows, split):
    return [row for row in rows if row["split"] == split]


def _line(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def _budget(rows):
    """Return what the variants have in common, in words."""
    runs = [row for row in rows if any(row["recipe"].endswith(end) for end in VARIANTS)]
    if not runs:
        return ""
    minutes = [row["seconds"] / 60 for row in runs]
    (iterations,) = {row["iterations"] for row in runs}
    return (
        f"the small network of this series, {iterations:,} iterations on 5 ways, "
        f"{min(minutes):.0f} to {max(minutes):.0f} minutes, {median(minutes):.0f} in the median"
    )


def _methods(rows, methods):
    """Yield the cells of each method, twice where the other queries matter."""
    for suffix, title in methods.items():
        runs = [[r for r in rows if r["recipe"] == f"omniglot-{s}{suffix}"] for s in SETTINGS]
        if not any(runs):
            continue
        together, apart = ([_mean(each, mode) for each in runs] for mode in ("together", "apart"))
        if together == apart:
            yield title, *apart, "either way"
        else:
            yield title, *together, "together"
            yield title, *apart, "each by itself"


def _mean(rows, mode):
    """Return the mean over training seeds, ± that over test tasks, and the range of the seeds.

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


def _where(rows):
    machines = sorted({row["run"]["machine"]["cpu"] for row in rows})
    versions = sorted({row["run"]["versions"]["torch"] for row in rows})
    longest = max(row["seconds"] for row in rows) / 60
    tasks = min(row["together"]["tasks"] for row in rows)
    return (
        f"mamlkit's rows: ± 95 % over {tasks:,} test tasks; the mean of the training seeds, and "
        f"their range in brackets where there were several. {'; '.join(machines)}, one thread a "
        f"run, at most {longest:.0f} minutes of training, torch {', '.join(versions)}."
    )
