"""Prototypical networks on Omniglot as published: Snell et al. 2017, section 3.1.

Training episodes of one shot and many ways, rotated characters as classes of their own, Adam at
1e-3, halved again and again. Vinyals' split, trained on its training and validation parts together,
as the authors do in the end; or the main split of this project. Departures: 20 ways for 60, and
10,000 episodes; no convolution has a bias, which batch norm would take out again; batch norm uses
the statistics of the images at hand in the test too, where the authors' code uses running ones; and
no two rotations of one character meet in an episode.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import StepLR

from mamlkit.learners.metric import PrototypicalNetwork
from mamlkit.models.layers import BatchNorm
from mamlkit.recipes.omniglot import DATA, SETTINGS
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.fewshot import FewShot
from mamlkit.tasks.omniglot import omniglot, vinyals_split


def embedding(filters: int = 64) -> nn.Sequential:
    """Return four blocks, from `[images, 1, 28, 28]` to `[images, filters]`, as in the paper."""
    layers = []
    for channels in (1, filters, filters, filters):
        convolution = nn.Conv2d(channels, filters, kernel_size=3, padding=1, bias=False)
        layers += [convolution, BatchNorm(filters, first=True), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


TRAINING_WAYS = 20  # theirs: 60, three times the arithmetic
TRAINING = {
    "iterations": 10_000,
    "shots": 1,
    "queries": 5,
    "tasks_per_batch": 1,
    "optimizer": partial(torch.optim.Adam, lr=1e-3),
    "schedule": partial(StepLR, step_size=2_000, gamma=0.5),
}


def learner(ways: int) -> PrototypicalNetwork:
    """Return the learner; its parameters are the same for any number of ways."""
    return PrototypicalNetwork(embedding(), cross_entropy, ways=ways)


def split_images(split: str) -> tuple[Tensor, Tensor]:
    """Return the images to train on, and to test on, of the split "vinyals" or "main"."""
    if split == "main":
        return omniglot("background").images, omniglot("evaluation").images
    training, validation, test = vinyals_split()
    return torch.cat([training.images, validation.images]), test.images


def tasks(split: str, ways: int, *, test: bool = False) -> FewShot:
    """Return episodes; characters are turned, but not in the main split's test."""
    turned = not test or split == "vinyals"
    return FewShot(split_images(split)[test], ways, rotations=turned, device="cpu")


def _recipe(split: str, ways: int, shots: int) -> Recipe:
    return Recipe(
        source=f"Snell et al. 2017, section 3.1, {split} split, {TRAINING_WAYS} ways in training, "
        f"{TRAINING['iterations']:,} episodes",
        learner=partial(learner, TRAINING_WAYS),
        test_learner=partial(learner, ways),
        tasks=partial(tasks, split, TRAINING_WAYS),
        test_tasks=partial(tasks, split, ways, test=True),
        training=TRAINING,
        testing={"shots": shots, "queries": 15, "tasks": 1_000, "steps": 0},
        trained_as=f"omniglot-20way-1shot-snell-{split}",
        data=DATA,
        percent=True,
    )


OMNIGLOT_METRIC = {
    f"omniglot-{ways}way-{shots}shot-snell-{split}": _recipe(split, ways, shots)
    for split in ("vinyals", "main")
    for ways, shots in SETTINGS
}
