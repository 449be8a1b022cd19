"""Experiment 1: sinusoid regression (Finn et al. 2017, section 5.1)."""

from functools import partial

from torch.nn.functional import mse_loss

from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.models.networks import SineNetwork
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.sinusoids import Sinusoids

TRAINING = {"iterations": 70_000, "shots": 5, "queries": 5, "tasks_per_batch": 25}


def _recipe(what: str, kind: type[MAML] = MAML, steps: int = 1, oracle: bool = False) -> Recipe:
    tasks = partial(Sinusoids, reveal=oracle)
    network = partial(SineNetwork, inputs=3 if oracle else 1)
    test_steps = 0 if oracle else 10  # it need not learn from points, and steps make it diverge
    return Recipe(
        source=f"Finn et al. 2017, section 5.1{what}",
        learner=lambda: kind(network(), mse_loss, lr=0.01, steps=steps),
        tasks=tasks,
        test_tasks=tasks,
        training=TRAINING,
        testing={"shots": 5, "queries": 100, "tasks": 600, "steps": test_steps},
    )


SINUSOID = {
    "sinusoid-maml": _recipe(", K = 5"),
    "sinusoid-first-order": _recipe(", K = 5, without second derivatives", FirstOrderMAML),
    "sinusoid-pretrained": _recipe(": pretraining on all tasks, MAML with no inner step", steps=0),
    "sinusoid-oracle": _recipe(
        ": the oracle, which sees amplitude and phase", steps=0, oracle=True
    ),
}
