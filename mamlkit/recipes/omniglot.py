"""Experiment 2: Omniglot, in the four settings of the papers.

All train on `images_background`, its characters turned, mirrored and warped into more, and are
tested on upright characters of `images_evaluation`. Network, learner and tasks were chosen on
alphabets held out of the background split (experiments/SEARCH.md). Not tried out there: pooling
together with bends, no warm-up, and as many iterations as here. One training serves all four.
"""

from functools import partial

import torch
from torch.nn.functional import cross_entropy

from mamlkit.learners.zero_head import ZeroHead
from mamlkit.models.networks import OmniglotNetwork
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.augment import Warped
from mamlkit.tasks.fewshot import FewShot
from mamlkit.tasks.omniglot import SPLITS, omniglot

SETTINGS = ((5, 1), (5, 5), (20, 1), (20, 5))  # ways, shots
TRAINING_WAYS = 20
TRAINING = {"iterations": 14_000, "shots": 1, "queries": 5, "tasks_per_batch": 4}
OUTER_LOOP = {"optimizer": partial(torch.optim.Adam, lr=5e-3), "schedule": "cosine"}
DATA = "Omniglot; SHA-256 of the pixels: " + ", ".join(
    f"{source.archive} {source.pixels}" for source in SPLITS.values()
)


def network(ways: int, head: str = "zeros") -> OmniglotNetwork:
    """Return the network that ships: few filters on large images, many on small ones.

    Layer norm in place of batch norm: an answer never depends on the other queries.
    """
    options = {"filters": (16, 32, 64, 128), "features": "all", "downsample": "pool"}
    return OmniglotNetwork(ways, norm="layer", head=head, **options)


def learner(ways: int) -> ZeroHead:
    """Return the learner that ships; its parameters are the same for any number of ways."""
    return ZeroHead(network(ways), cross_entropy, lr=0.4, steps=1)


def training_tasks(ways: int, images: torch.Tensor | None = None, bend: float = 0.6) -> Warped:
    """Return episodes of the background split (or other images), turned, mirrored and warped."""
    images = omniglot("background").images if images is None else images
    episodes = FewShot(images, ways, rotations=True, mirrors=True, device="cpu")
    return Warped(episodes, bend=bend)


def test_tasks(ways: int, images: torch.Tensor | None = None) -> FewShot:
    """Return episodes of the evaluation split (or other images), as they were drawn."""
    images = omniglot("evaluation").images if images is None else images
    return FewShot(images, ways, device="cpu")


def _recipe(ways: int, shots: int) -> Recipe:
    return Recipe(
        source="Finn et al. 2017, section 5.2, with a head of zeros (Kao et al. 2022), learned "
        "step sizes (Antoniou et al. 2019), layer norm, pooling, other widths, 20 ways and one "
        "shot in training whatever the test, and classes mirrored, warped and bent",
        learner=partial(learner, TRAINING_WAYS),
        test_learner=partial(learner, ways),
        tasks=partial(training_tasks, TRAINING_WAYS),
        test_tasks=partial(test_tasks, ways),
        training={**TRAINING, **OUTER_LOOP},
        testing={"shots": shots, "queries": 15, "tasks": 1_000, "steps": 1},
        trained_as="omniglot-20way-1shot",
        data=DATA,
        percent=True,
    )


OMNIGLOT = {f"omniglot-{ways}way-{shots}shot": _recipe(ways, shots) for ways, shots in SETTINGS}
