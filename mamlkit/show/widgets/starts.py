"""The networks that the K-shot explorer compares, and their descent from where they start."""

from collections import defaultdict
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vmap

from mamlkit import pretrained
from mamlkit.learners.adapt import Params
from mamlkit.learners.maml import MAML, FirstOrderMAML
from mamlkit.models.networks import SineNetwork
from mamlkit.recipes import RECIPES

Learners = dict[str, tuple[MAML, Params]]


def sine_learners() -> Learners:
    """Return the sine networks that ship, and one with random weights, by name.

    >>> list(sine_learners())
    ['MAML', 'pretrained', 'first-order', 'oracle', 'random']
    """
    names = "MAML", "pretrained", "first-order", "oracle"
    shipped = {name: pretrained.load(f"sinusoid-{name.lower()}", device="cpu") for name in names}
    untrained = RECIPES["sinusoid-maml"].start(seed=0)
    return {**shipped, "random": (untrained, untrained.init())}


def group_alike(learners: Learners) -> Iterator[tuple[list[str], MAML, Params]]:
    """Yield names, a learner and stacked parameters of networks that one computation serves.

    They are sine networks of the same shapes and loss. Modules of another class stay apart, since
    two may differ in what no shape shows.
    """
    groups = defaultdict(list)
    for name, (learner, params) in learners.items():
        apart = None if type(learner.module) is SineNetwork else learner.module
        shapes = frozenset((key, value.shape) for key, value in params.items())
        groups[shapes, learner.loss, apart].append(name)
    for names in groups.values():
        learner, params = learners[names[0]]
        starts = [{k: v.detach().cpu() for k, v in learners[name][1].items()} for name in names]
        yield names, learner, {key: torch.stack([start[key] for start in starts]) for key in params}


def descend(
    learner: MAML,
    starts: Params,
    support: tuple[Tensor, Tensor],
    x: Float[Tensor, "points inputs"],
    *,
    lr: float,
    steps: int,
) -> Float[Tensor, "starts counts points outputs"]:
    """Return predictions for x after 0, 1, ... `steps` gradient steps of size `lr`.

    learner: whose module and loss descend. starts: parameters, stacked; all descend at once, fast
    enough to follow a slider. With no support point nothing is learned, and no step moves.
    """
    learner = MAML(learner.module, learner.loss, lr=lr)
    moves = steps if len(support[0]) else 0
    predict_after_steps = lambda start: torch.stack(
        [learner.predict(params, x) for params in learner.trajectory(start, support, moves)]
    )
    with torch.no_grad():
        return vmap(predict_after_steps)(starts).expand(-1, steps + 1, -1, -1)


def check_plain_descent(caller: str, name: str, learner: MAML) -> None:
    """Raise TypeError unless the learner's inner loop is gradient descent of one step size."""
    if type(learner) not in (MAML, FirstOrderMAML):
        raise TypeError(
            f"{caller}: {name} is adapted by {type(learner).__name__}, whose inner steps are "
            "its own; the explorer's slider sets the step size of plain gradient descent, so give "
            "MAML or FirstOrderMAML around the same module"
        )
