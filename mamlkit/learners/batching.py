"""All tasks at once: the one place where a task becomes a batch of tasks."""

import torch
from torch import nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel


def over_tasks(function, module, batch):
    """Apply `function(task) -> tensor` to every task of a TaskBatch.

    `vmap` does it for all tasks at once. Recurrent layers have no batching rule in torch, so a
    module with one gets a loop over tasks, slower and equal. Attention and recurrence run on the
    kernels that can be differentiated twice, as MAML must.

    >>> from mamlkit import Sinusoids
    >>> batch = Sinusoids(device="cpu").sample(7, shots=5, queries=5)
    >>> over_tasks(lambda task: task.query_y.mean(), torch.nn.Linear(1, 1), batch).shape
    torch.Size([7])
    """
    with sdpa_kernel(SDPBackend.MATH):
        if not any(isinstance(layer, nn.RNNBase) for layer in module.modules()):
            return vmap(function, randomness="different")(batch)
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
            return torch.stack([function(batch.task(i)) for i in range(len(batch.support_x))])
