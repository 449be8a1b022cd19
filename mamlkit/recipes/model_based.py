"""Learners without gradient steps on noisy sines (notebook 11).

All see waves with noise of deviation 0.1 in every y, and x through a `PositionCode`; they are
trained on 1 to 10 points of a support set, for minutes, too short
a time for compiling to pay.
"""

from collections.abc import Callable
from functools import partial

import torch

from mamlkit.learners.base import Learner
from mamlkit.learners.in_context import InContextLearner
from mamlkit.learners.neural_process import AttentiveNeuralProcess, ConditionalNeuralProcess
from mamlkit.models.attention import InContextTransformer
from mamlkit.models.neural_process import AttentiveProcess, NeuralProcess
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.noisy_sinusoids import NoisySinusoids, negative_log_likelihood

ADAM = partial(torch.optim.Adam, lr=2e-3)
READING = {
    "iterations": 3_000, "shots": 10, "queries": 10, "tasks_per_batch": 16, "optimizer": ADAM,
    "schedule": "cosine", "compile": False,
}  # fmt: skip


def _reader(source: str, learner: Callable[[], Learner]) -> Recipe:
    return Recipe(
        source=source,
        learner=learner,
        tasks=NoisySinusoids,
        test_tasks=NoisySinusoids,
        training=READING,
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


MODEL_BASED = {
    "noisy-sine-cnp": _reader("Garnelo et al. 2018a, on noisy sines", _cnp),
    "noisy-sine-anp": _reader("Kim et al. 2019, deterministic path, on noisy sines", _anp),
    "noisy-sine-transformer": _reader("Müller et al. 2022, on noisy sines", _transformer),
}
