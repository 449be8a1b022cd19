"""`mamlkit train RECIPE`: the long runs, outside a notebook."""

import platform
from pathlib import Path

import click
import torch

import mamlkit
from mamlkit import pretrained
from mamlkit.recipes import RECIPES
from mamlkit.recipes.recipe import TEST_SEED
from mamlkit.training.fit import ADAM
from mamlkit.training.resume import describe

FEW = 100  # tasks on which a shipped network can soon be checked


@click.group()
@click.version_option(mamlkit.__version__)
def main():
    """Meta-learning experiments by name."""


@main.command()
@click.argument("recipe", type=click.Choice(sorted(RECIPES)))
@click.option("--seed", default=0, show_default=True, help="Of weights and training tasks.")
@click.option("--iterations", type=int, help="Fewer or more than the recipe says.")
@click.option("--checkpoint", type=click.Path(file_okay=False), help="Save to and resume from it.")
@click.option("--out", type=click.Path(file_okay=False), default="runs", show_default=True)
def train(recipe, seed, iterations, checkpoint, out):
    """Train RECIPE, test it, and write its parameters and card into a folder."""
    try:
        changes = {} if iterations is None else {"iterations": iterations}
        Path(out).mkdir(parents=True, exist_ok=True)
        file = RECIPES[recipe].trained_as or recipe
        run = RECIPES[recipe].train(seed=seed, checkpoint=checkpoint, **changes)
        pretrained.save_parameters(out, file, run.params)
        test = RECIPES[recipe].test(run.params, device="cpu")  # the same tasks on every machine
        pretrained.save_card(out, recipe, _card(recipe, seed, changes, run, test))
    except (ValueError, OSError, FloatingPointError) as error:
        raise click.ClickException(str(error)) from error
    steps, percent = range(len(test.mean)), RECIPES[recipe].percent
    click.echo("\n".join(f"after {s:2d} steps: {test.at(s, percent)}" for s in steps))
    click.echo(f"written to {out}/{file}.safetensors and {out}/{recipe}.json")


def _card(name, seed, changes, run, test):
    recipe = RECIPES[name]
    training = {"optimizer": ADAM, **recipe.training, **changes}
    training |= {
        key: describe(training[key]) for key in ("optimizer", "schedule") if key in training
    }
    longer = "".join(f" --{key} {value}" for key, value in changes.items())
    return {
        "recipe": name,
        "source": recipe.source,
        "command": f"mamlkit train {name} --seed {seed}{longer} --out mamlkit/pretrained",
        "seed": seed,
        "learner": repr(recipe.learner()),
        "tasks": repr(recipe.tasks()),
        "tested": repr(recipe.tester()),
        "test_tasks": repr(recipe.test_tasks()),
        "training": training,
        "training_seconds": round(run.seconds, 1),
        "testing": {**recipe.testing, "seed": TEST_SEED},
        "results": {
            "mean": [round(value, 4) for value in test.mean.tolist()],
            "interval95": [round(value, 4) for value in test.interval.tolist()],
            f"mean of the first {FEW}": [round(v, 4) for v in test.values[:FEW].mean(0).tolist()],
        },
        "data": recipe.data,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{next(iter(run.params.values())).device.type}",
        "versions": {"mamlkit": mamlkit.__version__, "torch": torch.__version__},
    }
