"""Experiment 2: characters, in the four settings of the papers.

All train on `images_background`, its characters turned, mirrored and warped into more, and are
tested on upright characters of `images_evaluation`. Network, learner and tasks were chosen on
alphabets held out of the background split (benchmarks/ROAD.md). Not tried out there: 5 shots, an
outer step of 5e-3 (3e-3 and 8e-3 were), no warm-up, and as many iterations as here.
"""

from functools import partial

import torch
from torch.nn.functional import cross_entropy

from mamlkit.learners.zeroed import ZeroedMAML
from mamlkit.models.networks import OmniglotNetwork
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.characters import SPLITS, characters
from mamlkit.tasks.fewshot import FewShot
from mamlkit.tasks.warped import Warped

SETTINGS = ((5, 1), (5, 5), (20, 1), (20, 5))  # ways, shots
TRAINING_WAYS = 20
ITERATIONS = {1: 40_000, 5: 25_000}
DATA = "Omniglot; SHA-256 of the pixels: " + ", ".join(
    f"{source.archive} {source.pixels}" for source in SPLITS.values()
)


def network(ways):
    """Few filters where images are large, many where they are small: a third of the arithmetic.

    Layer norm in place of batch norm: an answer never depends on the other queries.
    """
    return OmniglotNetwork(ways, filters=(16, 32, 64, 128), norm="layer", features="all")


def training_tasks(ways, images=None):
    """Episodes of the background split (or of other images), turned, mirrored and warped."""
    images = characters("background").images if images is None else images
    return Warped(FewShot(images, ways, rotations=True, mirrors=True, device="cpu"))


def test_tasks(ways, images=None):
    """Episodes of the evaluation split (or of other images), as they were drawn."""
    images = characters("evaluation").images if images is None else images
    return FewShot(images, ways, device="cpu")


def _maml(ways):
    return ZeroedMAML(network(ways), cross_entropy, lr=0.4, steps=1)


def _recipe(ways, shots):
    return Recipe(
        source="Finn et al. 2017, section 5.2, with a head of zeros (Kao et al. 2022), learned "
        "step sizes (Antoniou et al. 2019), layer norm, other widths, 20 ways in training, and "
        "classes mirrored and warped",
        learner=partial(_maml, TRAINING_WAYS),
        test_learner=partial(_maml, ways),
        tasks=partial(training_tasks, TRAINING_WAYS),
        test_tasks=partial(test_tasks, ways),
        training={
            "iterations": ITERATIONS[shots],
            "shots": shots,
            "queries": 5,
            "tasks_per_batch": 4,
            "optimizer": partial(torch.optim.Adam, lr=5e-3),
            "schedule": "cosine",
        },
        testing={"shots": shots, "queries": 15, "tasks": 1_000, "steps": 1},
        trained_as=f"omniglot-{TRAINING_WAYS}way-{shots}shot",
        data=DATA,
        percent=True,
    )


OMNIGLOT = {f"omniglot-{ways}way-{shots}shot": _recipe(ways, shots) for ways, shots in SETTINGS}
