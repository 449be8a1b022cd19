"""MAML whose head starts from zero in every task, and so has room for any number of classes."""

from mamlkit.learners.protomaml import HEAD, body_and_head
from mamlkit.learners.rates import MAMLPlusPlus


class ZeroedMAML(MAMLPlusPlus):
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
    >>> learner = ZeroedMAML(OmniglotNetwork(ways=5), torch.nn.functional.cross_entropy, lr=0.4)
    >>> "head.weight" in learner.init(), "lr/head.weight" in learner.init()
    (False, True)
    """

    def __init__(
        self, module, loss, *, lr, steps=2, multi_step_until=0.0, first_order_until=0.0, **options
    ):
        body_and_head("ZeroedMAML", module)
        if not all(parameter.requires_grad for parameter in module.head.parameters()):
            raise ValueError(
                "ZeroedMAML: the head is frozen, but it is what adapts; set requires_grad_(True) "
                "on it, or freeze layers of the body instead"
            )
        early = {"multi_step_until": multi_step_until, "first_order_until": first_order_until}
        super().__init__(module, loss, lr=lr, steps=steps, **early, **options)

    def init(self):
        """The parameters of the body, and all step sizes, copied."""
        return {name: value for name, value in super().init().items() if name not in HEAD}

    def moves(self, name, number=0):
        """All from the second step on; in the first the body's gradient is zero, and is not
        computed."""
        return number > 0 or name in HEAD

    def start(self, params, support):
        """θ: the body, and a head of zeros."""
        body, head = super().start(params, support), self.module.head
        like = next(iter(body.values()))  # the module may be elsewhere, or in another precision
        zeros = like.new_zeros(head.weight.shape), like.new_zeros(head.bias.shape)
        return {**body, **dict(zip(HEAD, zeros, strict=True))}
