"""Gradient descent from several starts at once, fast enough to follow a slider."""

import torch
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

from mamlkit.learners.adapt import adapt

TRACED = 3  # points; the recorded step holds for any number from two on


class Descent:
    """Inner steps of networks of one form, all together.

    learner: whose `task_loss` descends and whose `predict` shows. starts: their parameters, dicts
    alike in names and shapes. The first step is recorded as a list of tensor operations and
    replayed from then on: what `grad` and `vmap` do in Python takes ten times as long as the
    arithmetic of a network this small.
    """

    def __init__(self, learner, starts):
        self.learner = learner
        self.start = {name: torch.stack([s[name] for s in starts]) for name in starts[0]}
        self._step = None

    def fits(self, support, x, *, lr, steps):
        """Predictions for x `[points, inputs]` after 0, 1, ... `steps` steps of size `lr`.

        support: `(x, y)`; with no point in it there is nothing to learn, and no step moves.
        Returns `[starts, steps + 1, points, outputs]`.
        """
        path = [self.start]
        lr = torch.tensor(float(lr))
        inputs, targets = support
        if len(inputs) == 1:  # twice the same point has the same mean loss
            inputs, targets = inputs.expand(2, -1), targets.expand(2, -1)
        with torch.no_grad():
            for _ in range(steps):
                path.append(self._next(path[-1], inputs, targets, lr) if len(inputs) else path[0])
            every = {name: torch.stack([p[name] for p in path], 1) for name in self.start}
            predict = vmap(vmap(self.learner.predict, (0, None)), (0, None))
            return predict(every, x)

    def _next(self, params, x, y, lr):
        if self._step is None:
            step = lambda *args: self._eager(*args)  # make_fx would count `self` as an argument
            points = (torch.zeros(TRACED, tensor.shape[1]) for tensor in (x, y))
            self._step = make_fx(step, tracing_mode="symbolic")(params, *points, lr)
        return self._step(params, x, y, lr)

    def _eager(self, params, x, y, lr):
        loss = self.learner.task_loss
        rates = dict.fromkeys(params, lr)
        return vmap(lambda theta: adapt(theta, loss, (x, y), lr=rates, steps=1))(params)
