"""Meta reinforcement learning: navigation (Finn et al. 2017) and bandits (Duan et al. 2016)."""

from functools import partial
from typing import Any

import torch

from mamlkit.learners.policy_gradient import PolicyGradientMAML
from mamlkit.learners.recurrent_policy import RecurrentPolicy
from mamlkit.models.policies import GaussianPolicy, RecurrentActor
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.bandits import Bandits
from mamlkit.tasks.point_robot import PointRobot

ADAM = partial(torch.optim.Adam, fused=True)
BANDIT_TRAINING = {
    "iterations": 2_000,
    "shots": 1,
    "queries": 1,
    "tasks_per_batch": 1_000,
    "optimizer": partial(ADAM, lr=1e-2),
    "schedule": "cosine",
    "compile": False,
}

NAVIGATION_TRAINING = {
    "iterations": 250,
    "shots": 20,
    "queries": 20,
    "tasks_per_batch": 10,
    "optimizer": partial(ADAM, lr=2e-3),
    "schedule": "cosine",
    "compile": False,  # two rollouts of 100 steps make too long a program
}
NAVIGATION = (
    "Finn et al. 2017, section 5.3.1, as the released code has it (plain distance, later steps "
    "half as long); Adam on ProMP's surrogate instead of TRPO; results are minus the return"
)


def _navigation(what: str = "", steps: int = 1, reveal: bool = False, **training: Any) -> Recipe:
    robot = partial(PointRobot, reveal=reveal)
    policy = partial(GaussianPolicy, observations=4 if reveal else 2, std=0.3)
    test_steps = 0 if reveal else 3  # the oracle has nothing to find out
    return Recipe(
        source=NAVIGATION + what,
        learner=lambda: PolicyGradientMAML(policy(), robot(), lr=0.1, later_lr=0.05, steps=steps),
        tasks=robot,
        test_tasks=robot,
        training={**NAVIGATION_TRAINING, **training},
        testing={"shots": 60, "queries": 20, "tasks": 600, "steps": test_steps},
    )


META_RL = {
    "navigation-maml": _navigation(),
    "navigation-pretrained": _navigation(
        ": pretraining on all goals, MAML with no inner step", steps=0, iterations=80, shots=1
    ),
    "navigation-oracle": _navigation(
        ": the oracle, which is told the goal", steps=0, reveal=True, iterations=150, shots=1
    ),
    "bandit-rl2": Recipe(
        source="Duan et al. 2016, table 1, n = 10, k = 5; an actor with a critic instead of TRPO; "
        "results are minus the return",
        learner=lambda: RecurrentPolicy(RecurrentActor(observations=10, actions=5), Bandits()),
        tasks=Bandits,
        test_tasks=Bandits,
        training=BANDIT_TRAINING,
        testing={"shots": 1, "queries": 1, "tasks": 10_000, "steps": 0},
    ),
}
