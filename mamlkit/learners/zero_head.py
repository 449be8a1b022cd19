"""A head that starts from zero in every task, and so has room for any number of classes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mamlkit.learners.adapt import Params
from mamlkit.learners.base import MetaParams
from mamlkit.learners.maml_plus_plus import MAMLPlusPlus
from mamlkit.learners.protomaml import HEAD, check_body_and_head


class ZeroHead(MAMLPlusPlus):
    """MAML with the zeroing trick: the linear head starts from zero, and is not meta-learned.

    Kao, Chiu and Chen 2022 (arXiv:2106.15367): what outer steps leave in the head only
    interferes between tasks. No class is then before another, so accuracy before adaptation is
    exactly one in `ways`; the first inner step makes each class's row of the head from its own
    examples; the body moves from the second step on, since no gradient passes a head of zeros.
    And the parameters fit any number of ways: train on 20, test on 5, with a module of each.

    module: an `nn.Module` with a `body`, whose output is `[points, features]`, and a linear `head`
        on it, such as `OmniglotNetwork`. Other arguments as for `MAMLPlusPlus`, whose step sizes it
        learns; without multi-step loss and derivative annealing unless they are asked for.

    Raises ValueError for a module of another form.

    >>> import torch
    >>> from mamlkit import OmniglotNetwork
    >>> learner = ZeroHead(OmniglotNetwork(ways=5), torch.nn.functional.cross_entropy, lr=0.4)
    >>> "head.weight" in learner.init().weights, "head.weight" in learner.init().lr
    (False, True)
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int = 2,
        multi_step_until: float = 0.0,
        first_order_until: float = 0.0,
        **options: Any,
    ) -> None:
        check_body_and_head("ZeroHead", module)
        if not all(parameter.requires_grad for parameter in module.head.parameters()):
            raise ValueError(
                "ZeroHead: the head is frozen, but it is what adapts; set requires_grad_(True) "
                "on it, or freeze layers of the body instead"
            )
        early = {"multi_step_until": multi_step_until, "first_order_until": first_order_until}
        super().__init__(module, loss, lr=lr, steps=steps, **early, **options)

    def init(self) -> MetaParams:
        """Copy the parameters of the body, and make all step sizes."""
        weights, lr = super().init()
        return MetaParams({name: w for name, w in weights.items() if name not in HEAD}, lr)

    def is_adapted(self, name: str, step: int = 0) -> bool:
        """Say whether a parameter moves: all do from the second step on, at first only the head.

        In the first step the body's gradient is zero, and is not computed.
        """
        return step > 0 or name in HEAD

    def init_fast_weights(self, params: MetaParams, support: tuple[Tensor, Tensor]) -> Params:
        """Return θ: the body, and a head of zeros."""
        body, head = params.weights, self.module.head
        like = next(iter(body.values()))  # the module may be elsewhere, or in another precision
        zeros = like.new_zeros(head.weight.shape), like.new_zeros(head.bias.shape)
        return {**body, **dict(zip(HEAD, zeros, strict=True))}
