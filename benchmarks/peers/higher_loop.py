"""MAML with facebookresearch/higher, after the MAML example in its repository."""

import higher
import torch

from benchmarks.peers.networks import copy_gradients, finish
from benchmarks.peers.runs import OnSines


class Higher:
    """Any network, loss and inner step."""

    def __init__(self, network, loss, lr):
        self.network, self.loss = network, loss
        self.inner = torch.optim.SGD(network.parameters(), lr=lr)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
        self.device = next(network.parameters()).device

    def backward(self, batch):
        """Leave the meta-gradient in the network's parameters."""
        self.optimizer.zero_grad()
        tasks = len(batch.support_x)
        for i in range(tasks):
            task = batch.task(i)
            loop = higher.innerloop_ctx(self.network, self.inner, copy_initial_weights=False)
            with loop as (adapted, optimizer):
                optimizer.step(self.loss(adapted(task.support_x), task.support_y))
                (self.loss(adapted(task.query_x), task.query_y) / tasks).backward()

    def meta_gradient(self, batch):
        self.backward(batch)
        return copy_gradients(self.network)

    def train(self, batches):
        for batch in batches:
            self.backward(batch)
            self.optimizer.step()
        finish(self.device)


class Sine(OnSines, Higher):
    pass
