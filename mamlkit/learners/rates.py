"""Learned step sizes: Meta-SGD, and MAML++ with what else it adds."""

import copy

import torch

from mamlkit import require
from mamlkit.learners.maml import MAML

RATE = "lr/"  # what the name of a step size begins with; then follows its parameter's
WEIGHTS = "multi_step/weights"


class MetaSGD(MAML):
    """Learn a step size for every single weight together with the initialisation.

    Li et al. 2017 (arXiv:1707.09835), equation 4: θ' = θ - α ∘ ∇L(θ), with α of θ's shape, free to
    turn negative.

    lr: the α to begin with, everywhere. Other arguments as for `MAML`.

    >>> from mamlkit import SineNetwork
    >>> learner = MetaSGD(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> learner.init()["lr/head.weight"].shape
    torch.Size([1, 40])
    """

    def init(self):
        """The module's trainable parameters and their step sizes, copied."""
        params = super().init()
        rates = {RATE + name: torch.full_like(value, self.lr) for name, value in params.items()}
        return {**params, **rates}

    def start(self, params, support):
        """θ alone, without the step sizes."""
        return _weights(params)

    def rate(self, params, number):
        """α as it stands, the same at every step."""
        return {name: params[RATE + name] for name in _weights(params)}


class MAMLPlusPlus(MAML):
    """MAML with what made it stable; each part can be switched off.

    Antoniou, Edwards and Storkey 2019 (arXiv:1810.09502), section 4:

    learned_rates: one step size for each parameter tensor and inner step, learned, from `lr`
        ("per-layer per-step learning rates"). Steps beyond `steps` use the last one's.
    multi_step_until: up to this share of training, the loss after *every* inner step counts,
        equally at first, then ever more the last one's ("multi-step loss"); 0 switches it off.
    first_order_until: up to this share of training, second derivatives are left out
        ("derivative-order annealing"); 0 switches it off.

    Its cosine schedule of the outer step is `fit(..., schedule="cosine")`. Its batch normalisation
    with separate weights for each step is left out: that is a matter of the module. Other
    arguments as for `MAML`.

    >>> from mamlkit import SineNetwork
    >>> learner = MAMLPlusPlus(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01, steps=4)
    >>> learner.init()["lr/head.weight"].shape
    torch.Size([4])
    >>> learner.at(0.05)[0].first_order, learner.at(0.05)[1]
    (True, {'multi_step/weights': tensor([0.1250, 0.1250, 0.1250, 0.6250])})
    """

    def __init__(
        self,
        module,
        loss,
        *,
        lr,
        steps=5,
        learned_rates=True,
        multi_step_until=0.1,
        first_order_until=0.3,
    ):
        share = {"least": 0, "most": 1, "hint": "it is a share of the run"}
        number = lambda name, value: require.number("MAMLPlusPlus", name, value, **share)
        require.whole("MAMLPlusPlus", "steps", steps, least=1)
        self.learned_rates = bool(learned_rates)
        self.multi_step_until = number("multi_step_until", multi_step_until)
        self.first_order_until = number("first_order_until", first_order_until)
        super().__init__(module, loss, lr=lr, steps=steps)
        self._early = copy.copy(self)
        self._early.first_order = True

    def init(self):
        """The module's trainable parameters and their step sizes `[steps]`, copied."""
        params = super().init()
        if not self.learned_rates:
            return params
        rates = {
            RATE + name: value.new_full([self.steps], self.lr) for name, value in params.items()
        }
        return {**params, **rates}

    def start(self, params, support):
        """θ alone, without step sizes and weights."""
        return _weights(params)

    def rate(self, params, number):
        """The step sizes of this inner step."""
        if not self.learned_rates:
            return self.lr
        number = min(number, self.steps - 1)
        rates = {name: value for name, value in params.items() if name.startswith(RATE)}
        return {name.removeprefix(RATE): value[number] for name, value in rates.items()}

    def at(self, progress):
        """First order early on; the weights of the losses after each step, early on."""
        learner = self._early if progress < self.first_order_until else self
        if progress >= self.multi_step_until:
            return learner, {}
        left = 1 - progress / self.multi_step_until
        weights = torch.full([self.steps], left / self.steps)
        weights[-1] = 1 - weights[:-1].sum()
        return learner, {WEIGHTS: weights}

    def outer_loss(self, params, task):
        """The query loss after the last step, or while it counts the weighted sum over all."""
        weights = params.get(WEIGHTS)
        if weights is None:
            return super().outer_loss(params, task)
        path = self.path(params, task.support, self.steps, self.first_order)
        losses = [self.task_loss(theta, *task.query) for theta in path][1:]
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))


def _weights(params):
    return {name: v for name, v in params.items() if not name.startswith((RATE, WEIGHTS))}
