"""A learner that compares with a distance that is a network itself."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import mse_loss, one_hot

from mamlkit import checks
from mamlkit.learners.metric import MetricParams, PrototypicalNetwork


class RelationNetwork(PrototypicalNetwork):
    """Answer with the class whose prototype a learned `relation` finds most alike.

    Sung et al. 2018 (arXiv:1711.06025), equations 1 and 2; their loss is `relation_loss`. A class
    is the mean of its embeddings (theirs: the sum).

    module: an embedding, to features or to maps `[points, channels, height, width]`.
    relation: a module from a prototype and a query, joined along the first dimension of features,
        to one number. ways: classes of a task.

    >>> relation = nn.Sequential(nn.Linear(2 * 4, 6), nn.ReLU(), nn.Linear(6, 1))
    >>> learner = RelationNetwork(nn.Linear(9, 4), relation, relation_loss, ways=3)
    >>> sorted(learner.init().weights)[:2]
    ['embedding.bias', 'embedding.weight']
    """

    def __init__(
        self, module: nn.Module, relation: nn.Module, loss: Callable[..., Tensor], *, ways: int
    ) -> None:
        for name, part in (("module", module), ("relation", relation)):
            checks.check_module("RelationNetwork", name, part)
        pair = nn.ModuleDict({"embedding": module, "relation": relation})
        super().__init__(pair, loss, ways=ways)

    def embed(self, params: MetricParams, x: Tensor) -> Tensor:
        """Return the features of x `[points, ...]`."""
        return self.call(params.weights, x, part="embedding")

    def similarity(self, params: MetricParams, query: Tensor, key: Tensor) -> Tensor:
        """Return the relation of each query to each key, `[queries, keys]`."""
        shape = len(query), len(key), *key.shape[1:]
        pairs = torch.cat([key.expand(shape), query[:, None].expand(shape)], dim=2)
        related = self.call(params.weights, pairs.flatten(0, 1), part="relation")
        return related.view(shape[:2])


def relation_loss(scores: Float[Tensor, "points ways"], y: Tensor) -> Tensor:
    """Return the squared error of σ(scores) to 1 for the right class, else 0 (Sung, eq. 2)."""
    return mse_loss(scores.sigmoid(), one_hot(y, scores.shape[-1]).to(scores.dtype))
