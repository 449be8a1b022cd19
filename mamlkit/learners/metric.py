"""Learners that compare: nothing adapts, a query is answered by what it is near to."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from mamlkit import checks
from mamlkit.learners.adapt import Params
from mamlkit.learners.base import Learner
from mamlkit.tasks.fewshot import membership


class MetricParams(NamedTuple):
    """The weights of an embedding, and under "log" the logarithm of a learned temperature."""

    weights: Params
    temperature: Params


class PrototypicalNetwork(Learner):
    """Answer with the class whose mean embedding, its prototype, is nearest.

    Snell, Swersky and Zemel 2017 (arXiv:1703.05175), equations 1 and 2: the scores of a query are
    -d(f(x), c)/τ. Support set and queries are embedded as one batch, as in the authors' code.

    module: any embedding, `[points, ...]` to `[points, features]`. loss: such as `cross_entropy`.
    ways: classes of a task. A learner of another number of ways has the same parameters.
    distance: "euclidean", squared, or "cosine", whose scores are the cosines over τ.
    temperature: τ. learn_temperature: meta-learn it, from there on.

    Raises ValueError for an unknown distance, or a temperature that is not above 0.

    >>> embedding = nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
    >>> learner = PrototypicalNetwork(embedding, nn.functional.cross_entropy, ways=5)
    >>> support = torch.rand(10, 1, 28, 28), torch.arange(5).repeat(2)
    >>> learner.predict(learner.adapt(learner.init(), support), torch.rand(3, 1, 28, 28)).shape
    torch.Size([3, 5])
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        ways: int,
        distance: str = "euclidean",
        temperature: float = 1.0,
        learn_temperature: bool = False,
    ) -> None:
        name = type(self).__name__
        self.ways = checks.check_int(name, "ways", ways, low=1)
        self.distance = checks.check_choice(name, "distance", distance, ("euclidean", "cosine"))
        self.temperature = checks.check_float(name, "temperature", temperature, above=0)
        self.learn_temperature = checks.check_bool(name, "learn_temperature", learn_temperature)
        super().__init__(module, loss)

    def init(self) -> MetricParams:
        """Copy the module's trainable parameters; beside them log τ, if it is learned."""
        weights = super().init()
        like = next(iter(weights.values()), torch.zeros(()))
        start = like.new_tensor(self.temperature).log()
        return MetricParams(weights, {"log": start} if self.learn_temperature else {})

    def embed(self, params: MetricParams, x: Tensor) -> Tensor:
        """Return the features of x `[points, ...]`, `[points, features]`."""
        return self.call(params.weights, x)

    def similarity(self, params: MetricParams, query: Tensor, key: Tensor) -> Tensor:
        """Return how near each query is to each key, `[queries, keys]`."""
        if self.distance == "cosine":
            near = normalize(query, dim=-1) @ normalize(key, dim=-1).T
        else:
            near = -((query[:, None] - key) ** 2).sum(-1)
        learned = params.temperature.get("log")
        return near / (self.temperature if learned is None else learned.exp())

    def scores(self, params: MetricParams, query: Tensor, support: Tensor, y: Tensor) -> Tensor:
        """Return the scores `[queries, ways]` of embedded queries, given an embedded support set.

        y: what class a support point is of, one-hot, `[points, ways]`.
        """
        prototypes = torch.einsum("pw,p...->w...", y / y.sum(0).clamp(min=1), support)
        return self.similarity(params, query, prototypes)

    def adapt(
        self, params: MetricParams, support: tuple[Tensor, Tensor]
    ) -> tuple[MetricParams, Tensor, Tensor]:
        """Return the parameters as they are, and the support set: to learn is to remember it."""
        return params, *support

    def predict(
        self, adapted: tuple[MetricParams, Tensor, Tensor], x: Tensor
    ) -> Float[Tensor, "points ways"]:
        """Return the scores of x `[points, ...]` given the support set."""
        params, support_x, y = adapted
        support, query = self.embed(params, torch.cat([support_x, x])).tensor_split([len(y)])
        return self.scores(params, query, support, membership(y, self.ways).to(query.dtype))


class MatchingNetwork(PrototypicalNetwork):
    """Answer by attention to single support points: a softmax over them votes for their classes.

    Vinyals et al. 2016 (arXiv:1606.04080), equations 1 and 2, without full-context embeddings.
    Scores are log-probabilities. With one shot it is a `PrototypicalNetwork`; so are its arguments.
    """

    def __init__(
        self, module: nn.Module, loss: Callable[..., Tensor], *, distance: str = "cosine",
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(module, loss, distance=distance, **options)

    def scores(self, params: MetricParams, query: Tensor, support: Tensor, y: Tensor) -> Tensor:
        """Return the log-probabilities `[queries, ways]`."""
        attention = self.similarity(params, query, support).log_softmax(-1)
        return (attention[:, :, None] + y.log()).logsumexp(1)
