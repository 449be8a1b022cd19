"""The form of a recipe: one experiment, from its learner to its test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_map

from mamlkit import checks, devices
from mamlkit.evaluation import Evaluation, evaluate
from mamlkit.learners.base import Learner
from mamlkit.training.fit import fit
from mamlkit.training.loop import Run

TEST_SEED = 1_000_000  # of the test tasks: no training uses it


@dataclass(frozen=True)
class Recipe:
    """One experiment, as data; nothing is built before `train` or `test`.

    source: the paper and section it repeats, and where it departs from them.
    learner, tasks, test_tasks: functions that build the learner and the task distributions.
    training, testing: keywords of `fit` and of `evaluate`.
    test_learner: builds the learner that is tested where it is another than `learner`, such as one
        of other ways; both have the same parameters.
    trained_as: the recipe whose training, and so whose weights, this one shares.
    data: where the tasks come from, for the card of a network that ships.
    percent: whether the metric is a share, to be printed in percent.
    """

    source: str
    learner: Callable[[], Learner]
    tasks: Callable[..., Any]
    test_tasks: Callable[..., Any]
    training: dict[str, Any] = field(default_factory=dict)
    testing: dict[str, Any] = field(default_factory=dict)
    test_learner: Callable[[], Learner] | None = None
    trained_as: str = ""
    data: str = "generated, no data set"
    percent: bool = False

    def start(self, seed: int) -> Learner:
        """Return the learner, its module initialised with `seed`."""
        return _build_seeded(self.learner, seed)

    def tester(self) -> Learner:
        """Return the learner that is tested; the weights of its module do not matter."""
        return _build_seeded(self.test_learner or self.learner, 0)

    def train(self, *, seed: int = 0, distribution: Any = None, **changes: Any) -> Run:
        """Run `fit` as written, with `changes` to its keywords; `seed` sets the weights too.

        distribution: the training tasks, in place of the recipe's.
        """
        seed = checks.check_int("Recipe", "seed", seed, low=0, high=devices.LARGEST_SEED)
        tasks = self.tasks() if distribution is None else distribution
        return fit(self.start(seed), tasks, seed=seed, **{**self.training, **changes})

    def test(
        self,
        params: Any,
        *,
        seed: int = TEST_SEED,
        device: str | torch.device = "auto",
        distribution: Any = None,
        **changes: Any,
    ) -> Evaluation:
        """Run `evaluate` as written, with `changes` to its keywords.

        distribution: the test tasks, in place of the recipe's.
        """
        device = devices.resolve(device)
        learner = self.tester()
        learner.module.to(device)
        tasks = (self.test_tasks() if distribution is None else distribution).to(device)
        params = tree_map(lambda tensor: tensor.to(device), params)
        return evaluate(learner, params, tasks, seed=seed, **{**self.testing, **changes})


def _build_seeded(build: Callable[[], Learner], seed: int) -> Learner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
