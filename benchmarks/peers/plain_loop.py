"""MAML by plain autograd, one task after another: what learn2learn's MAML does.

Clone the parameters, differentiate the support loss with `create_graph`, step, and send the query
loss backwards through it all.
"""

from itertools import cycle, islice

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.peers.networks import OmniglotNetwork, SineNetwork, copy_gradients, finish, load
from mamlkit import Sinusoids


class Loop:
    """Any network, loss and inner step."""

    def __init__(self, network, loss, lr):
        self.network, self.loss, self.lr = network, loss, lr
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
        self.device = next(network.parameters()).device

    def backward(self, batch):
        """Leave the meta-gradient in the network's parameters."""
        self.optimizer.zero_grad()
        params = dict(self.network.named_parameters())
        tasks = len(batch.support_x)
        for i in range(tasks):
            task = batch.task(i)
            loss = self.loss(self.network(task.support_x), task.support_y)
            gradients = torch.autograd.grad(loss, list(params.values()), create_graph=True)
            moved = zip(params.items(), gradients, strict=True)
            adapted = {name: p - self.lr * g for (name, p), g in moved}
            prediction = functional_call(self.network, adapted, (task.query_x,))
            (self.loss(prediction, task.query_y) / tasks).backward()

    def meta_gradient(self, batch):
        self.backward(batch)
        return copy_gradients(self.network)

    def train(self, batches):
        for batch in batches:
            self.backward(batch)
            self.optimizer.step()
        finish(self.device)


class Sine(Loop):
    def __init__(self, params, *, tasks, shots, queries, seed):
        torch.manual_seed(seed)
        width = len(params["body.0.bias"])
        super().__init__(load(SineNetwork(width), params), mse_loss, lr=0.01)
        self.size, self.sines = (tasks, shots, queries), Sinusoids(device=self.device)

    def run(self, iterations):
        self.train(self.sines.sample(*self.size) for _ in range(iterations))


class Omniglot(Loop):
    def __init__(self, params, batches, *, ways, lr):
        super().__init__(load(OmniglotNetwork(ways), params), cross_entropy, lr)
        self.batches = cycle(batches)

    def run(self, iterations):
        self.train(islice(self.batches, iterations))
