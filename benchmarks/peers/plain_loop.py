"""MAML by plain autograd, one task after another: what learn2learn's MAML does.

Clone the parameters, differentiate the support loss with `create_graph`, step, and send the query
loss backwards through it all.
"""

import torch
from torch.func import functional_call

from benchmarks.peers.networks import copy_gradients, finish
from benchmarks.peers.runs import OnEpisodes, OnSines


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


class Sine(OnSines, Loop):
    pass


class Omniglot(OnEpisodes, Loop):
    pass
