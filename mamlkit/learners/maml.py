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

    def __init__(self, module, loss, *, lr, steps=1):
        name = type(self).__name__
        hint = "use a small positive number such as 0.01"
        self.lr = require.number(name, "lr", lr, least=0, hint=hint)
        self.steps = require.whole(name, "steps", steps, least=0)
        super().__init__(module, loss)

    def __repr__(self):
        loss = getattr(self.loss, "__name__", type(self.loss).__name__)
        module = " ".join(repr(self.module).split())
        kind = type(self).__name__
        return f"{kind}(loss={loss}, lr={self.lr}, steps={self.steps}, module={module})"

    def adapt(self, params, support):
        """θ' after `self.steps` steps on one task's support set `(x, y)`, differentiable."""
        return adapt(
            params,
            self.task_loss,
            support,
            lr=self.lr,
            steps=self.steps,
            first_order=self.first_order,
        )

    def trajectory(self, params, support, steps):
        """Yield θ after 0, 1, ... `steps` steps on one task's support set, without gradients."""
        yield params
        for _ in range(steps):
            params = adapt(params, self.task_loss, support, lr=self.lr, steps=1, first_order=True)
            yield params


class FirstOrderMAML(MAML):
    """MAML that leaves out the second derivatives: ∇θ L(θ') is taken at θ' and used at θ.

    Finn et al. 2017, section 5.2, "first-order approximation". Arguments as for `MAML`.
    """

    first_order = True
