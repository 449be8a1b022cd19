"""What a recipe is."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from mamlkit import devices, require
from mamlkit.evaluation import Evaluation, evaluate
from mamlkit.learners.learner import Learner
from mamlkit.training.fit import fit
from mamlkit.training.run import Run

TEST_SEED = 1_000_000  # of the tasks that test: another than any used in training


@dataclass(frozen=True)
class Recipe:
    """One experiment.

    source: what it repeats, or where it departs from it.
    learner, tasks, test_tasks: functions that build them; nothing happens before they are called.
    training: keywords of `fit`. testing: keywords of `evaluate`.
    test_learner: the learner that is tested, where it is not the one that trains: one of another
        number of ways. Its parameters must be the same.
    trained_as: the name of the recipe whose training this one shares, if it does.
    data: where the tasks come from, for the card of a network that ships.
    percent: whether results are shares, to be written in percent.
    """

    source: str
    learner: Callable[[], Learner]
    tasks: Callable
    test_tasks: Callable
    training: dict = field(default_factory=dict)
    testing: dict = field(default_factory=dict)
    test_learner: Callable[[], Learner] | None = None
    trained_as: str = ""
    data: str = "generated, no data set"
    percent: bool = False

    def train(self, *, seed=0, distribution=None, **changes) -> Run:
        """Run `fit` as written, with `changes` to its keywords; `seed` sets the weights too.

        distribution: of tasks to train on, in place of the recipe's.
        """
        seed = require.whole("Recipe", "seed", seed, least=0, most=devices.LARGEST_SEED)
        tasks = self.tasks() if distribution is None else distribution
        return fit(self.start(seed), tasks, seed=seed, **{**self.training, **changes})

    def start(self, seed) -> Learner:
        """The learner with its initial weights of that seed."""
        return _seeded(self.learner, seed)

    def tester(self) -> Learner:
        """The learner that is tested, around a module whose own weights are of no interest."""
        return _seeded(self.test_learner or self.learner, 0)

    def test(
        self, params, *, seed=TEST_SEED, device="auto", distribution=None, **changes
    ) -> Evaluation:
        """Run `evaluate` as written.

        distribution: of tasks to test on, in place of the recipe's.
        """
        device = devices.resolve(device)
        learner = self.tester()
        learner.module.to(device)
        tasks = self.test_tasks() if distribution is None else distribution
        settings = {**self.testing, **changes}
        params = {name: value.to(device) for name, value in params.items()}
        return evaluate(learner, params, tasks.to(device), seed=seed, **settings)


def _seeded(build, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
