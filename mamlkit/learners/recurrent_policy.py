"""RL²: a recurrent network whose memory is the learning algorithm (Duan et al. 2016)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mamlkit import checks
from mamlkit.learners.adapt import Params
from mamlkit.learners.base import Learner
from mamlkit.tasks.batch import TaskBatch


class RecurrentPolicy(Learner):
    """Learn a policy that is told its last action and reward, and so can learn while it plays.

    Duan et al. 2016 (arXiv:1611.02779), "RL²"; Wang et al. 2016 (arXiv:1611.05763). Weights are the
    same in every task: what is learned of a task is in the memory. There is no inner loop and no
    support set; what a game teaches counts in that very game. The outer gradient is an actor's with
    a learned critic (Mnih et al. 2016), in place of the paper's TRPO.

    module: maps `(observations, memory)` to `(logits, value, memory)`, with `hidden` numbers of
        memory, such as `RecurrentActor`; it observes which arm it pulled last and what that paid,
        one-hot, a win in the first half of `[games, 2 * arms]` and a loss in the second.
    environment: has `arms` and `loss`, such as `Bandits`.
    value: weight of the critic's squared error. entropy: weight of the policy's entropy, which
        keeps it trying; `stage` takes it to 0 over a run.

    >>> from mamlkit import Bandits, RecurrentActor
    >>> bandits = Bandits(arms=5, pulls=10, device="cpu")
    >>> learner = RecurrentPolicy(RecurrentActor(observations=10, actions=5), bandits)
    >>> task = bandits.sample(1, shots=1, queries=20).task(0)
    >>> learner.predict(learner.init(), task.query_x).shape  # which arm was pulled, one-hot
    torch.Size([20, 10, 5])
    """

    estimates_gradient = True  # by likelihood ratios; which arm a task's noise picks stays out

    def __init__(
        self, module: nn.Module, environment: Any, *, value: float = 0.5, entropy: float = 0.05
    ) -> None:
        name, what = type(self).__name__, "an environment, such as Bandits()"
        checks.check_has(name, "environment", environment, what, "arms", "loss")
        checks.check_has(name, "module", module, "such as RecurrentActor(...)", "hidden")
        self._environment = environment
        self.value = checks.check_float(name, "value", value, low=0)
        self.entropy = checks.check_float(name, "entropy", entropy, low=0)
        super().__init__(module, environment.loss)

    def stage(self, progress: float) -> tuple[Learner, dict[str, Tensor]]:
        """Return this learner, and the weight of the entropy, which falls to 0."""
        return self, {"entropy": torch.tensor(self.entropy * (1 - progress))}

    def adapt(self, params: Params, support: tuple[Tensor, Tensor]) -> Params:
        """Return the parameters as they are: this learner adapts while it plays."""
        return params

    def predict(self, adapted: Params, x: Tensor) -> Tensor:
        """Return the arms pulled in games x, one-hot, `[games, pulls, arms]`."""
        return self.play(adapted, x)[0]

    def play(
        self, params: Params, x: Float[Tensor, "games pulls columns"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Play games; return arms pulled, rewards, and log-probabilities and values on the way.

        Arms and log-probabilities (of all arms) `[games, pulls, arms]`, the others
        `[games, pulls]`.
        """
        arms = self._environment.arms
        memory = x.new_zeros(len(x), self.module.hidden)
        observation = x.new_zeros(len(x), 2 * arms)
        steps = []
        for step in x.unbind(1):
            pays, noise = step.split(arms, dim=-1)
            logits, value, memory = self.call(params, observation, memory)
            choice = (logits + noise).argmax(-1, keepdim=True)
            pulled = (choice == torch.arange(arms, device=x.device)).to(x.dtype)
            reward = (pulled * pays).sum(-1)
            observation = torch.cat([pulled * pays, pulled * (1 - pays)], dim=-1)
            steps.append((pulled, reward, logits.log_softmax(-1), value))
        return tuple(torch.stack(column, dim=1) for column in zip(*steps, strict=True))

    def outer_loss(self, params: Params, task: TaskBatch, entropy: Tensor | float = 0.0) -> Tensor:
        """Return minus the return of the query games, with the gradient of actor and critic."""
        pulled, rewards, log_probs, values = self.play(params, task.query_x)
        to_go = rewards.flip(1).cumsum(1).flip(1)
        log_prob = (pulled * log_probs).sum(-1)
        actor = -(log_prob * (to_go - values).detach()).sum(1).mean()
        critic = (to_go - values).square().sum(1).mean()
        spread = -(log_probs.exp() * log_probs).sum((1, 2)).mean()
        surrogate = actor + self.value * critic - entropy * spread
        return self.loss(pulled, task.query_y) + surrogate - surrogate.detach()
