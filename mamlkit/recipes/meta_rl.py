"""Meta reinforcement learning: navigation (Finn et al. 2017) and bandits (Duan et al. 2016)."""

from functools import partial

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
}

META_RL = {
    "bandit-rl2": Recipe(
        source="Duan et al. 2016, table 1, n = 10, k = 5; an actor with a critic instead of TRPO",
        learner=lambda: RecurrentPolicy(RecurrentActor(observations=10, actions=5), Bandits()),
        tasks=Bandits,
        test_tasks=Bandits,
        training=BANDIT_TRAINING,
        testing={"shots": 1, "queries": 1, "tasks": 10_000, "steps": 0},
    ),
}
