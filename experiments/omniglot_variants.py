"""`python -m experiments.omniglot_variants`: settings of MAML's variants, on held-out alphabets.

Trains a member of `OMNIGLOT_VARIANTS` on 25 of the 30 background alphabets with other settings of
its learner or of the outer optimiser, and judges it on 200 5-way 1-shot episodes of the other five,
15 queries a class. The evaluation alphabets are never seen. Prints one line; SEARCH.md keeps them.
"""

import json
from functools import partial

import click
import torch

from mamlkit import FewShot, evaluate, fit, omniglot, without_validation
from mamlkit.recipes.omniglot import training_tasks
from mamlkit.recipes.omniglot_variants import MEMBERS, OMNIGLOT_VARIANTS, WAYS, learner

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@click.command()
@click.argument("member", type=click.Choice(list(MEMBERS)))
@click.argument("settings", default="{}")
@click.option("--iterations", default=400, show_default=True)
@click.option("--outer", type=click.Choice(list(OPTIMIZERS)), help="In place of the recipe's.")
@click.option("--outer-step", default=3e-3, show_default=True, help="Of that optimiser.")
@click.option("--test-steps", type=int, help="Inner steps in the test; as in training if left out.")
def main(member, settings, iterations, outer, outer_step, test_steps):
    """Make one try: SETTINGS is JSON of the learner's arguments, such as {"lr": 0.1}."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        variant = learner(member, **json.loads(settings))
    except (TypeError, ValueError) as error:
        raise click.ClickException(
            f"SETTINGS must be JSON of {MEMBERS[member].func.__name__}'s arguments: {error}"
        ) from None
    training, validation = without_validation(omniglot("background"))
    options = {**OMNIGLOT_VARIANTS[f"omniglot-5way-1shot-{member}"].training}
    options |= {"iterations": iterations, "compile": True, "device": "cpu", "progress": False}
    if outer:
        options["optimizer"] = partial(OPTIMIZERS[outer], lr=outer_step)
    run = fit(variant, training_tasks(WAYS, images=training.images, bend=0.0), **options)
    episodes = FewShot(validation.images, WAYS, device="cpu")
    steps = variant.steps if test_steps is None else test_steps
    test = {"shots": 1, "queries": 15, "tasks": 200, "steps": steps, "seed": 12345}
    accuracy = evaluate(variant, run.params, episodes, **test).format(steps, percent=True)
    click.echo(f"{member} {settings}: {accuracy} in {run.seconds:.0f} s")


if __name__ == "__main__":
    main()
