"""Experiment 2: characters, in the four settings of the papers.

All train on `images_background`, its characters turned, mirrored and warped into more, and are
tested on upright characters of `images_evaluation`. Network, learner and tasks were chosen on
alphabets held out of the background split (benchmarks/ROAD.md). Not tried out there: pooling
together with bends, no warm-up, and as many iterations as here. One training serves all four.
"""

from functools import partial

import torch
from torch.nn.functional import cross_entropy

from mamlkit.learners.zeroed import ZeroedMAML
from mamlkit.models.networks import OmniglotNetwork
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.archive import SPLITS
from mamlkit.tasks.characters import characters
from mamlkit.tasks.fewshot import FewShot
from mamlkit.tasks.warped import Warped

SETTINGS = ((5, 1), (5, 5), (20, 1), (20, 5))  # ways, shots
TRAINING_WAYS = 20
ITERATIONS = 14_000
DATA = "Omniglot; SHA-256 of the pixels: " + ", ".join(
    f"{source.archive} {source.pixels}" for source in SPLITS.values()
)


def network(ways):
    """Few filters where images are large, many where they are small; pooling; all features.

    Layer norm in place of batch norm: an answer never depends on the other queries.
    """
    filters = 16, 32, 64, 128
    return OmniglotNetwork(ways, filters=filters, norm="layer", features="all", halving="pool")


def training_tasks(ways, images=None, bend=0.6):
    """Episodes of the background split (or of other images), turned, mirrored and warped."""
    images = characters("background").images if images is None else images
    episodes = FewShot(images, ways, rotations=True, mirrors=True, device="cpu")
    return Warped(episodes, bend=bend)


def test_tasks(ways, images=None):
    """Episodes of the evaluation split (or of other images), as they were drawn."""
    images = characters("evaluation").images if images is None else images
    return FewShot(images, ways, device="cpu")


def learner(ways):
    """The learner that ships, for any number of ways: its parameters are the same."""
    return ZeroedMAML(network(ways), cross_entropy, lr=0.4, steps=1)


def _recipe(ways, shots):
    return Recipe(
        source="Finn et al. 2017, section 5.2, with a head of zeros (Kao et al. 2022), learned "
        "step sizes (Antoniou et al. 2019), layer norm, pooling, other widths, 20 ways and one "
        "shot in training whatever the test, and classes mirrored, warped and bent",
        learner=partial(learner, TRAINING_WAYS),
        test_learner=partial(learner, ways),
        tasks=partial(training_tasks, TRAINING_WAYS),
        test_tasks=partial(test_tasks, ways),
        training={
            "iterations": ITERATIONS,
            "shots": 1,
            "queries": 5,
            "tasks_per_batch": 4,
            "optimizer": partial(torch.optim.Adam, lr=5e-3),
            "schedule": "cosine",
        },
        testing={"shots": shots, "queries": 15, "tasks": 1_000, "steps": 1},
        trained_as="omniglot-20way-1shot",
        data=DATA,
        percent=True,
    )


OMNIGLOT = {f"omniglot-{ways}way-{shots}shot": _recipe(ways, shots) for ways, shots in SETTINGS}
