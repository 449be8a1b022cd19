"""Meta-SGD: learned step sizes, one for every weight."""

import torch
from torch import Tensor

from mamlkit.learners.adapt import Params
from mamlkit.learners.base import MetaParams
from mamlkit.learners.maml import MAML


class MetaSGD(MAML):
    """Learn a step size for every single weight together with the initialisation.

    Li et al. 2017 (arXiv:1707.09835), equation 4: θ' = θ - α ∘ ∇L(θ), with α of θ's shape, free to
    turn negative.

    lr: the α to begin with, everywhere. Other arguments as for `MAML`.

    >>> from mamlkit import SineNetwork
    >>> learner = MetaSGD(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> learner.init().lr["head.weight"].shape
    torch.Size([1, 40])
    """

    def init(self) -> MetaParams:
        """Copy the module's trainable parameters, and make their step sizes."""
        weights = super().init()
        return MetaParams(weights, {n: torch.full_like(w, self.lr) for n, w in weights.items()})

    def init_fast_weights(self, params: MetaParams, support: tuple[Tensor, Tensor]) -> Params:
        """Return θ alone, without the step sizes."""
        return params.weights

    def inner_lr(self, params: MetaParams, step: int) -> Params:
        """Return α as it stands, the same at every step."""
        return params.lr
