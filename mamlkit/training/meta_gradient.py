"""The meta-gradient of a task batch, whole or in parts."""

from functools import partial

from torch.func import grad_and_value

from mamlkit import require
from mamlkit.learners.batching import over_tasks
from mamlkit.learners.recompute import recomputed_gradient


def meta_gradient(learner, params, batch, *, chunk=None, extras=None):
    """The gradient by θ of the mean query loss after adaptation, and that loss.

    Finn et al. 2017, algorithm 1, line 8. All tasks of the batch at once, through `over_tasks`;
    or `chunk` tasks at a time, which needs less memory. `extras`: tensors that the learner's
    `outer_loss` finds among its parameters (see `Learner.at`).
    Returns `(gradients, loss)`: a dict like `params` and a scalar.

    >>> import torch
    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> batch = Sinusoids(device="cpu").sample(25, shots=5, queries=5)
    >>> gradients, loss = meta_gradient(maml, maml.init(), batch)
    >>> gradients.keys() == maml.init().keys(), loss.shape
    (True, torch.Size([]))
    """
    name = "meta_gradient"
    require.having(name, "learner", learner, "a Learner, such as MAML(...)", "outer_loss", "module")
    require.having(name, "batch", batch, "a TaskBatch", "support_x", "split")
    learner.check(name, params)
    if chunk is not None:
        chunk = require.whole(name, "chunk", chunk, least=1, hint="None is all tasks at once")
    return in_parts(batch, chunk, partial(gradient_of, learner, params, extras or {}))


def in_parts(batch, chunk, gradient):
    """`gradient(batch)`, or the same as the mean of it over parts of `chunk` tasks."""
    tasks = len(batch.support_x)
    if chunk is None or chunk >= tasks:
        return gradient(batch)
    total = None
    for part in batch.split(chunk):
        found, loss = gradient(part)
        share = len(part.support_x) / tasks
        values = [share * value.detach() for value in (*found.values(), loss)]
        total = values if total is None else [a + b for a, b in zip(total, values, strict=True)]
    *values, loss = total
    return dict(zip(found, values, strict=True)), loss


def gradient_of(learner, params, extras, batch):
    """The same of all tasks at once, without a look at what is given."""
    if getattr(learner, "recompute", 0):
        one = lambda task: recomputed_gradient(learner, {**params, **extras}, task)
        gradients, losses = over_tasks(one, learner.module, batch)
        return {name: gradients[name].mean(0) for name in params}, losses.mean()

    def objective(params):
        outer_loss = lambda task: learner.outer_loss({**params, **extras}, task)
        return over_tasks(outer_loss, learner.module, batch).mean()

    return grad_and_value(objective)(params)
