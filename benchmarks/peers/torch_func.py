"""MAML with torch.func, eager: vmap over tasks of grad, after PyTorch's own MAML example."""

from itertools import cycle, islice

import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.peers.networks import OmniglotNetwork, ScaleOutside, SineNetwork, finish, load
from mamlkit import Sinusoids


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


class Sine(Functional):
    def __init__(self, params, *, tasks, shots, queries, seed):
        torch.manual_seed(seed)
        width = len(params["body.0.bias"])
        super().__init__(load(SineNetwork(width), params), mse_loss, lr=0.01)
        self.size, self.sines = (tasks, shots, queries), Sinusoids(device=self.device)

    def run(self, iterations):
        self.train(self.sines.sample(*self.size) for _ in range(iterations))


class Omniglot(Functional):
    def __init__(self, params, batches, *, ways, lr):
        super().__init__(load(OmniglotNetwork(ways, ScaleOutside), params), cross_entropy, lr)
        self.batches = cycle(batches)

    def run(self, iterations):
        self.train(islice(self.batches, iterations))
