"""What a card says of a network: recipe, seed, machine, results, and the command that makes it."""

import platform

import torch

import mamlkit
from mamlkit.recipes import RECIPES
from mamlkit.recipes.recipe import TEST_SEED
from mamlkit.training.fit import ADAM
from mamlkit.training.resume import describe

FEW = 100  # tasks on which a shipped network can soon be checked


def card(name, seed, options, changes, run, test):
    """The card of a `Run` of the recipe `name`, tested.

    options: of the command that made it, as typed. changes: keywords of `fit` that they stand for.
    """
    recipe = RECIPES[name]
    training = {"optimizer": ADAM, **recipe.training, **changes}
    training |= {
        key: describe(training[key]) for key in ("optimizer", "schedule") if key in training
    }
    return {
        "recipe": name,
        "source": recipe.source,
        "command": f"mamlkit train {name} --seed {seed}{options} --out mamlkit/pretrained",
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
