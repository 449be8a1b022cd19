"""`mamlkit`: the long runs, outside a notebook. See `mamlkit --help`."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from torch.optim import SGD, Adam, AdamW

import mamlkit
from mamlkit import files, pretrained
from mamlkit.evaluation import Evaluation
from mamlkit.recipes import RECIPES
from mamlkit.recipes.recipe import TEST_SEED
from mamlkit.tasks.omniglot import SPLITS, omniglot
from mamlkit.training import checkpoint as checkpoints
from mamlkit.training import distributed
from mamlkit.training.fit import ADAM

COMMAND = "command.json"  # in a run's folder: the options it was started with
VALUES = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "none": None, "yes": True, "no": False}
PLACES = {"recipe", "seed", "checkpoint", "tensorboard", "out", "progress"}  # not how it learns
RECIPE = click.argument("recipe", type=click.Choice(sorted(RECIPES)))
FOLDER = click.Path(file_okay=False)
PROGRESS = click.option("--progress/--quiet", default=True, help="Show a bar.")
count = partial(click.option, type=int)


@click.group(epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 diverged, 130 and 143 stopped.")
@click.version_option(mamlkit.__version__)
def main() -> None:
    """Meta-learning experiments by name."""


@main.command()
@RECIPE
@click.option("--seed", default=0, show_default=True, help="Of weights and training tasks.")
@count("--iterations", help="Updates of the meta-parameters in all.")
@count("--shots", help="Support examples of a task (of each class).")
@count("--queries", help="Query examples of a task (of each class).")
@count("--tasks-per-batch", help="Tasks in each update.")
@click.option("--optimizer", type=click.Choice(["adam", "adamw", "sgd"]), help="Of the outer loop.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="The optimiser's step size.")
@click.option("--schedule", type=click.Choice(["cosine", "none"]), help="Of that step size.")
@click.option("--clip", type=float, help="The largest norm of the meta-gradient.")
@count("--max-skipped", help="Batches with a gradient that is not finite to leave out, at most.")
@count("--microbatch", help="Tasks at a time; by default what is fastest. Few need less memory.")
@click.option("--compile", type=click.Choice(["auto", "yes", "no"]), help="Compile the meta-step.")
@click.option("--device", help="auto, cpu, cuda, cuda:1 or mps.")
@count("--checkpoint-every", help="Iterations between checkpoints.")
@count("--keep-last", help="How many checkpoints stay.")
@click.option("--checkpoint", type=FOLDER, help="Save to this folder, and go on from it.")
@click.option("--tensorboard", type=FOLDER, help="Write losses there, for TensorBoard.")
@click.option("--out", type=FOLDER, default="runs", show_default=True, help="Of what is learned.")
@PROGRESS
def train(**options: Any) -> None:
    """Train RECIPE, test it, and write its parameters and card into a folder.

    Options that are not given are as the recipe says. With --checkpoint, the same command again, or
    `mamlkit resume`, goes on where a run was stopped. Several processes:
    torchrun --nproc-per-node=4 -m mamlkit train RECIPE
    """
    name, folder, seed = options["recipe"], options["checkpoint"], options["seed"]
    recipe = RECIPES[name]
    changes = {k: v for k, v in options.items() if k not in PLACES and v is not None}
    typed = "".join(f" --{key.replace('_', '-')} {value}" for key, value in changes.items())
    with _session(changes.pop("device", "auto"), folder) as device, ExitStack() as stack:
        changes = {key: VALUES.get(value, value) for key, value in changes.items()}
        if changes.keys() & {"optimizer", "lr"}:
            own = recipe.training.get("optimizer", ADAM)
            build = changes.get("optimizer", own.func)
            changes["optimizer"] = partial(build, lr=changes.pop("lr", own.keywords["lr"]))
        log = None
        if distributed.is_main_process():
            files.check_writable("train", options["out"])
            if folder:
                stack.enter_context(_command_kept(Path(folder) / COMMAND, options))
            if options["tensorboard"]:
                from torch.utils.tensorboard import SummaryWriter  # an optional package

                log = stack.enter_context(SummaryWriter(options["tensorboard"])).add_scalar
        where = {"device": device, "checkpoint": folder, "progress": options["progress"]}
        run = recipe.train(seed=seed, log=log, **where, **changes)
        test = recipe.test(run.params, device="cpu")  # the same tasks on every machine
        _print(name, test)
        if distributed.is_main_process():
            made = {
                "command": f"mamlkit train {name} --seed {seed}{typed}",
                "seed": seed,
                **changes,
            }
            weights, card = pretrained.save(options["out"], name, run, test, **made)
            click.echo(f"written to {weights} and {card}")


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, exists=True))
@count("--iterations", help="More than at first.")
@PROGRESS
def resume(folder: str, iterations: int | None, progress: bool) -> None:
    """Go on with the run in FOLDER, which `mamlkit train --checkpoint FOLDER` began."""
    path = Path(folder) / COMMAND
    try:
        options = json.loads(path.read_text(encoding="utf8"))
        if options.keys() != {p.name for p in train.params} or options["recipe"] not in RECIPES:
            raise ValueError("another version of mamlkit wrote it")
    except (OSError, ValueError, AttributeError) as error:
        raise click.ClickException(
            f"no run can be resumed from {path}: {error}; begin one with mamlkit train --checkpoint"
        ) from error
    options |= {"checkpoint": folder, "progress": progress}
    train.callback(**options | ({} if iterations is None else {"iterations": iterations}))


@main.command()
@RECIPE
@click.option("--run", "folder", type=FOLDER, help="A run's folder; default: what ships.")
@count("--tasks", help="How many new tasks.")
@count("--shots", help="Support examples of a task (of each class).")
@count("--steps", help="Gradient steps on each.")
@click.option("--seed", default=TEST_SEED, show_default=True, help="Of the tasks.")
@click.option("--device", default="cpu", show_default=True)
def evaluate(recipe: str, folder: str | None, device: str, **options: int | None) -> None:
    """Test the network of RECIPE that ships, or one from a run's folder, on new tasks."""
    with _session(device) as device:
        params = (
            _read_params(folder, recipe) if folder else pretrained.load(recipe, device="cpu")[1]
        )
        changes = {name: value for name, value in options.items() if value is not None}
        _print(recipe, RECIPES[recipe].test(params, device=device, **changes))


@main.command()
def data() -> None:
    """Find Omniglot, fetch it where it is missing, and check every pixel."""
    with _session("cpu"):
        for split in SPLITS:
            images, alphabets, _ = omniglot(split)
            click.echo(f"{split}: {len(images)} characters of {len(set(alphabets))} alphabets")


@contextmanager
def _command_kept(path: Path, options: dict[str, Any]) -> Iterator[None]:
    """Write what was typed, for `resume`; the old file comes back if the run is refused."""
    before = path.read_bytes() if path.exists() else None
    files.atomic_write(path, json.dumps(options, indent=1).encode())
    try:
        yield
    except (ValueError, TypeError):
        if before is not None:
            files.atomic_write(path, before)
        raise


def _read_params(folder: str, recipe: str) -> Any:
    checkpoint, like = checkpoints.newest(Path(folder)), RECIPES[recipe].tester().init()
    if checkpoint is None or checkpoint.tensors["params"].keys() != files.flatten(like).keys():
        raise ValueError(f"{folder} holds no checkpoint of {recipe}; train with --checkpoint")
    return files.unflatten(checkpoint.tensors["params"], like=like)


def _print(recipe: str, test: Evaluation) -> None:
    if distributed.is_main_process():
        for step in range(len(test.mean)):
            click.echo(f"after {step:2d} steps: {test.format(step, RECIPES[recipe].percent)}")


@contextmanager
def _session(device: str, checkpoint: str | None = None) -> Iterator[str]:
    """Connect torchrun's processes, yield this one's device, and say errors in one sentence."""
    remedy = f"go on with: mamlkit resume {checkpoint}" if checkpoint else "nothing was saved"
    try:
        yield distributed.init(device)
        distributed.exit_process()  # a process of several ends here
    except KeyboardInterrupt:
        click.echo(f"stopped; {remedy}", err=True)
        raise SystemExit(130) from None
    except FloatingPointError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(3) from error
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise click.ClickException(str(error)) from error
    except RuntimeError as error:
        if not distributed.is_distributed():
            raise
        reason = str(error).splitlines()[0]
        raise click.ClickException(f"another process was lost ({reason}); {remedy}") from error
    finally:
        distributed.shutdown()
