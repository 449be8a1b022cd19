"""`python -m tests.stress fuzz_api`: thousands of calls of the public API that make no sense.

Hypothesis puts wrong types, shapes, ranges, empty and huge values in place of one to three good
arguments of each public function and class, and wrong words into the command line. Each call must
work, or end in an error with a sentence that mamlkit itself raised: never one from inside torch.
results/fuzz_api.json keeps how many calls there were and how they ended.
"""

import contextlib
import functools
import io
import json
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
from PIL import Image
from torch.nn.functional import cross_entropy, mse_loss

import mamlkit
from benchmarks.records import load_average, provenance, write
from mamlkit.cli import main as command_line
from mamlkit.show.widgets.objective import ObjectiveExplorer
from mamlkit.show.widgets.pad import character
from mamlkit.tasks.noisy_sinusoids import negative_log_likelihood as log_likelihood

RESULTS = Path(__file__).parent / "results" / "fuzz_api.json"
PACKAGE = str(Path(mamlkit.__file__).parent)
EXPLAINED = ValueError, TypeError, FloatingPointError, OSError
# Who complains, and of what; under the tests' shape checker that complains first.
SENTENCE = re.compile(r"([\w.]+: .* |device .*(unknown|must be|is not here))")
CHECKER = "TypeCheckError"

SENSELESS = [
    None, True, -1, 0, 1, 3, 2**70, -0.5, 0.0, 1.5, 1e300, float("nan"), float("inf"), "", "text",
    "cpu", b"bytes", (), (1,), (2, 1), (-1.0, 1.0), [], [3], {}, {"a": 1}, object(), len,
    np.int64(4), np.float32(0.1), np.zeros(3), torch.zeros(0), torch.zeros(3), torch.zeros(2, 2),
    torch.full((2, 3), torch.nan), torch.zeros(3, dtype=torch.long), torch.zeros(1, 2, 1, 4, 4),
    torch.zeros(6, 4, 1, 28, 28, dtype=torch.complex64), [torch.zeros(4, 3)] * 6,
    torch.nn.Identity(),
]  # fmt: skip
"""What stands in for a good argument. Large but possible numbers are left out: they take long."""
# Records, which take what they are given; what stands behind `fit` and `evaluate`, which check; and
# functions of tensors alone.
LEFT_OUT = {
    "Characters", "Evaluation", "MetaParams", "Run", "TaskBatch", "Waves",
    "Learner", "MetaStep", "adapt", "accuracy", "masked", "relation_loss", "vinyals_split",
}  # fmt: skip


@functools.cache
def pictures():
    """Return a folder of two classes of two pictures."""
    root = Path(tempfile.mkdtemp())
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 8)).save(root / f"{name}.png")
    return root


@functools.cache
def good():
    """Return each public name with arguments that work: `name -> (function, arguments)`."""
    torch.manual_seed(0)
    sines = mamlkit.Sinusoids(device="cpu")
    maml = mamlkit.MAML(mamlkit.SineNetwork(hidden=(4,)), mse_loss, lr=0.01)
    params = maml.init()
    x = torch.zeros(5, 1)
    images = torch.zeros(6, 4, 1, 28, 28)
    episodes = mamlkit.FewShot(images, ways=2, device="cpu")
    batch = sines.sample(2, shots=3, queries=2)
    few = {"shots": 2, "queries": 2}
    inner = {"module": maml.module, "loss": mse_loss, "lr": 0.01}
    network = lambda: mamlkit.OmniglotNetwork(ways=2, filters=4)
    headed = {"module": network(), "loss": cross_entropy, "lr": 0.1}
    training = {"iterations": 1, "tasks_per_batch": 2, "device": "cpu", "compile": False}
    training |= {"progress": False, "schedule": None, "clip": 1.0, "max_skipped": 0, "seed": 0}
    training |= {"microbatch": None, "params": None, "validate": None, "checkpoint_every": 1}
    training |= {"keep_last": 1, "log": None}
    from_images = {"loss": cross_entropy, "ways": 2}
    body = network().body
    mixed = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 1))
    predictive = {"loss": log_likelihood}
    robot, bandits = mamlkit.PointRobot(horizon=3, device="cpu"), mamlkit.Bandits(device="cpu")
    actor = mamlkit.RecurrentActor(10, 5, hidden=4)
    task = batch.task(0)
    table = {
        "Sinusoids": {"amplitude": (0.1, 5.0), "phase": (0.0, 3.0), "x": (-5.0, 5.0), "noise": 0.1},
        "SineNetwork": {"inputs": 1, "hidden": (4, 4)},
        "OmniglotNetwork": {"ways": 2, "filters": 4, "channels": 1, "size": 28, "norm": "batch"},
        "FewShot": {"images": images, "ways": 2, "rotations": True, "mirrors": False},
        "Warped": {"episodes": episodes, "classes": 0.1, "drawings": 0.1, "shift": 1.0, "bend": 0},
        "glyphs": {"classes": 3, "drawings": 2, "size": 12, "seed": 0},
        "evaluate": {"learner": maml, "params": params, "distribution": sines, "tasks": 2,
                     "steps": 1, "seed": 0, **few},
        "fit": {"learner": maml, "distribution": sines, **few, **training},
        "meta_gradient": {"learner": maml, "params": params, "batch": batch, "microbatch": None},
        "MAML": {**inner, "steps": 1, "activation_checkpointing": 0},
        "FirstOrderMAML": {**inner, "steps": 1},
        "MetaSGD": {**inner, "steps": 1},
        "MAMLPlusPlus": {**inner, "steps": 2, "multi_step_until": 0.1, "first_order_until": 0.1},
        "ANIL": {**inner, "steps": 1},
        "BOIL": {**inner, "steps": 1},
        "ProtoMAML": {**headed, "steps": 1},
        "ZeroHead": {**headed, "steps": 1},
        "Reptile": {**inner, "steps": 2, "minibatch": 3, "inner": "sgd"},
        "ImplicitMAML": {**inner, "steps": 2, "strength": 1.0},
        "sine": {"x": x, "amplitude": 1.0, "phase": 0.5},
        "shuffled_split": {"seed": 0},
        "NoisySinusoids": {"noise": 0.1, "device": "cpu"},
        "ExactPredictive": {"support": task.support, "noise": 0.1, "tasks": None, "grid": (4, 4)},
        "LinearTasks": {"inputs": 2, "noise": 0.1, "pool": None, "pool_seed": 0, "device": "cpu"},
        "Sequences": {"features": torch.zeros(6, 4, 3), "ways": 2, "device": "cpu"},
        "Bandits": {"arms": 2, "pulls": 3, "device": "cpu"},
        "BestPlayer": {"arms": 2, "pulls": 2},
        "PointRobot": {"square": (-0.5, 0.5), "horizon": 3, "speed": 0.1, "tolerance": 0.01,
                       "reveal": False, "device": "cpu"},
        "image_folder": {"root": pictures(), "size": 8, "grey": False, "least": 2},
        "omniglot": {"split": "evaluation"},  # in no other folder, and from no network
        "without_validation": {"characters": mamlkit.glyphs(6, drawings=2, size=12)._replace(
            alphabets=tuple("abcdef"))},
        "pad_tasks": {"tasks": [task, task]},
        "NeuralProcess": {"width": 8, "inputs": 1, "code": False},
        "AttentiveProcess": {"width": 8, "heads": 2, "inputs": 1, "code": False},
        "InContextTransformer": {"inputs": 1, "width": 8, "layers": 1, "heads": 2,
                                 "deviation": True, "code": False},
        "LinearSelfAttention": {"inputs": 2},
        "LSTMReader": {"inputs": 4, "hidden": 4, "outputs": 2},
        "GaussianPolicy": {"observations": 2, "actions": 2, "hidden": (4,), "std": 1.0},
        "RecurrentActor": {"observations": 4, "actions": 2, "hidden": 4},
        "PrototypicalNetwork": {"module": body, **from_images, "distance": "euclidean",
                                "temperature": 1.0, "learn_temperature": False},
        "MatchingNetwork": {"module": body, **from_images, "distance": "cosine"},
        "RelationNetwork": {"module": body, "relation": mixed, **from_images},
        "ConditionalNeuralProcess": {"module": mamlkit.NeuralProcess(width=8), **predictive},
        "AttentiveNeuralProcess": {"module": mamlkit.AttentiveProcess(width=8), **predictive},
        "InContextLearner": {"module": mamlkit.LinearSelfAttention(1), "loss": mse_loss,
                             "vary_shots": False},
        "RecurrentLearner": {"module": mamlkit.LSTMReader(4, 4, 2), "loss": cross_entropy},
        "PolicyGradientMAML": {"module": mamlkit.GaussianPolicy(hidden=(4,)), "environment": robot,
                               "lr": 0.1, "later_lr": None, "steps": 1, "trajectories": 2,
                               "estimator": "dice", "discount": 0.9},
        "RecurrentPolicy": {"module": actor, "environment": bandits, "value": 0.5, "entropy": 0.1},
        "check_meta_gradient": {"learner": maml, "batch": batch, "params": None,
                                "tolerance": 1e-6, "seed": 0},
    }  # fmt: skip
    assert {*table} | LEFT_OUT == {*mamlkit.__all__}
    public = {name: (getattr(mamlkit, name), arguments) for name, arguments in table.items()}
    return {
        **public,
        "Sinusoids.sample": (sines.sample, {"tasks": 2, **few}),
        "FewShot.sample": (episodes.sample, {"tasks": 2, "shots": 1, "queries": 1}),
        "LinearTasks.sample": (
            mamlkit.LinearTasks(2, device="cpu").sample,
            {"tasks": 2, "shots": 1, "queries": 1},
        ),
        "pretrained.load": (mamlkit.pretrained.load, {"name": "sinusoid-maml", "device": "cpu"}),
        "ObjectiveExplorer": (
            ObjectiveExplorer,
            {"curvatures": (1.0, 2.0), "optima": (0.0, 1.0), "lr": 0.1},
        ),
        "character": (character, {"strokes": [[(0.1, 0.1), (0.5, 0.5)]]}),
    }


def outcome(function, arguments):
    """Return "worked", "refused", or the last lines of an error that nobody explained."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            function(**arguments)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        if isinstance(error, EXPLAINED) and last.startswith(PACKAGE) and SENTENCE.match(str(error)):
            return "refused"
        if type(error).__name__ == CHECKER:
            return "refused"
        return f"{type(error).__name__} from {Path(last).name}: {str(error)[:150]}"
    return "worked"


WORDS = [
    "train", "resume", "evaluate", "data", "--help", "--version", "sinusoid-maml", "resnet", "",
    "--iterations", "--seed", "--shots", "--lr", "--clip", "--optimizer", "--schedule", "--compile",
    "--device", "--max-skipped", "--microbatch", "--keep-last", "--tasks", "--steps", "--run",
    "--best", "--out",
    "adam", "cosine", "none", "0", "1", "2", "-1", "nan", "1e999", "text", "cpu", "no", "🐟",
    "--tasks-per-batch", "--checkpoint", "--checkpoint-every", "--tensorboard", "--quiet", ".",
]  # fmt: skip


def call_api(examples, outcomes):
    """Call every public name `examples` times; count outcomes."""
    quiet = {"deadline": None, "database": None, "derandomize": True}

    def call(name, data):
        function, arguments = good()[name]
        changed = st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=3)
        for argument in data.draw(changed):
            arguments = {**arguments, argument: data.draw(st.sampled_from(SENSELESS))}
        outcomes[name, outcome(function, arguments)] += 1

    for name in good():
        many = settings(max_examples=examples, suppress_health_check=list(HealthCheck), **quiet)
        many(given(st.just(name), st.data())(call))()


def call_command_line(examples, outcomes):
    """Call the command line; exit codes are 0 to 3, and there is no traceback."""

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.sampled_from(WORDS), max_size=6))
    def call(words):
        short = ["--iterations", "1", "--quiet", "--compile", "no"]
        words = [*words, *short] if words[:1] == ["train"] else words
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            result = CliRunner().invoke(command_line, words)
        strange = result.exit_code not in (0, 1, 2, 3) or (
            result.exception is not None and not isinstance(result.exception, SystemExit)
        )
        outcomes["mamlkit", f"{result.exception!r} of {words}" if strange else "said"] += 1

    call()


@click.command()
@click.option("--examples", default=80, show_default=True, help="Of each public name.")
@click.option("--lines", default=400, show_default=True, help="Of the command line.")
def main(examples, lines):
    """Call, count, and fail if anything is unexplained."""
    load, calls, commands = load_average(), Counter(), Counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        call_api(examples, calls)
        call_command_line(lines, commands)
    counts = Counter()
    for (_, how), times in calls.items():
        counts[how if how in ("worked", "refused") else "unexplained"] += times
    summary = {"calls": calls.total(), "ended": dict(counts), "lines": commands.total()}
    click.echo(json.dumps(summary))
    every = [(name, how, times) for (name, how), times in (calls + commands).items()]
    strange = sorted(row for row in every if row[1] not in ("worked", "refused", "said"))
    for name, how, times in strange:
        click.echo(f"{name}: {how} ({times} times)")
    if strange:
        raise click.ClickException(f"{len(strange)} kinds of unexplained ends")
    command = f"python -m tests.stress fuzz_api --examples {examples} --lines {lines}"
    write(RESULTS, {**summary, "run": provenance(load, command)})
