"""MAML's relatives on 5-way Omniglot, side by side: one small network, one budget of episodes.

All see the same number of training episodes, turned, mirrored and warped as for the network that
ships, and train for minutes, not for an hour: compare them with each other, not with it. Inner step
sizes are the better of two, those of first-order MAML and Reptile with their steps and optimisers
the best of six tries, after 400 iterations, on alphabets held out of the background split
(benchmarks/ROAD.md).
"""

from functools import partial

import torch
from torch.nn.functional import cross_entropy

from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.learners.partial import ANIL
from mamlkit.learners.protomaml import ProtoMAML
from mamlkit.learners.rates import MAMLPlusPlus, MetaSGD
from mamlkit.learners.reptile import Reptile
from mamlkit.learners.zeroed import ZeroedMAML
from mamlkit.models.networks import OmniglotNetwork
from mamlkit.recipes.omniglot import DATA, test_tasks, training_tasks
from mamlkit.recipes.recipe import Recipe

WAYS, ITERATIONS, REPTILE_TEST_STEPS = 5, 2_000, 20
MEMBERS = {  # what a recipe's name ends with: the learner around a network
    "zeroed": partial(ZeroedMAML, lr=0.4, steps=1),
    "learned-head": partial(MAML, lr=0.4),
    "first-order": partial(FirstOrderMAML, lr=0.1, steps=8),  # with one it hardly learns
    "anil": partial(ANIL, lr=0.4),
    "meta-sgd": partial(MetaSGD, lr=0.1),
    "maml-plus-plus": partial(MAMLPlusPlus, lr=0.4, steps=2),
    "reptile": partial(Reptile, lr=0.1, steps=5, minibatch=10),
    "prototypical": partial(ProtoMAML, lr=0.0, steps=0),
}


def learner(member, **changes):
    """A member of the family around the network of notebook 07, with other arguments if given."""
    module = OmniglotNetwork(WAYS, filters=(16, 32, 64, 128), norm="layer", features="all")
    return MEMBERS[member](module, cross_entropy, **changes)


def _recipe(member, shots):
    reptile = member == "reptile"
    return Recipe(
        source=f"{MEMBERS[member].func.__name__}: see the class",
        learner=partial(learner, member),
        tasks=partial(training_tasks, WAYS, bend=0.0),
        test_tasks=partial(test_tasks, WAYS),
        training={
            "iterations": ITERATIONS,
            "shots": 1,
            "queries": 9 if reptile else 5,  # Reptile makes no difference between the two
            "tasks_per_batch": 16,
            "optimizer": partial(torch.optim.Adam, lr=3e-3),
            "schedule": "cosine",
        },
        testing={
            "shots": shots,
            "queries": 15,
            "tasks": 1_000,
            "steps": REPTILE_TEST_STEPS if reptile else MEMBERS[member].keywords.get("steps", 1),
        },
        trained_as=f"omniglot-5way-1shot-{member}",
        data=DATA,
        percent=True,
    )


OMNIGLOT_FAMILY = {
    f"omniglot-5way-{shots}shot-{member}": _recipe(member, shots)
    for member in MEMBERS
    for shots in (1, 5)
}
