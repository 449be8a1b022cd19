"""Experiment 1: waves."""

from functools import partial

from torch.nn.functional import mse_loss

from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.models.networks import SineNetwork
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.sinusoids import Sinusoids

TRAINING = {"iterations": 70_000, "shots": 5, "queries": 5, "tasks_per_batch": 25}
TESTING = {"shots": 5, "queries": 100, "tasks": 600}


def _learner(kind, steps, inputs):
    return kind(SineNetwork(inputs), mse_loss, lr=0.01, steps=steps)


def _recipe(what, *, kind=MAML, steps=1, inputs=1, tasks=Sinusoids, tested=10):
    return Recipe(
        source=f"Finn et al. 2017, section 5.1{what}",
        learner=partial(_learner, kind, steps, inputs),
        tasks=tasks,
        test_tasks=tasks,
        training=TRAINING,
        testing={**TESTING, "steps": tested},
    )


SINUSOID = {
    "sinusoid-maml": _recipe(", K = 5"),
    "sinusoid-first-order": _recipe(", K = 5, without second derivatives", kind=FirstOrderMAML),
    "sinusoid-pretrained": _recipe(": pretraining on all tasks, MAML with no inner step", steps=0),
    "sinusoid-oracle": _recipe(
        ": the oracle, which sees amplitude and phase",
        steps=0,
        inputs=3,
        tasks=partial(Sinusoids, reveal=True),
        tested=0,  # it has nothing to learn from points, and steps of 0.01 make it diverge
    ),
}
