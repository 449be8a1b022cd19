"""Meta-learners side by side on 5-way Omniglot: one small network, one budget of episodes.

All see the same number of training episodes, turned, mirrored and warped as for the network that
ships, and train for minutes, not for an hour: compare them with each other, not with it. Inner step
sizes are the better of two, those of first-order MAML and Reptile with their steps and optimisers
the best of six tries, after 400 iterations, on alphabets held out of the background split
(experiments/SEARCH.md).
"""

from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from mamlkit.learners.anil import ANIL
from mamlkit.learners.base import Learner
from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.learners.maml_plus_plus import MAMLPlusPlus
from mamlkit.learners.meta_sgd import MetaSGD
from mamlkit.learners.protomaml import ProtoMAML
from mamlkit.learners.reptile import Reptile
from mamlkit.learners.zero_head import ZeroHead
from mamlkit.models.networks import OmniglotNetwork
from mamlkit.recipes.omniglot import DATA, test_tasks, training_tasks
from mamlkit.recipes.recipe import Recipe

WAYS = 5
TRAINING = {"iterations": 2_000, "shots": 1, "queries": 5, "tasks_per_batch": 16}
OUTER_LOOP = {"optimizer": partial(torch.optim.Adam, lr=3e-3), "schedule": "cosine"}
MEMBERS = {  # what a recipe's name ends with: the learner around a network
    "zero-head": partial(ZeroHead, lr=0.4, steps=1),
    "learned-head": partial(MAML, lr=0.4),
    "first-order": partial(FirstOrderMAML, lr=0.1, steps=8),  # with one it hardly learns
    "anil": partial(ANIL, lr=0.4),
    "meta-sgd": partial(MetaSGD, lr=0.1),
    "maml-plus-plus": partial(MAMLPlusPlus, lr=0.4, steps=2),
    "reptile": partial(Reptile, lr=0.1, steps=5, minibatch=10),
    "prototypical": partial(ProtoMAML, lr=0.0, steps=0),
}


def learner(member: str, **changes: Any) -> Learner:
    """Return a member's learner around the network of notebook 07, with changed arguments."""
    module = OmniglotNetwork(WAYS, filters=(16, 32, 64, 128), norm="layer", features="all")
    return MEMBERS[member](module, cross_entropy, **changes)


def _recipe(member: str, shots: int) -> Recipe:
    reptile = member == "reptile"
    queries = 9 if reptile else 5  # with the one support drawing a class: its minibatch of 10
    steps = 20 if reptile else MEMBERS[member].keywords.get("steps", 1)
    return Recipe(
        source=f"{MEMBERS[member].func.__name__}: see the class",
        learner=partial(learner, member),
        tasks=partial(training_tasks, WAYS, bend=0.0),
        test_tasks=partial(test_tasks, WAYS),
        training={**TRAINING, **OUTER_LOOP, "queries": queries},
        testing={"shots": shots, "queries": 15, "tasks": 1_000, "steps": steps},
        trained_as=f"omniglot-5way-1shot-{member}",  # both tests share one training, of 1 shot
        data=DATA,
        percent=True,
    )


OMNIGLOT_VARIANTS = {
    f"omniglot-5way-{shots}shot-{member}": _recipe(member, shots)
    for member in MEMBERS
    for shots in (1, 5)
}
