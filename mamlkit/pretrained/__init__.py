"""Networks that ship with mamlkit: safetensors beside a JSON card that says how each was made."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch.utils._pytree import tree_map

import mamlkit
from mamlkit import checks, devices, files
from mamlkit.evaluation import Evaluation
from mamlkit.learners.base import Learner
from mamlkit.recipes import RECIPES
from mamlkit.recipes.recipe import TEST_SEED
from mamlkit.training.fit import ADAM
from mamlkit.training.loop import Run

FOLDER = Path(__file__).parent
FEW = 100  # tasks on which a shipped network can be checked in seconds


def names() -> list[str]:
    """Return the names of the networks that ship, sorted.

    >>> "sinusoid-maml" in names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str, *, device: str | torch.device = "auto") -> tuple[Learner, Any]:
    """Return `(learner, params)` of a shipped network.

    >>> learner, params = load("sinusoid-maml", device="cpu")
    >>> sorted(params)[0], learner.lr
    ('body.0.bias', 0.01)
    """
    checks.check_choice("pretrained.load", "name", name, names())
    device = devices.resolve(device)
    learner = RECIPES[name].tester()
    learner.module.to(device)
    path = FOLDER / _weights_file(name)
    params = files.unflatten(from_bytes(path.read_bytes()), like=learner.init())
    return learner, tree_map(lambda tensor: tensor.to(device), params)


def card(name: str) -> dict[str, Any]:
    """Return how a shipped network was made and how good it is.

    >>> card("sinusoid-maml")["seed"]
    0
    """
    checks.check_choice("pretrained.card", "name", name, names())
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf8"))


def save(
    folder: str | Path, name: str, run: Run, test: Evaluation, *, command: str, **settings: Any
) -> tuple[Path, Path]:
    """Write a recipe's trained weights and their card into a folder; return the two paths.

    command: what made them, as typed. settings: the seed, and keywords of `fit` that it changed.
    """
    weights, card_path = Path(folder) / _weights_file(name), Path(folder) / f"{name}.json"
    tensors = {key: value.cpu().contiguous() for key, value in files.flatten(run.params).items()}
    files.atomic_write(weights, to_bytes(tensors))
    text = json.dumps(_card(name, run, test, command, **settings), indent=2, ensure_ascii=False)
    files.atomic_write(card_path, f"{text}\n".encode())
    return weights, card_path


def _weights_file(name: str) -> str:
    return f"{RECIPES[name].trained_as or name}.safetensors"  # some recipes differ in tests alone


def describe(training: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of `fit` as JSON knows them: functions, such as a schedule, in words.

    >>> describe({"iterations": 5, "optimizer": torch.optim.SGD})["iterations"]
    5
    """
    words = checks.describe_function
    return {key: words(value) if callable(value) else value for key, value in training.items()}


def _card(
    name: str, run: Run, test: Evaluation, command: str, *, seed: int, **changes: Any
) -> dict[str, Any]:
    recipe = RECIPES[name]
    training = {"optimizer": ADAM, **recipe.training, **changes}
    rounded = lambda values: [round(value, 4) for value in values.tolist()]
    return {
        "recipe": name,
        "source": recipe.source,
        "command": f"{command} --out mamlkit/pretrained",
        "seed": seed,
        "learner": recipe.learner().settings(),
        "tasks": recipe.tasks().settings(),
        "test_learner": recipe.tester().settings(),
        "test_tasks": recipe.test_tasks().settings(),
        "training": describe(training),
        "training_seconds": round(run.seconds, 1),
        "testing": {**recipe.testing, "seed": TEST_SEED},
        "results": {
            "mean": rounded(test.mean),
            "interval95": rounded(test.interval),
            f"mean of the first {FEW}": rounded(test.values[:FEW].mean(0)),
        },
        "data": recipe.data,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{next(iter(files.flatten(run.params).values())).device.type}",
        "versions": {"mamlkit": mamlkit.__version__, "torch": version("torch")},
    }
