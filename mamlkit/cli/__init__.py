"""`mamlkit`: the long runs, outside a notebook. See `mamlkit --help`."""

import json
from functools import partial
from pathlib import Path

import click
import torch

import mamlkit
from mamlkit import files, pretrained, processes
from mamlkit.cli.around import connected, explained, log
from mamlkit.pretrained.cards import card
from mamlkit.recipes import RECIPES
from mamlkit.recipes.recipe import TEST_SEED
from mamlkit.training import checkpoint as checkpoints
from mamlkit.training.fit import ADAM

COMMAND = "command.json"  # in a run's folder: what was asked for
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
COMPILE = {"auto": "auto", "yes": True, "no": False}
RECIPE = click.Choice(sorted(RECIPES))
FOLDER = click.Path(file_okay=False)


@click.group(epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 diverged, 130 and 143 stopped.")
@click.version_option(mamlkit.__version__)
def main():
    """Meta-learning experiments by name."""


def fields(command):
    """A recipe's training fields as options."""
    whole = lambda name, text: click.option(f"--{name}", type=int, help=text)
    options = [
        whole("iterations", "Updates of the meta-parameters in all."),
        whole("shots", "Support examples of a task (of each class)."),
        whole("queries", "Query examples of a task (of each class)."),
        whole("tasks-per-batch", "Tasks in each update."),
        click.option("--optimizer", type=click.Choice(OPTIMIZERS), help="Of the outer loop."),
        click.option("--lr", type=float, help="The optimiser's step size."),
        click.option("--schedule", type=click.Choice(["cosine", "none"]), help="Of that step."),
        click.option("--clip", type=float, help="The largest norm of the meta-gradient."),
        whole("skip", "Batches with a gradient that is not finite to leave out, at most."),
        whole("chunk", "Tasks at a time; by default what is fastest. Few need less memory."),
        click.option("--compile", type=click.Choice(COMPILE), help="Compile the meta-step."),
        click.option("--device", help="auto, cpu, cuda, cuda:1 or mps."),
        whole("checkpoint-every", "Iterations between checkpoints."),
        whole("keep", "Checkpoints that stay."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("recipe", type=RECIPE)
@click.option("--seed", default=0, show_default=True, help="Of weights and training tasks.")
@fields
@click.option("--checkpoint", type=FOLDER, help="Save to this folder, and go on from it.")
@click.option("--tensorboard", type=FOLDER, help="Write losses there, for TensorBoard.")
@click.option("--out", type=FOLDER, default="runs", show_default=True, help="Of what is learned.")
@click.option("--progress/--quiet", default=True, help="Show a bar.")
def train(**asked):
    """Train RECIPE, test it, and write its parameters and card into a folder.

    Options that are not given are as the recipe says. With --checkpoint, the same command again, or
    `mamlkit resume`, goes on where a run was stopped. Several processes:
    torchrun --nproc-per-node=4 -m mamlkit train RECIPE
    """
    _train(asked)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, exists=True))
@click.option("--iterations", type=int, help="More than were asked for.")
@click.option("--progress/--quiet", default=True, help="Show a bar.")
def resume(folder, iterations, progress):
    """Go on with the run in FOLDER, which `mamlkit train --checkpoint FOLDER` began."""
    path = Path(folder) / COMMAND
    try:
        asked = json.loads(path.read_text())
        known = asked.keys() == {p.name for p in train.params} and asked["recipe"] in RECIPES
    except (OSError, ValueError, AttributeError) as error:
        raise click.ClickException(
            f"no run can be resumed in {folder}: {path.name} cannot be read ({error}); begin one "
            f"with mamlkit train RECIPE --checkpoint {folder}"
        ) from error
    if not known:
        raise click.ClickException(
            f"{path} is not of this version of mamlkit; repeat the train command"
        )
    longer = {} if iterations is None else {"iterations": iterations}
    _train({**asked, **longer, "checkpoint": folder, "progress": progress})


@main.command()
@click.argument("recipe", type=RECIPE)
@click.option("--run", "folder", type=FOLDER, help="A run's folder; default: what ships.")
@click.option("--best", is_flag=True, help="The run's best by validation, not its newest.")
@click.option("--tasks", type=int, help="How many new tasks.")
@click.option("--shots", type=int, help="Support examples of a task (of each class).")
@click.option("--steps", type=int, help="Gradient steps on each.")
@click.option("--seed", default=TEST_SEED, show_default=True, help="Of the tasks.")
@click.option("--device", default="cpu", show_default=True)
def evaluate(recipe, folder, best, tasks, shots, steps, seed, device):
    """Test the network of RECIPE that ships, or one from a run's folder, on new tasks."""
    given = {"tasks": tasks, "shots": shots, "steps": steps}
    changes = {name: value for name, value in given.items() if value is not None}
    with connected(device) as device, explained():
        params = _parameters(recipe, folder, best)
        test = RECIPES[recipe].test(params, seed=seed, device=device, **changes)
        if processes.first():
            _tell(recipe, test)


@main.command()
def data():
    """Find Omniglot, fetch it where it is missing, and check every pixel."""
    from mamlkit.tasks.archive import SPLITS
    from mamlkit.tasks.characters import characters

    for split in SPLITS:
        with explained():
            found = characters(split)
        alphabets = len(set(found.alphabets))
        click.echo(f"{split}: {len(found.images)} characters of {alphabets} alphabets, as expected")


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(options):
    """Measure mamlkit's speed beside its peers'; in a checkout, like `make bench`."""
    try:
        from benchmarks.__main__ import main as run
    except ImportError as error:
        raise click.ClickException(
            f"the benchmarks are not installed with mamlkit ({error}); run `make bench` in a clone"
        ) from error
    run(list(options))


def _train(asked):
    recipe = RECIPES[asked["recipe"]]
    out, file = Path(asked["out"]), recipe.trained_as or asked["recipe"]
    with connected(asked["device"] or "auto") as device, explained(asked["checkpoint"]):
        changes = _changes(recipe, asked)
        if processes.first():
            out.mkdir(parents=True, exist_ok=True)
            if asked["checkpoint"]:
                content = (json.dumps(asked, indent=1) + "\n").encode()
                files.write_whole(Path(asked["checkpoint"]) / COMMAND, content)
        with log(asked["tensorboard"]) as tell:
            quiet = {"progress": asked["progress"], "log": tell, "checkpoint": asked["checkpoint"]}
            run = recipe.train(seed=asked["seed"], device=device, **quiet, **changes)
        test = recipe.test(run.params, device="cpu")  # the same tasks on every machine
        if processes.first():
            pretrained.save_parameters(out, file, run.params)
            facts = card(asked["recipe"], asked["seed"], _words(asked), changes, run, test)
            pretrained.save_card(out, asked["recipe"], facts)
            _tell(asked["recipe"], test)
            click.echo(f"written to {out}/{file}.safetensors and {out}/{asked['recipe']}.json")


def _changes(recipe, asked):
    """The keywords of `fit` that the options change."""
    names = {p.name for p in train.params} - {
        "recipe", "seed", "checkpoint", "tensorboard", "out", "progress", "device", "optimizer",
        "lr", "schedule", "compile",
    }  # fmt: skip
    changes = {name: asked[name] for name in names if asked[name] is not None}
    if asked["schedule"]:
        changes["schedule"] = None if asked["schedule"] == "none" else asked["schedule"]
    if asked["compile"]:
        changes["compile"] = COMPILE[asked["compile"]]
    if asked["optimizer"] or asked["lr"] is not None:
        own = recipe.training.get("optimizer", ADAM)
        kind = OPTIMIZERS[asked["optimizer"]] if asked["optimizer"] else own.func
        lr = own.keywords["lr"] if asked["lr"] is None else asked["lr"]
        changes["optimizer"] = partial(kind, lr=mamlkit.require.number("train", "lr", lr, above=0))
    return changes


def _words(asked):
    """The options that were given, as one types them, but for where things lie."""
    numbers = {p.name for p in train.params} - {
        "recipe", "seed", "checkpoint", "checkpoint_every", "keep", "tensorboard", "out", "progress"
    }  # fmt: skip
    given = {k: asked[k] for k in asked if k in numbers and asked[k] is not None}
    return "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items())


def _parameters(recipe, folder, best):
    if folder is None:
        return pretrained.load(recipe, device="cpu")[1]
    path = Path(folder) / checkpoints.BEST
    found = checkpoints.read(path) if best and path.is_file() else checkpoints.newest(folder)
    if found is None or (best and not path.is_file()):
        raise ValueError(f"{folder} holds no {'best ' * best}checkpoint; train with --checkpoint")
    return found.tensors["params"]


def _tell(recipe, test):
    for step in range(len(test.mean)):
        click.echo(f"after {step:2d} steps: {test.at(step, RECIPES[recipe].percent)}")
