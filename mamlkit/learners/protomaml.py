"""ProtoMAML: MAML whose head starts from prototypes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mamlkit.learners.adapt import Params
from mamlkit.learners.maml import MAML
from mamlkit.tasks.fewshot import membership

HEAD = ("head.weight", "head.bias")


def check_body_and_head(caller: str, module: nn.Module) -> None:
    """Raise unless the module has a `body` and a linear `head` with bias."""
    body, head = (getattr(module, part, None) for part in ("body", "head"))
    if body is None or not isinstance(head, torch.nn.Linear) or head.bias is None:
        raise ValueError(
            f"{caller}: the module needs a `body` that embeds and a `head`, an nn.Linear with "
            f"bias; {type(module).__name__} has not: name its two parts so"
        )


class ProtoMAML(MAML):
    """MAML whose linear head starts from the mean embedding of each class of the support set.

    Triantafillou et al. 2020 (arXiv:1903.03096), "Proto-MAML": the scores -‖f(x) - c‖² of a
    prototypical network are, up to a term that all classes share, those of a linear head with
    W = 2c and b = -‖c‖². So the head is not meta-learned; the body is, and both adapt, with
    gradients through the prototypes.

    module: an `nn.Module` with a `body`, whose output is `[points, features]`, and a linear `head`
        on it, such as `OmniglotNetwork`. loss, lr, steps, activation_checkpointing: as for `MAML`.

    Raises ValueError for a module of another form.

    >>> from mamlkit import OmniglotNetwork
    >>> learner = ProtoMAML(OmniglotNetwork(ways=5), torch.nn.functional.cross_entropy, lr=0.4)
    >>> any(name.startswith("head") for name in learner.init())
    False
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int = 1,
        activation_checkpointing: int = 0,
    ) -> None:
        check_body_and_head("ProtoMAML", module)
        options = {"steps": steps, "activation_checkpointing": activation_checkpointing}
        super().__init__(module, loss, lr=lr, **options)

    def init(self) -> Params:
        """Copy the parameters of the body."""
        return {name: value for name, value in super().init().items() if name not in HEAD}

    def init_fast_weights(self, params: Params, support: tuple[Tensor, Tensor]) -> Params:
        """Return θ: the body, and a head made of the support set's prototypes."""
        x, y = support
        features = self.call(params, x, part="body")
        member = membership(y, self.module.head.out_features).to(features.dtype)
        prototypes = member.T @ features / member.sum(0).clamp(min=1)[:, None]
        head = 2 * prototypes, -(prototypes**2).sum(-1)
        return {**params, **dict(zip(HEAD, head, strict=True))}
