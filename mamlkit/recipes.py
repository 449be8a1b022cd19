"""Named experiments, as data: what is learnt, by whom, for how long, and how it is judged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch.nn.functional import mse_loss

from mamlkit import devices, require
from mamlkit.evaluation import Evaluation, evaluate
from mamlkit.learners.learner import Learner
from mamlkit.learners.maml import MAML
from mamlkit.models.networks import SineNetwork
from mamlkit.tasks.sinusoids import Sinusoids
from mamlkit.training.fit import Run, fit


@dataclass(frozen=True)
class Recipe:
    """One experiment.

    source: what it repeats, or where it departs from it.
    learner, tasks, test_tasks: functions that build them; nothing happens before they are called.
    training: keywords of `fit`. testing: keywords of `evaluate`.
    """

    source: str
    learner: Callable[[], Learner]
    tasks: Callable
    test_tasks: Callable
    training: dict = field(default_factory=dict)
    testing: dict = field(default_factory=dict)

    def train(self, *, seed=0, **changes) -> Run:
        """Run `fit` as written, with `changes` to its keywords; `seed` sets the weights too."""
        seed = require.whole("Recipe", "seed", seed, least=0)
        return fit(self.start(seed), self.tasks(), seed=seed, **{**self.training, **changes})

    def start(self, seed) -> Learner:
        """The learner with its initial weights of that seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.learner()

    def test(self, params, *, seed=1_000_000, device="auto", **changes) -> Evaluation:
        """Run `evaluate` as written, on tasks of another seed than any used in training."""
        device = devices.resolve(device)
        learner = self.start(seed=0)
        learner.module.to(device)
        settings = {**self.testing, **changes}
        return evaluate(learner, params, self.test_tasks().to(device), seed=seed, **settings)


_SINE_TRAINING = {"iterations": 70_000, "shots": 5, "queries": 5, "tasks_per_batch": 25}
_SINE_TESTING = {"shots": 5, "queries": 100, "tasks": 600, "steps": 10}


def _sine_learner(steps, inputs=1):
    return MAML(SineNetwork(inputs), mse_loss, lr=0.01, steps=steps)


RECIPES = {
    "sinusoid-maml": Recipe(
        source="Finn et al. 2017, section 5.1, K = 5",
        learner=partial(_sine_learner, steps=1),
        tasks=Sinusoids,
        test_tasks=Sinusoids,
        training=_SINE_TRAINING,
        testing=_SINE_TESTING,
    ),
    "sinusoid-pretrained": Recipe(
        source="Finn et al. 2017, section 5.1: pretraining on all tasks, MAML with no inner step",
        learner=partial(_sine_learner, steps=0),
        tasks=Sinusoids,
        test_tasks=Sinusoids,
        training=_SINE_TRAINING,
        testing=_SINE_TESTING,
    ),
    "sinusoid-oracle": Recipe(
        source="Finn et al. 2017, section 5.1: the oracle, which sees amplitude and phase",
        learner=partial(_sine_learner, steps=0, inputs=3),
        tasks=partial(Sinusoids, reveal=True),
        test_tasks=partial(Sinusoids, reveal=True),
        training=_SINE_TRAINING,
        testing=_SINE_TESTING,
    ),
}
