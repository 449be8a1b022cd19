"""MAML without differentiating through the inner loop: the implicit gradient."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.func import grad

from mamlkit import checks
from mamlkit.learners.adapt import Params
from mamlkit.learners.maml import MAML
from mamlkit.tasks.batch import TaskBatch


class ImplicitMAML(MAML):
    """iMAML: stay near θ while adapting; the optimum alone gives the meta-gradient.

    Rajeswaran et al. 2019 (arXiv:1909.04630). The inner loop descends the support loss plus
    ½ λ ‖φ - θ‖² (equation 3). Where it has come to rest, the meta-gradient is
    (I + ∇²L(φ)/λ)⁻¹ ∇L_query(φ) (lemma 1), whatever the path, found by a few iterations of
    conjugate gradients (algorithm 2). Memory does not grow with the inner steps.

    Few steps do not come to rest, few iterations do not solve the equation, and a Hessian away
    from an optimum need not be positive. So the authors' code damps: it solves with
    (1 + 1) I + ∇²L(φ)/(λ + 10), which is not in the paper, and so does this. Without curvature
    that halves the gradient, which Adam does not notice. `damping=(0, 0)` is the lemma.

    lr: of the inner loop. steps: enough to come to rest. strength: λ; larger stays nearer to θ.
    iterations: of conjugate gradients. damping: what is added to I, and to λ.

    >>> import torch
    >>> from mamlkit import SineNetwork
    >>> mse = torch.nn.functional.mse_loss
    >>> ImplicitMAML(SineNetwork(), mse, lr=0.01, steps=16, strength=2.0).strength
    2.0
    """

    first_order = True

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int = 16,
        strength: float = 2.0,
        iterations: int = 5,
        damping: tuple[float, float] = (1.0, 10.0),
    ) -> None:
        hint = "use a positive number such as 2.0"
        self.strength = checks.check_float("ImplicitMAML", "strength", strength, above=0, hint=hint)
        self.iterations = checks.check_int("ImplicitMAML", "iterations", iterations, low=1)
        name = "damping"
        self.damping = tuple(checks.check_float("ImplicitMAML", name, d, low=0) for d in damping)
        super().__init__(module, loss, lr=lr, steps=steps)

    def inner_step(
        self,
        params: Params,
        fast_weights: Params,
        support: tuple[Tensor, Tensor],
        step: int,
        first_order: bool,
    ) -> Params:
        """Take one step down the support loss and back towards where the loop set out."""
        slope = grad(self.task_loss)(fast_weights, *support)
        pull = lambda name: self.strength * (fast_weights[name] - params[name])
        return {n: w - self.lr * (slope[n] + pull(n)).detach() for n, w in fast_weights.items()}

    def equation(self, phi: Params, support: tuple[Tensor, Tensor]) -> Callable[[Params], Params]:
        """Return v ↦ the left side of the equation for the implicit gradient, damped, at φ."""
        slope = lambda theta: grad(self.task_loss)(theta, *support)
        more, stronger = self.damping

        def product(v: Params) -> Params:
            curved = grad(lambda theta: _dot(slope(theta), v))(phi)  # the Hessian times v
            return {n: (1 + more) * v[n] + curved[n] / (self.strength + stronger) for n in v}

        return product

    def outer_loss(self, params: Params, task: TaskBatch) -> Tensor:
        """Return the query loss at φ, with the implicit gradient for its gradient."""
        start = {name: value.detach() for name, value in params.items()}
        *_, phi = self.inner_loop(start, task.support, self.steps, True)
        phi = {name: value.detach() for name, value in phi.items()}
        product = self.equation(phi, task.support)
        query = grad(self.task_loss)(phi, *task.query)
        direction = conjugate_gradients(product, query, self.iterations)
        along = _dot(params, {name: value.detach() for name, value in direction.items()})
        return along - along.detach() + self.task_loss(phi, *task.query).detach()


def conjugate_gradients(
    product: Callable[[Params], Params], b: Params, iterations: int, eps: float = 1e-30
) -> Params:
    """Solve A x = b for the symmetric A of `product(v) = A v` (Hestenes and Stiefel 1952).

    b: a dict of tensors; so is x. The search starts from 0.

    >>> import torch
    >>> A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    >>> x = conjugate_gradients(lambda v: {"x": A @ v["x"]}, {"x": torch.tensor([1.0, 2.0])}, 2)
    >>> torch.allclose(A @ x["x"], torch.tensor([1.0, 2.0]), atol=1e-6)
    True
    """
    x = {name: 0 * value for name, value in b.items()}
    residual, direction, size = b, b, _dot(b, b)
    for _ in range(iterations):
        curved = product(direction)
        far = size / (_dot(direction, curved) + eps)
        x = {n: x[n] + far * direction[n] for n in x}
        residual = {n: residual[n] - far * curved[n] for n in x}
        before, size = size, _dot(residual, residual)
        direction = {n: residual[n] + size / (before + eps) * direction[n] for n in x}
    return x


def _dot(a: Params, b: Params) -> Tensor:
    return sum((a[name] * b[name]).sum() for name in a)
