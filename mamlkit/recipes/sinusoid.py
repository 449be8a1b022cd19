"""Experiment 1: waves."""

from functools import partial

from torch.nn.functional import mse_loss

from mamlkit.learners.maml import MAML
from mamlkit.models.networks import SineNetwork
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.sinusoids import Sinusoids

TRAINING = {"iterations": 70_000, "shots": 5, "queries": 5, "tasks_per_batch": 25}
TESTING = {"shots": 5, "queries": 100, "tasks": 600, "steps": 10}


def _learner(steps, inputs=1):
    return MAML(SineNetwork(inputs), mse_loss, lr=0.01, steps=steps)


SINUSOID = {
    "sinusoid-maml": Recipe(
        source="Finn et al. 2017, section 5.1, K = 5",
        learner=partial(_learner, steps=1),
        tasks=Sinusoids,
        test_tasks=Sinusoids,
        training=TRAINING,
        testing=TESTING,
    ),
    "sinusoid-pretrained": Recipe(
        source="Finn et al. 2017, section 5.1: pretraining on all tasks, MAML with no inner step",
        learner=partial(_learner, steps=0),
        tasks=Sinusoids,
        test_tasks=Sinusoids,
        training=TRAINING,
        testing=TESTING,
    ),
    "sinusoid-oracle": Recipe(
        source="Finn et al. 2017, section 5.1: the oracle, which sees amplitude and phase",
        learner=partial(_learner, steps=0, inputs=3),
        tasks=partial(Sinusoids, reveal=True),
        test_tasks=partial(Sinusoids, reveal=True),
        training=TRAINING,
        testing=TESTING,
    ),
}
