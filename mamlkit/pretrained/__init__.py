"""Networks that ship with mamlkit: safetensors beside a JSON card that says how each was made."""

import json
from pathlib import Path

from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from mamlkit import devices, files, require
from mamlkit.recipes import RECIPES

FOLDER = Path(__file__).parent


def names():
    """The networks that ship, sorted.

    >>> "sinusoid-maml" in names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name, *, device="auto"):
    """`(learner, params)` of a shipped network.

    >>> learner, params = load("sinusoid-maml", device="cpu")
    >>> sorted(params)[0], learner.lr
    ('body.0.bias', 0.01)
    """
    require.choice("pretrained.load", "name", name, names())
    device = devices.resolve(device)
    learner = RECIPES[name].tester()
    learner.module.to(device)
    file = RECIPES[name].trained_as or name  # some recipes differ in their tests alone
    content = (FOLDER / f"{file}.safetensors").read_bytes()
    return learner, {key: value.to(device) for key, value in from_bytes(content).items()}


def card(name):
    """How a shipped network was made and how good it is: recipe, seed, machine, results, command.

    >>> card("sinusoid-maml")["seed"]
    0
    """
    require.choice("pretrained.card", "name", name, names())
    return json.loads((FOLDER / f"{name}.json").read_text())


def save_parameters(folder, name, params):
    """Write parameters into a folder, whole or not at all."""
    tensors = {key: value.cpu().contiguous() for key, value in params.items()}
    files.write_whole(Path(folder) / f"{name}.safetensors", to_bytes(tensors))


def save_card(folder, name, facts):
    """Write the card that goes with them."""
    files.write_whole(Path(folder) / f"{name}.json", (json.dumps(facts, indent=2) + "\n").encode())
