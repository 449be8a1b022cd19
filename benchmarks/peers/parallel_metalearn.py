"""MAML with parallel-metalearn 0.5 (2026), vmap over tasks.

The library classifies only. Its notes say how to bring another task: an own loss; so here is a
squared error, around its own MAML algorithm, model wrapper and inner optimiser.
"""

import torch
from metalearn.algorithms import MAML
from metalearn.inner_optimizers import InnerSGD
from metalearn.loss.base import BaseLoss
from metalearn.model_wrappers import MAML_Model
from torch import nn
from torch.nn.functional import mse_loss

from benchmarks.peers.networks import SineNetwork, copy_gradients, finish, load
from mamlkit import Sinusoids


class SquaredError(BaseLoss):
    """The squared error, as loss and metric."""

    def forward(self, out_dict, targets, model_states=None, **_):
        loss = mse_loss(out_dict["logits"], targets)
        return loss, loss


class IgnoreKeywords(nn.Module):
    """A layer that ignores the keywords which the library hands to every layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, **_):
        return self.layer(x)


class Sine:
    def __init__(self, params, *, tasks, shots, queries, seed):
        torch.manual_seed(seed)
        self.network = load(SineNetwork(len(params["body.0.bias"])), params)
        self.device = next(self.network.parameters()).device
        model = MAML_Model(IgnoreKeywords(self.network.body), IgnoreKeywords(self.network.head))
        inner = InnerSGD(model.get_fast_weights(), inner_lr=0.01, learn_lr=False)
        self.maml = MAML(
            model=model,
            optimizer=torch.optim.Adam(model.parameters(), lr=1e-3, fused=True),
            inner_optimizer=inner,
            support_loss_fn=SquaredError(),
            inner_steps=1,
            chunk_size=tasks,  # all at once
            device=self.device,
        )
        self.size, self.sines = (tasks, shots, queries), Sinusoids(device=self.device)

    def meta_gradient(self, batch):
        """Return the gradient; the library steps as it differentiates, so its step is undone."""
        before = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.maml.step(iter([batch]))
        self.network.load_state_dict(before)
        return copy_gradients(self.network)

    def run(self, iterations):
        loader = (self.sines.sample(*self.size) for _ in range(iterations))
        for _ in range(iterations):
            self.maml.step(loader)
        finish(self.device)
