"""Model-agnostic meta-learning (Finn, Abbeel and Levine 2017, arXiv:1703.03400)."""

from mamlkit import require
from mamlkit.learners.adapt import adapt
from mamlkit.learners.learner import Learner


class MAML(Learner):
    """Learn an initialisation from which a few gradient steps solve a new task (algorithm 1).

    module: any `nn.Module`. loss: `(prediction, target) -> scalar`, a mean over points.
    lr: the inner step size α. It multiplies the gradient of the *mean* loss: the 0.4 of the
        paper's 5-way Omniglot code, which sums over the ways and averages over shots, is 2.0
        here.
    steps: inner steps in training. With 0, the objective is that of pretraining on all tasks.
    recompute: 0, or how many inner steps to compute again at a time on the way back instead of
        keeping them: a long inner loop then fits in memory, for one more pass of time. About the
        square root of `steps` needs least.

    Its relatives differ in one of four things: `init`, what is meta-learned; `start`, where the
    inner loop begins; `rate`, its step sizes; `moves`, which parameters take part in it.

    Raises ValueError for a step size below 0, a negative number of steps, a module without
    trainable parameters, or one whose batch normalisation keeps running statistics.

    >>> import torch
    >>> from mamlkit import SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> task = Sinusoids(device="cpu").sample(1, shots=5, queries=10).task(0)
    >>> adapted = maml.adapt(maml.init(), task.support)
    >>> maml.predict(adapted, task.query_x).shape
    torch.Size([10, 1])
    """

    first_order = False

    def __init__(self, module, loss, *, lr, steps=1, recompute=0):
        name = type(self).__name__
        hint = "use a small positive number such as 0.01"
        self.lr = require.number(name, "lr", lr, least=0, hint=hint)
        self.steps = require.whole(name, "steps", steps, least=0)
        self.recompute = require.whole(name, "recompute", recompute, least=0)
        super().__init__(module, loss)

    def __repr__(self):
        loss = getattr(self.loss, "__name__", type(self.loss).__name__)
        module = " ".join(repr(self.module).split())
        known = {"module", "loss", "recompute"}  # the last changes the cost, not the result
        own = {k: v for k, v in vars(self).items() if k not in known and not k.startswith("_")}
        settings = "".join(f"{name}={value!r}, " for name, value in own.items())
        return f"{type(self).__name__}(loss={loss}, {settings}module={module})"

    def start(self, params, support):
        """θ, from which the inner loop sets out: the module's parameters and no others."""
        return params

    def rate(self, params, number):
        """The step size of the inner step of this number: one, or one for each that moves."""
        return self.lr

    def moves(self, name, number=0):
        """Whether the parameter of this name takes part in the inner step of this number."""
        return True

    def step(self, params, theta, support, number, first_order):
        """One inner step, the `number`-th from 0: θ of the next."""
        moving = {name: value for name, value in theta.items() if self.moves(name, number)}
        loss = lambda moving, x, y: self.task_loss({**theta, **moving}, x, y)
        lr = self.rate(params, number)
        lr = {name: lr[name] for name in moving} if isinstance(lr, dict) else lr
        return {**theta, **adapt(moving, loss, support, lr=lr, steps=1, first_order=first_order)}

    def path(self, params, support, steps, first_order):
        """Yield θ after 0, 1, ... `steps` inner steps, differentiable."""
        theta = self.start(params, support)
        yield theta
        for number in range(steps):
            theta = self.step(params, theta, support, number, first_order)
            yield theta

    def adapt(self, params, support):
        """θ' after `self.steps` steps on one task's support set `(x, y)`, differentiable."""
        *_, theta = self.path(params, support, self.steps, self.first_order)
        return theta

    def trajectory(self, params, support, steps):
        """Yield θ after 0, 1, ... `steps` steps on one task's support set, without gradients."""
        yield from self.path(params, support, steps, first_order=True)


class FirstOrderMAML(MAML):
    """MAML that leaves out the second derivatives: ∇θ L(θ') is taken at θ' and used at θ.

    Finn et al. 2017, section 5.2, "first-order approximation". Arguments as for `MAML`.
    """

    first_order = True
