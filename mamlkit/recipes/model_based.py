"""Learners without gradient steps on noisy sines, and MAML beside them (notebook 11).

All see waves with noise of deviation 0.1 in every y, and x through a `PositionCode`. The three that
read a support set are trained on 1 to 10 of its points; MAML on 10, where they are compared.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss

from mamlkit.learners.base import Learner
from mamlkit.learners.in_context import InContextLearner
from mamlkit.learners.maml import MAML
from mamlkit.learners.neural_process import AttentiveNeuralProcess, ConditionalNeuralProcess
from mamlkit.models.attention import InContextTransformer
from mamlkit.models.networks import SineNetwork
from mamlkit.models.neural_process import AttentiveProcess, NeuralProcess, PositionCode
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.noisy_sinusoids import NOISE, NoisySinusoids, negative_log_likelihood
from mamlkit.tasks.sinusoids import Sinusoids

ADAM = partial(torch.optim.Adam, lr=2e-3)
READING = {
    "shots": 10, "queries": 10, "tasks_per_batch": 16, "optimizer": ADAM, "schedule": "cosine",
}  # fmt: skip


def _reader(source: str, learner: Callable[[], Learner], iterations: int) -> Recipe:
    return Recipe(
        source=source,
        learner=learner,
        tasks=NoisySinusoids,
        test_tasks=NoisySinusoids,
        training={"iterations": iterations, **READING},
        testing={"shots": 10, "queries": 20, "tasks": 600, "steps": 0},
    )


def _cnp() -> Learner:
    return ConditionalNeuralProcess(NeuralProcess(width=128, code=True), negative_log_likelihood)


def _anp() -> Learner:
    module = AttentiveProcess(width=64, heads=4, code=True)
    return AttentiveNeuralProcess(module, negative_log_likelihood)


def _transformer() -> Learner:
    module = InContextTransformer(width=64, layers=2, heads=4, code=True)
    return InContextLearner(module, negative_log_likelihood, vary_shots=True)


def _maml(**changes: Any) -> Learner:
    module = nn.Sequential(PositionCode(), SineNetwork(inputs=1 + PositionCode.added))
    return MAML(module, mse_loss, lr=0.01, **changes)


MODEL_BASED = {
    "noisy-sine-cnp": _reader("Garnelo et al. 2018a, on noisy sines", _cnp, 12_000),
    "noisy-sine-anp": _reader("Kim et al. 2019, deterministic path, on noisy sines", _anp, 12_000),
    "noisy-sine-transformer": _reader("Müller et al. 2022, on noisy sines", _transformer, 12_000),
    "noisy-sine-maml": Recipe(
        source="Finn et al. 2017, section 5.1, K = 10, with noise in y",
        learner=_maml,
        tasks=NoisySinusoids,
        test_tasks=partial(Sinusoids, noise=NOISE),
        training={"iterations": 20_000, "shots": 10, "queries": 10, "tasks_per_batch": 25},
        testing={"shots": 10, "queries": 100, "tasks": 600, "steps": 10},
    ),
}
