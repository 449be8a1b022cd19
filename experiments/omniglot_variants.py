"""`python -m experiments.omniglot_variants maml 2.0`: the scale of a variant.

Trains a member of `OMNIGLOT_VARIANTS` for 400 iterations on 25 of the 30 background alphabets with
another step size, or first temperature, and judges it on 600 1-shot episodes of the other five, 15
queries a class, in as many ways as it trained with. The evaluation alphabets are never seen.
results/omniglot_variants.json keeps every try.
"""

from functools import partial
from pathlib import Path

import click
import torch

from benchmarks.records import load_average, provenance, read, write
from experiments.accuracy import percent
from mamlkit import FewShot, evaluate, fit, omniglot, without_validation
from mamlkit.recipes.omniglot import OUTER_LOOP, TRAINING, TRAINING_WAYS, training_tasks
from mamlkit.recipes.omniglot_variants import MEMBERS

RESULTS = Path(__file__).parent / "results" / "omniglot_variants.json"


@click.command()
@click.argument("member", type=click.Choice(list(MEMBERS)))
@click.argument("scale", type=click.FloatRange(min=0, min_open=True))
@click.option("--ways", default=TRAINING_WAYS, show_default=True, help="In training and test.")
@click.option("--outer-step", default=5e-3, show_default=True, help="Adam's.")
@click.option("--iterations", default=400, show_default=True)
def main(member, scale, ways, outer_step, iterations):
    """Make one try: SCALE is MAML's step size, or the first temperature of prototypes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    load, learner = load_average(), MEMBERS[member](ways, scale)
    training, validation = without_validation(omniglot("background"))
    images = TRAINING["tasks_per_batch"] * TRAINING_WAYS
    options = {**TRAINING, **OUTER_LOOP, "iterations": iterations}
    options["tasks_per_batch"] = images // ways
    options["optimizer"] = partial(torch.optim.Adam, lr=outer_step)
    tasks = training_tasks(ways, images=training.images)
    run = fit(learner, tasks, **options, compile=True, device="cpu", progress=False)
    episodes = FewShot(validation.images, ways, device="cpu")
    steps = 0 if member == "prototypes" else 1
    test = {"shots": 1, "queries": 15, "tasks": 600, "steps": steps, "seed": 12345}
    found = percent(evaluate(learner, run.params, episodes, **test))
    row = {"member": member, "scale": scale, "outer step": outer_step, "ways": ways}
    row |= {"iterations": iterations, **found}
    command = f"python -m experiments.omniglot_variants {member} {scale} --ways {ways}"
    command += f" --outer-step {outer_step} --iterations {iterations}"
    row["run"] = provenance(load, command)
    write(RESULTS, [*read(RESULTS, []), row])
    click.echo(f"{member} {scale}, {ways} ways: {found['mean'][-1]} ± {found['interval'][-1]}")


if __name__ == "__main__":
    main()
