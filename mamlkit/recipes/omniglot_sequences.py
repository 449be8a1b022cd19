"""A plain LSTM that reads Omniglot sequences over frozen features (Santoro et al. 2016, table 1).

The features are those of the network of notebook 07, which was meta-trained on the same background
characters, projected to 64 numbers by a fixed random matrix. Only the memory is trained here.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from mamlkit.learners.recurrent import RecurrentLearner
from mamlkit.models.recurrent import LSTMReader
from mamlkit.recipes.omniglot import DATA
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.omniglot import omniglot
from mamlkit.tasks.sequences import Sequences

WAYS, FEATURES, HIDDEN = 5, 64, 128
EMBEDDING = "omniglot-20way-1shot"  # the shipped network whose body gives the features


@torch.no_grad()
def embed(images: Tensor) -> Float[Tensor, "classes examples features"]:
    """Return frozen features of images `[classes, examples, 1, 28, 28]` (bytes), of length √64."""
    from mamlkit import pretrained  # which imports the recipes

    learner, params = pretrained.load(EMBEDDING, device="cpu")
    parts = (images.flatten(0, 1).float() / 255).split(500)
    features = torch.cat([learner.call(params.weights, part, part="body") for part in parts])
    generator = torch.Generator().manual_seed(0)
    projected = features @ torch.randn(features.shape[-1], FEATURES, generator=generator)
    return FEATURES**0.5 * normalize(projected, dim=-1).unflatten(0, images.shape[:2])


def learner() -> RecurrentLearner:
    """Return the LSTM that reads features beside the label of the step before."""
    return RecurrentLearner(LSTMReader(FEATURES + WAYS, HIDDEN, WAYS), cross_entropy)


def sequences(split: str, *, rotations: bool = False) -> Sequences:
    """Return sequences of a split's characters; with rotations, each quarter turn is a class."""
    images = omniglot(split).images
    turned = [images.rot90(turns, (-2, -1)) for turns in range(4 if rotations else 1)]
    return Sequences(embed(torch.cat(turned)), WAYS, device="cpu")


OMNIGLOT_SEQUENCES = {
    "omniglot-5way-lstm": Recipe(
        source="Santoro et al. 2016, section 4.1, a plain LSTM over frozen features",
        learner=learner,
        tasks=partial(sequences, "background", rotations=True),
        test_tasks=partial(sequences, "evaluation"),
        training={
            "iterations": 6_000,
            "shots": 1,
            "queries": 9,
            "tasks_per_batch": 32,
            "optimizer": partial(torch.optim.Adam, lr=3e-3),
            "schedule": "cosine",
            "clip": 1.0,
            "compile": False,  # fifty steps one after the other are too long a program
        },
        testing={"shots": 1, "queries": 9, "tasks": 1_000, "steps": 0},
        data=DATA,
        percent=True,
    )
}
