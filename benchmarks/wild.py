"""`python -m benchmarks.wild`: thousands of calls of the public API that make no sense.

Hypothesis puts wrong types, shapes, ranges, empty and huge values in place of one to three good
arguments of each public function and class, and wrong words into the command line. Each call must
work, or end in an error with a sentence that mamlkit itself raised: never one from inside torch.
wild.json keeps how many calls there were and how they ended.
"""

import contextlib
import io
import json
import os
import re
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import click
import numpy as np
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, mse_loss

import mamlkit
from benchmarks.__main__ import run as made_with
from mamlkit import files
from mamlkit.cli import main as command_line
from mamlkit.show.explorers.objective import ObjectiveExplorer
from mamlkit.show.explorers.strokes import character

RESULTS = Path(__file__).parent / "wild.json"
OURS = str(Path(mamlkit.__file__).parent)
SAID = ValueError, TypeError, FloatingPointError, OSError
# Who complains, and of what; under the tests' shape checker that complains first.
SENTENCE = re.compile(r"([\w.]+: .* |device .*(unknown|must be|is not here))")
CHECKER = "TypeCheckError"

WILD = [
    None, True, -1, 0, 1, 3, 2**70, -0.5, 0.0, 1.5, 1e300, float("nan"), float("inf"), "", "text",
    "cpu", b"bytes", (), (1,), (2, 1), (-1.0, 1.0), [], [3], {}, {"a": 1}, object(), len,
    np.int64(4), np.float32(0.1), np.zeros(3), torch.zeros(0), torch.zeros(3), torch.zeros(2, 2),
    torch.full((2, 3), torch.nan), torch.zeros(3, dtype=torch.long), torch.zeros(1, 2, 1, 4, 4),
    torch.zeros(6, 4, 1, 28, 28, dtype=torch.complex64), torch.nn.Identity(),
]  # fmt: skip
"""What stands in for a good argument. Large but possible numbers are left out: they take long."""


def good():
    """Each public name with arguments that work: `name -> (function, arguments)`."""
    torch.manual_seed(0)
    sines = mamlkit.Sinusoids(device="cpu")
    maml = mamlkit.MAML(mamlkit.SineNetwork(hidden=(4,)), mse_loss, lr=0.01)
    params = maml.init()
    x, y = torch.zeros(5, 1), torch.zeros(5, 1)
    images = torch.zeros(6, 4, 1, 28, 28)
    episodes = mamlkit.FewShot(images, ways=2, device="cpu")
    batch = sines.sample(2, shots=3, queries=2)
    few = {"shots": 2, "queries": 2}
    inner = {"module": maml.module, "loss": mse_loss, "lr": 0.01}
    network = lambda: mamlkit.OmniglotNetwork(ways=2, filters=4)
    headed = {"module": network(), "loss": cross_entropy, "lr": 0.1}
    fitted = {"iterations": 1, "tasks_per_batch": 2, "device": "cpu", "compile": False}
    fitted |= {"progress": False, "schedule": None, "clip": 1.0, "skip": 0, "seed": 0, "keep": 1}
    fitted |= {"chunk": None, "params": None, "validate": None, "checkpoint_every": 1, "log": None}
    table = {
        "Sinusoids": {"amplitude": (0.1, 5.0), "phase": (0.0, 3.0), "x": (-5.0, 5.0), "noise": 0.1},
        "SineNetwork": {"inputs": 1, "hidden": (4, 4)},
        "OmniglotNetwork": {"ways": 2, "filters": 4, "channels": 1, "size": 28, "norm": "batch"},
        "FewShot": {"images": images, "ways": 2, "rotations": True, "mirrors": False},
        "Warped": {"episodes": episodes, "classes": 0.1, "drawings": 0.1, "shift": 1.0, "bend": 0},
        "glyphs": {"classes": 3, "drawings": 2, "size": 12, "seed": 0},
        "adapt": {"params": params, "loss": maml.task_loss, "support": (x, y), "lr": 0.1,
                  "steps": 1},
        "evaluate": {"learner": maml, "params": params, "distribution": sines, "tasks": 2,
                     "steps": 1, "seed": 0, **few},
        "fit": {"learner": maml, "distribution": sines, **few, **fitted},
        "meta_gradient": {"learner": maml, "params": params, "batch": batch, "chunk": None},
        "MAML": {**inner, "steps": 1, "recompute": 0},
        "FirstOrderMAML": {**inner, "steps": 1},
        "MetaSGD": {**inner, "steps": 1},
        "MAMLPlusPlus": {**inner, "steps": 2, "multi_step_until": 0.1, "first_order_until": 0.1},
        "ANIL": {**inner, "steps": 1},
        "BOIL": {**inner, "steps": 1},
        "ProtoMAML": {**headed, "steps": 1},
        "ZeroedMAML": {**headed, "steps": 1},
        "Reptile": {**inner, "steps": 2, "minibatch": 3, "inner": "sgd"},
        "ImplicitMAML": {**inner, "steps": 2, "strength": 1.0},
        "sine": {"x": x, "amplitude": 1.0, "phase": 0.5},
        "shuffled_split": {"seed": 0},
    }  # fmt: skip
    found = {
        name: (getattr(mamlkit, name), arguments)
        for name, arguments in table.items()
        if hasattr(mamlkit, name)
    }
    return {
        **found,
        "Sinusoids.sample": (sines.sample, {"tasks": 2, **few}),
        "FewShot.sample": (episodes.sample, {"tasks": 2, "shots": 1, "queries": 1}),
        "pretrained.load": (mamlkit.pretrained.load, {"name": "sinusoid-maml", "device": "cpu"}),
        "ObjectiveExplorer": (
            ObjectiveExplorer,
            {"curvatures": (1.0, 2.0), "optima": (0.0, 1.0), "lr": 0.1},
        ),
        "character": (character, {"strokes": [[(0.1, 0.1), (0.5, 0.5)]]}),
    }


def outcome(function, arguments):
    """ "worked", "refused", or the last lines of an error that nobody explained."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            function(**arguments)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        if isinstance(error, SAID) and last.startswith(OURS) and SENTENCE.match(str(error)):
            return "refused"
        if type(error).__name__ == CHECKER:
            return "refused"
        return f"{type(error).__name__} from {Path(last).name}: {str(error)[:150]}"
    return "worked"


WORDS = [
    "train", "resume", "evaluate", "data", "--help", "--version", "sinusoid-maml", "resnet", "",
    "--iterations", "--seed", "--shots", "--lr", "--clip", "--optimizer", "--schedule", "--compile",
    "--device", "--skip", "--chunk", "--keep", "--tasks", "--steps", "--run", "--best", "--out",
    "adam", "cosine", "none", "0", "1", "2", "-1", "nan", "1e999", "text", "cpu", "no", "🐟",
    "--tasks-per-batch", "--checkpoint", "--checkpoint-every", "--tensorboard", "--quiet", ".",
]  # fmt: skip


def api(examples, seen):
    """Call every public name `examples` times; count outcomes."""
    quiet = {"deadline": None, "database": None, "derandomize": True}

    def call(name, data):
        function, arguments = good()[name]
        changed = st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=3)
        for argument in data.draw(changed):
            arguments = {**arguments, argument: data.draw(st.sampled_from(WILD))}
        seen[name, outcome(function, arguments)] += 1

    for name in good():
        many = settings(max_examples=examples, suppress_health_check=list(HealthCheck), **quiet)
        many(given(st.just(name), st.data())(call))()


def words(examples, seen):
    """Call the command line; exit codes are 0 to 3, and there is no traceback."""

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.sampled_from(WORDS), max_size=6))
    def call(given):
        short = ["--iterations", "1", "--quiet", "--compile", "no"]
        given = [*given, *short] if given[:1] == ["train"] else given
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            result = CliRunner().invoke(command_line, given)
        strange = result.exit_code not in (0, 1, 2, 3) or (
            result.exception is not None and not isinstance(result.exception, SystemExit)
        )
        seen["mamlkit", f"{result.exception!r} of {given}" if strange else "said"] += 1

    call()


@click.command()
@click.option("--examples", default=80, show_default=True, help="Of each public name.")
@click.option("--lines", default=400, show_default=True, help="Of the command line.")
def main(examples, lines):
    """Call, count, and fail if anything is unexplained."""
    load, seen, said = os.getloadavg()[0], Counter(), Counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        api(examples, seen)
        words(lines, said)
    counts = Counter()
    for (_, how), times in [*seen.items()]:
        counts[how if how in ("worked", "refused") else "unexplained"] += times
    facts = {"calls": sum(seen.values()), "ended": dict(counts), "lines": sum(said.values())}
    strange = [(n, h, t) for (n, h), t in [*seen.items(), *said.items()]
               if h not in ("worked", "refused", "said")]  # fmt: skip
    click.echo(json.dumps(facts))
    for name, how, times in sorted(strange):
        click.echo(f"{name}: {how} ({times} times)")
    if strange:
        raise click.ClickException(f"{len(strange)} kinds of unexplained ends")
    facts["run"] = made_with(load) | {"command": "python -m benchmarks.wild"}
    files.write_whole(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
