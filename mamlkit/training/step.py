"""One turn of the outer loop: from a task batch to one update of the meta-parameters."""

import warnings

import torch
from torch.func import grad_and_value

from mamlkit.learners.batching import over_tasks


def meta_gradient(learner, params, batch):
    """The gradient by θ of the mean query loss after adaptation, and that loss.

    Finn et al. 2017, algorithm 1, line 8. All tasks of the batch at once, through
    `over_tasks`. Returns `(gradients, loss)`: a dict like `params` and a scalar.

    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> batch = Sinusoids(device="cpu").sample(25, shots=5, queries=5)
    >>> gradients, loss = meta_gradient(maml, maml.init(), batch)
    >>> gradients.keys() == maml.init().keys(), loss.shape
    (True, torch.Size([]))
    """

    def objective(params):
        outer_loss = lambda task: learner.outer_loss(params, task)
        return over_tasks(outer_loss, learner.module, batch).mean()

    return grad_and_value(objective)(params)


class MetaStep:
    """The meta-parameters, their optimiser, and the call that moves them by one task batch.

    params: dict of tensors, the starting point; copied.
    optimizer: a function from a list of tensors to a `torch.optim` optimiser.
    schedule: a function from that optimiser to a `torch.optim.lr_scheduler`, or None.
    compile: compile the meta-gradient as a whole; where that fails, run it eagerly and say so.
    """

    def __init__(self, learner, params, optimizer, schedule=None, compile=False):
        self.learner = learner
        self.leaves = {k: v.detach().clone().requires_grad_() for k, v in params.items()}
        self.optimizer = optimizer(list(self.leaves.values()))
        self.schedule = schedule(self.optimizer) if schedule else None
        self._eager = lambda params, batch: meta_gradient(learner, params, batch)
        self._gradient = self._compiled if compile else self._eager

    @property
    def params(self):
        """The meta-parameters θ as they stand, without gradients; they move with the next step."""
        return {name: leaf.detach() for name, leaf in self.leaves.items()}

    def __call__(self, batch):
        """Update θ once; return the loss before the update, a scalar on the device."""
        gradients, loss = self._gradient(self.params, batch)
        for name, leaf in self.leaves.items():
            leaf.grad = gradients[name]
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()
        return loss.detach()

    def _compiled(self, params, batch):
        """The first call: try the compiler once, and settle on it or on eager."""
        compiled = torch.compile(self._eager, fullgraph=True, isolate_recompiles=True)
        try:
            result = compiled(params, batch)
        except Exception as error:
            result = self._eager(params, batch)  # a mistake of the caller's shows itself here
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            warnings.warn(f"fit: running eagerly, torch.compile failed: {reason}", stacklevel=4)
            compiled = self._eager
        self._gradient = compiled
        return result
