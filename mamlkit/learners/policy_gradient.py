"""MAML for reinforcement learning: the inner gradient is a policy gradient, and the outer too."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mamlkit import checks
from mamlkit.learners.adapt import Params
from mamlkit.learners.maml import LARGEST_LR, MAML

RIDGE = 0.1  # of the baseline's fit, small beside the 2,000 steps it is fitted to


def plain(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Return Σ log π A: a policy gradient when differentiated once, and no more than that.

    REINFORCE (Williams 1992); what the released code of Finn et al. 2017 differentiates twice.
    """
    return (log_prob * advantage).sum(-1)


def low_variance(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Return Σ π/π₀ A: right for each action by itself, without what actions do to later ones.

    The low-variance curvature of ProMP (Rothfuss et al. 2019, arXiv:1810.06784, equation 4).
    """
    return ((log_prob - log_prob.detach()).exp() * advantage).sum(-1)


def dice(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Return Σ (Π_{≤t} π/π₀ - Π_{<t} π/π₀) A: right to every order, and noisier.

    DiCE (Foerster et al. 2018, arXiv:1802.05098) with the baseline that keeps every order right
    (Farquhar et al. 2019, arXiv:1909.10549, "Loaded DiCE").
    """
    log_ratio = log_prob - log_prob.detach()  # 0, but not its derivatives
    until = log_ratio.cumsum(-1)
    return ((until.exp() - (until - log_ratio).exp()) * advantage).sum(-1)


ESTIMATORS = {"dice": dice, "low-variance": low_variance, "plain": plain}


class PolicyGradientMAML(MAML):
    """Learn a policy that a policy gradient or two turn into one for a new task (algorithm 3).

    Finn et al. 2017, section 4.2. Its objective is J(θ + α ∇J(θ)), the return after the step; the
    gradient of a return is estimated from trajectories, at both levels with `estimator`.

    module: a policy, such as `GaussianPolicy()`: observations to mean and log deviation.
    environment: has `rollout`, `rewards` and `loss`, such as `PointRobot`.
    lr: the inner step size α, on the gradient of the mean over a trajectory's steps.
    later_lr: the step size from the second step on; `lr` if None. The released code halves it: a
        policy that was changed needs less.
    steps: inner steps in training. trajectories: of the support set that each step takes, so a
        task needs `steps * trajectories` shots: every step learns from fresh experience.
    estimator: of the surrogate whose derivatives stand for those of the return: "dice" is right to
        any order; "low-variance" leaves out of the second what an action does to later ones, which
        is most of the noise of long walks; "plain" is right for the first derivative only.
    discount: of later rewards in the gradients; returns are reported without.
    normalize: whether advantages are scaled to a deviation of 1 within a task.

    The baseline of a trajectory is linear in position, its square and powers of time, and fitted to
    the task's *other* trajectories, so it adds no bias.

    >>> from mamlkit import GaussianPolicy, PointRobot
    >>> robot = PointRobot(horizon=5, device="cpu")
    >>> learner = PolicyGradientMAML(GaussianPolicy(), robot, lr=0.1, trajectories=20)
    >>> task = robot.sample(1, shots=20, queries=10).task(0)
    >>> adapted = learner.adapt(learner.init(), task.support)
    >>> learner.predict(adapted, task.query_x).shape  # the paths
    torch.Size([10, 5, 2])
    """

    estimates_gradient = True  # by likelihood ratios; what a task's noise would do stays out

    def __init__(
        self,
        module: nn.Module,
        environment: Any,
        *,
        lr: float,
        later_lr: float | None = None,
        steps: int = 1,
        trajectories: int = 20,
        estimator: str = "low-variance",
        discount: float = 0.99,
        normalize: bool = True,
    ) -> None:
        name, what = type(self).__name__, "an environment, such as PointRobot()"
        checks.check_has(name, "environment", environment, what, "rollout", "rewards", "loss")
        self._environment = environment
        self.trajectories = checks.check_int(name, "trajectories", trajectories, low=2)
        self.estimator = checks.check_choice(name, "estimator", estimator, tuple(ESTIMATORS))
        self.discount = checks.check_float(name, "discount", discount, above=0, high=1)
        self.normalize = checks.check_bool(name, "normalize", normalize)
        super().__init__(module, environment.loss, lr=lr, steps=steps)
        later_lr = self.lr if later_lr is None else later_lr
        self.later_lr = checks.check_float(name, "later_lr", later_lr, low=0, high=LARGEST_LR)

    def inner_lr(self, params: Params, step: int) -> float:
        """Return the size of the inner step of this number."""
        return self.later_lr if step else self.lr

    def rollout(self, params: Params, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return paths, observations and actions of the policy with the noise x."""

        def act(observation: Tensor, noise: Tensor) -> Tensor:
            mean, log_std = self.call(params, observation)
            return mean + log_std.exp() * noise

        return self._environment.rollout(act, x)

    def predict(self, adapted: Params, x: Tensor) -> Tensor:
        """Return the paths `[trajectories, horizon, 2]` that the policy walks with the noise x."""
        return self.rollout(adapted, x)[0]

    def task_loss(self, params: Params, x: Tensor, y: Tensor) -> Tensor:
        """Return minus the return, with the derivatives that the estimator gives it."""
        frozen = {name: value.detach() for name, value in params.items()}
        path, observations, actions = self.rollout(frozen, x)
        rewards, alive = self._environment.rewards(path, y)
        advantage = self.advantages(observations, rewards, alive)
        mean, log_std = self.call(params, observations)
        z = (actions - mean) / log_std.exp()
        log_prob = alive * (-0.5 * z**2 - log_std).sum(-1)  # up to a constant
        surrogate = ESTIMATORS[self.estimator](log_prob, advantage).mean() / x.shape[1]
        return self.loss(path, y) + surrogate.detach() - surrogate

    def advantages(
        self,
        observations: Float[Tensor, "trajectories horizon columns"],
        rewards: Float[Tensor, "trajectories horizon"],
        alive: Float[Tensor, "trajectories horizon"],
    ) -> Float[Tensor, "trajectories horizon"]:
        """Return how much better than the baseline the discounted rewards from each step on are."""
        time = torch.arange(rewards.shape[1], device=rewards.device, dtype=rewards.dtype)
        weight = self.discount**time
        to_go = (weight * rewards).flip(1).cumsum(1).flip(1) / weight
        powers = (time / 100)[:, None] ** torch.arange(4, device=time.device)
        powers = powers.expand(len(rewards), -1, -1)
        features = alive[..., None] * torch.cat([observations, observations**2, powers], dim=-1)
        gram, product = features.mT @ features, features.mT @ to_go[..., None]
        others = gram.sum(0) - gram + RIDGE * torch.eye(gram.shape[-1], device=gram.device)
        baseline = features @ torch.linalg.solve(others, product.sum(0) - product)
        advantage = alive * (to_go - baseline[..., 0])
        if self.normalize:
            count = alive.sum()
            mean = advantage.sum() / count
            spread = ((alive * (advantage - mean) ** 2).sum() / count).sqrt()
            advantage = advantage / (spread + 1e-8)
        return advantage.detach()

    def inner_step(
        self,
        params: Params,
        fast_weights: Params,
        support: tuple[Tensor, Tensor],
        step: int,
        first_order: bool,
    ) -> Params:
        """Take the `step`-th inner step from 0 on trajectories of its own."""
        first, last = step * self.trajectories, (step + 1) * self.trajectories
        x, y = (tensor[first:last] for tensor in support)
        if len(x) < self.trajectories:
            raise ValueError(
                f"PolicyGradientMAML: inner step {step + 1} needs shots up to {last}, the task has "
                f"{len(support[0])}; use shots={last}, or fewer steps or trajectories"
            )
        return super().inner_step(params, fast_weights, (x, y), step, first_order)
