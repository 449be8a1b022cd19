"""`python -m experiments.search`: what was tried on the way to the Omniglot recipes.

Each try trains on 25 of the 30 background alphabets for about as many seconds as asked, on one
thread, and is judged on 600 5-way 1-shot episodes of the other five, 15 queries a class, and on 300
20-way 1-shot episodes, 5 queries a class, all queries predicted together. The evaluation alphabets
are never seen. results/search.json keeps the figures, SEARCH.md shows them.
"""

import json
import shlex
from functools import partial
from pathlib import Path

import click
import torch
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

import mamlkit
from benchmarks.records import load_average, provenance, read, refill, write
from mamlkit import FewShot, OmniglotNetwork, Warped, evaluate, fit, omniglot, without_validation

HERE = Path(__file__).parent
RESULTS, REPORT = HERE / "results" / "search.json", HERE / "SEARCH.md"
WARMUP = 100  # iterations in which the outer step grows from nothing

LEARNERS = {  # "MAML" learns one step size for each tensor
    "MAML": ("MAMLPlusPlus", {"lr": 0.4, "multi_step_until": 0, "first_order_until": 0}),
    "ZeroHead": ("ZeroHead", {"lr": 0.4}),
    "prototypical network": ("ProtoMAML", {"lr": 0.0}),
}
DEFAULTS = {
    "steps": 1, "filters": 64, "norm": "batch", "features": "all", "ways": 5, "tasks": 16,
    "queries": 5, "mirrors": False, "warped": False, "outer step": 3e-3, "downsample": "stride",
    "bend": 0.0,
}  # fmt: skip
HEAD = (
    "| learner | steps | filters | norm | ways | tasks × queries | mirrors, warps "
    "| outer step | iterations | seconds | training loss | 5-way, % | 20-way, % |\n"
    "| --- | ---: | --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def attempt(settings, seconds, iterations, seed):
    """Train and judge one try; return its row in search.json."""
    chosen, load = {**DEFAULTS, **settings}, load_average()
    kind, options = LEARNERS[chosen["learner"]]
    network = {name: chosen[name] for name in ("filters", "norm", "features", "downsample")}

    def build(ways):
        torch.manual_seed(seed)
        module = OmniglotNetwork(ways, **network)
        return getattr(mamlkit, kind)(module, cross_entropy, steps=chosen["steps"], **options)

    training, validation = without_validation(omniglot("background"))
    symmetries = {"rotations": True, "mirrors": chosen["mirrors"]}
    tasks = FewShot(training.images, chosen["ways"], **symmetries, device="cpu")
    if chosen["warped"]:
        tasks = Warped(tasks, bend=chosen["bend"])
    adam = partial(torch.optim.Adam, lr=chosen["outer step"])
    train = partial(
        fit, build(chosen["ways"]), tasks, shots=1, queries=chosen["queries"], optimizer=adam,
        tasks_per_batch=chosen["tasks"], compile=True, seed=seed, device="cpu", progress=False,
    )  # fmt: skip
    if iterations is None:
        trial = train(iterations=12)
        iterations = int(seconds / ((trial.seconds - trial.compile_seconds) / 11))
    run = train(iterations=iterations, schedule=partial(rise_and_cosine, iterations))
    command = [json.dumps(settings), "--iterations", str(iterations), "--seed", str(seed)]

    def judge(ways, queries, tasks):
        episodes = FewShot(validation.images, ways, device="cpu")
        result = evaluate(build(ways), run.params, episodes, shots=1, queries=queries, tasks=tasks,
                          steps=chosen["steps"], seed=12345)  # fmt: skip
        return [round(100 * x[-1].item(), 2) for x in (result.mean, result.interval)]

    five, twenty = judge(5, 15, 600), judge(20, 5, 300)
    return {
        "settings": settings,
        "seed": seed,
        "iterations": iterations,
        "seconds": round(run.seconds, 1),
        "loss": round(run.history["loss"][-100:].mean().item(), 4),
        "accuracy": five[0],
        "interval": five[1],
        "20 ways": twenty,
        "run": provenance(load, f"python -m experiments.search {shlex.join(command)}"),
    }


def rise_and_cosine(iterations, optimizer):
    """Return a schedule: a linear rise over the first iterations, then a cosine to 0."""
    rise = max(1, min(WARMUP, iterations // 10))
    parts = [
        LinearLR(optimizer, 1 / rise, total_iters=rise),
        CosineAnnealingLR(optimizer, max(1, iterations - rise)),
    ]
    return SequentialLR(optimizer, parts, milestones=[rise])


def report(rows):
    """Return the table of SEARCH.md."""
    return {"search": "\n".join([HEAD, *map(_line, rows)])}


def _line(row):
    chosen = {**DEFAULTS, **row["settings"]}
    filters = chosen["filters"]
    more = [name for name in ("mirrors", "warped") if chosen[name]]
    more += [f"bent by {chosen['bend']}"] if chosen["bend"] else []
    notes = ["mean features"] if chosen["features"] == "mean" else []
    notes += ["pooling"] if chosen["downsample"] == "pool" else []
    notes += [row["note"]] if "note" in row else []
    cells = [
        ", ".join([chosen["learner"], *notes]),
        chosen["steps"],
        filters if isinstance(filters, int) else "-".join(map(str, filters)),
        chosen["norm"],
        chosen["ways"],
        f"{chosen['tasks']} × {chosen['queries']}",
        ", ".join(more) or "–",
        chosen["outer step"],
        f"{row['iterations']:,}",
        f"{row['seconds']:.0f}",
        f"{row['loss']:.3f}",
        f"{row['accuracy']:.1f} ± {row['interval']:.1f}",
        "{:.1f} ± {:.1f}".format(*row["20 ways"]) if "20 ways" in row else "–",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


@click.command()
@click.argument("settings")
@click.option("--seconds", default=240.0, show_default=True, help="Of training, about.")
@click.option("--iterations", type=click.IntRange(min=1), help="In place of seconds.")
@click.option("--seed", default=0, show_default=True)
def main(settings, seconds, iterations, seed):
    """Make one more try: SETTINGS is JSON, such as {"learner": "MAML", "ways": 5}."""
    torch.set_num_threads(1)
    try:
        settings = dict(json.loads(settings))
    except ValueError as error:
        raise click.ClickException(f"SETTINGS must be JSON, in quotes: {error}") from None
    unknown = set(settings) - set(DEFAULTS) - {"learner"}
    if unknown or settings.get("learner") not in LEARNERS:
        known = ", ".join(["learner", *DEFAULTS])
        raise click.ClickException(
            f"settings may be {known}; the learner one of {', '.join(LEARNERS)}; got {settings}"
        )
    row = attempt(settings, seconds, iterations, seed)
    rows = [*read(RESULTS, []), row]
    write(RESULTS, rows)
    refill(REPORT, report(rows))
    click.echo(_line(row))


if __name__ == "__main__":
    main()
