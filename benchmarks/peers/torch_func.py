"""MAML with torch.func, eager: vmap over tasks of grad, after PyTorch's own MAML example."""

import torch
from torch.func import functional_call, grad, vmap

from benchmarks.peers.networks import ScaleOutside, finish
from benchmarks.peers.runs import OnEpisodes, OnSines


class Functional:
    """Any network, loss and inner step."""

    def __init__(self, network, loss, lr):
        self.params = {k: v.detach() for k, v in network.named_parameters()}
        self.optimizer = torch.optim.Adam(self.params.values(), lr=1e-3, fused=True)
        self.device = next(network.parameters()).device

        def task_loss(params, x, y):
            return loss(functional_call(network, params, (x,)), y)

        def outer_loss(params, task):
            gradients = grad(task_loss)(params, *task.support)
            adapted = {name: params[name] - lr * gradients[name] for name in params}
            return task_loss(adapted, *task.query)

        def objective(params, batch):
            return vmap(outer_loss, in_dims=(None, 0))(params, batch).mean()

        self.gradient = grad(objective)

    def meta_gradient(self, batch):
        return self.gradient(self.params, batch)

    def train(self, batches):
        for batch in batches:
            gradients = self.gradient(self.params, batch)
            for name, param in self.params.items():
                param.grad = gradients[name]
            self.optimizer.step()
        finish(self.device)


class Sine(OnSines, Functional):
    pass


class Omniglot(OnEpisodes, Functional):
    norm = ScaleOutside
