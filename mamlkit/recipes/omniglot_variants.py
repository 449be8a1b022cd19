"""MAML whose every layer adapts, and prototypes: each under the recipe of the network that ships.

Network, tasks and outer loop are those of `mamlkit.recipes.omniglot`, found there for a head of
zeros. MAML's inner step is, for either number of ways, the best of four tries of 400 iterations on
held-out background alphabets (`python -m experiments.omniglot_variants`). It is not learned: in
tries by hand the outer loop drove those of the convolutions to zero. Its outer step is a fifth of
the others', with which it got no further than 32 % in as many iterations of 5 ways.
"""

from functools import partial

import torch
from torch.nn.functional import cross_entropy

from mamlkit import checks
from mamlkit.learners.maml import MAML
from mamlkit.learners.metric import PrototypicalNetwork
from mamlkit.recipes.omniglot import (
    DATA,
    OUTER_LOOP,
    SETTINGS,
    TRAINING,
    TRAINING_WAYS,
    network,
    test_tasks,
    training_tasks,
)
from mamlkit.recipes.recipe import Recipe

LR = {5: 0.01, 20: 0.15}  # the best tries; with 0.01 a network of 20 ways did not get going
TEMPERATURE = 30.0  # is learned from there on
OUTER_STEPS = {"maml": 1e-3, "prototypes": OUTER_LOOP["optimizer"].keywords["lr"]}


def maml(ways: int, lr: float | None = None) -> MAML:
    """Return MAML with a learned head; every layer adapts. The step is of `LR`, or `lr`."""
    lr = LR[checks.check_choice("maml", "ways", ways, tuple(LR))] if lr is None else lr
    return MAML(network(ways, head="uniform"), cross_entropy, lr=lr)


def prototypes(ways: int, temperature: float = TEMPERATURE) -> PrototypicalNetwork:
    """Return a prototypical network, squared Euclidean, with a learned temperature."""
    options = {"temperature": temperature, "learn_temperature": True}
    return PrototypicalNetwork(network(ways).body, cross_entropy, ways=ways, **options)


MEMBERS = {"maml": maml, "prototypes": prototypes}  # what a recipe's name ends with: the learner


def training_ways(member: str, ways: int) -> int:
    """Return the ways in training: a learned head has the test's, prototypes any number."""
    return ways if member == "maml" else TRAINING_WAYS


def _recipe(member: str, ways: int, shots: int) -> Recipe:
    build, in_training = MEMBERS[member], training_ways(member, ways)
    steps = 1 if member == "maml" else 0
    own = {
        "tasks_per_batch": TRAINING["tasks_per_batch"] * TRAINING_WAYS // in_training,
        "optimizer": partial(torch.optim.Adam, lr=OUTER_STEPS[member]),
    }
    return Recipe(
        source=f"{build(ways).__class__.__name__} under the recipe of omniglot-{ways}way",
        learner=partial(build, in_training),
        test_learner=partial(build, ways),
        tasks=partial(training_tasks, in_training),
        test_tasks=partial(test_tasks, ways),
        training={**TRAINING, **OUTER_LOOP, **own},
        testing={"shots": shots, "queries": 15, "tasks": 1_000, "steps": steps},
        trained_as=f"omniglot-{in_training}way-1shot-{member}",
        data=DATA,
        percent=True,
    )


OMNIGLOT_VARIANTS = {
    f"omniglot-{ways}way-{shots}shot-{member}": _recipe(member, ways, shots)
    for member in MEMBERS
    for ways, shots in SETTINGS
}
