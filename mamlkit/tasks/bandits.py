"""Slot machines with unknown odds, how well they can be played, and players to compare with."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mamlkit import checks, devices
from mamlkit.tasks.batch import TaskBatch

Counts = Float[Tensor, "games arms"]


class Bandits:
    """The distribution of tasks "pull one of a few arms, again and again, for as much as you can".

    Duan et al. 2016, section 3.1 (arXiv:1611.02779): each arm pays 1 with a chance of its own,
    uniform in [0, 1], else 0. One example is a game of `pulls` pulls against the task's arms.

    A task carries its noise: x has the rewards that every arm would pay at every pull, decided
    beforehand, and as many Gumbel numbers, with which a policy draws an arm (the arm whose logit
    plus number is largest); y has the chances. A player is shown the reward of the arm it pulls,
    and no other.

    arms, pulls: k and n of the paper. device: where tasks are drawn; "auto" is CUDA, MPS, CPU.

    >>> batch = Bandits(arms=5, pulls=10, device="cpu").sample(100, shots=1, queries=3)
    >>> batch.query_x.shape, batch.query_y.shape
    (torch.Size([100, 3, 10, 10]), torch.Size([100, 3, 5]))
    """

    def __init__(
        self, *, arms: int = 5, pulls: int = 10, device: str | torch.device = "auto"
    ) -> None:
        self.arms = checks.check_int("Bandits", "arms", arms, low=2)
        self.pulls = checks.check_int("Bandits", "pulls", pulls, low=1)
        self.device = devices.resolve(device)

    def __repr__(self) -> str:
        return f"Bandits(arms={self.arms}, pulls={self.pulls})"

    def settings(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON knows them: a run's identity."""
        return {"distribution": type(self).__name__, "arms": self.arms, "pulls": self.pulls}

    def to(self, device: str | torch.device) -> "Bandits":
        """Return the same distribution, drawing on another device."""
        moved = copy.copy(self)
        moved.device = devices.resolve(device)
        return moved

    def sample(
        self, tasks: int, shots: int, queries: int, *, generator: Generator | None = None
    ) -> TaskBatch:
        """Draw the chances of each task, and rewards and noise of `shots` + `queries` games.

        Returns a TaskBatch of x `[tasks, games, pulls, 2 * arms]` and y `[tasks, games, arms]`.
        """
        tasks, shots, queries = checks.check_counts("Bandits", tasks, shots, queries)
        options = {"generator": generator, "device": self.device}
        chances = torch.rand(tasks, 1, self.arms, **options).expand(-1, shots + queries, -1)
        coins, noise = torch.rand(2, *chances.shape[:2], self.pulls, self.arms, **options)
        gumbel = -(-noise.clamp(1e-6, 1 - 1e-6).log()).log()
        x = torch.cat([(coins < chances[:, :, None]).to(coins.dtype), gumbel], dim=-1)
        return TaskBatch(x[:, :shots], chances[:, :shots], x[:, shots:], chances[:, shots:])

    def play(
        self, choose: Callable[[Counts, Counts, Tensor], Tensor], x: Tensor
    ) -> Float[Tensor, "games pulls arms"]:
        """Let a player of counts play games x `[games, pulls, 2 * arms]`.

        choose: a function of wins and losses of each arm so far `[games, arms]` and the pull's
            noise `[games, arms]` to a score of each arm; the arm of the highest is pulled.

        Returns which arm was pulled, one-hot.
        """
        wins = losses = torch.zeros_like(x[:, 0, : self.arms])
        pulled = []
        for step in x.unbind(1):
            pays, noise = step.split(self.arms, dim=-1)
            score = choose(wins, losses, noise)
            pulled.append(torch.nn.functional.one_hot(score.argmax(-1), self.arms).to(x.dtype))
            wins, losses = wins + pulled[-1] * pays, losses + pulled[-1] * (1 - pays)
        return torch.stack(pulled, dim=1)

    def returns(self, pulled: Tensor, chances: Tensor) -> Tensor:
        """Return the mean over games of the sum of the chances of the arms pulled.

        The expected reward of these choices: what was paid has the same mean, and more noise.
        """
        return (pulled * chances[:, None]).sum((1, 2)).mean()

    def loss(self, pulled: Tensor, chances: Tensor) -> Tensor:
        """Return minus the return."""
        return -self.returns(pulled, chances)


def thompson(wins: Counts, losses: Counts, noise: Tensor) -> Tensor:
    """Draw a chance for each arm from its posterior, Beta(1 + wins, 1 + losses).

    Thompson 1933. The noise of the task has no beta numbers: torch's random state makes them.
    """
    return torch.distributions.Beta(1 + wins, 1 + losses).sample()


def ucb1(wins: Counts, losses: Counts, noise: Tensor) -> Tensor:
    """Return the mean reward of each arm and a bonus for having been pulled seldom.

    Auer et al. 2002, figure 1: arms not yet pulled come first, here in a random order.
    """
    pulls = wins + losses
    total = pulls.sum(-1, keepdim=True).clamp(min=1)
    score = wins / pulls + (2 * total.log() / pulls).sqrt()
    return torch.where(pulls == 0, 1e6 + noise, score)


class BestPlayer:
    """The player that no other beats on average, by dynamic programming over all counts.

    What a position is worth is the worth of its best arm: with the chance p = (1 + wins)/(2 + wins
    + losses) of a win there, p (1 + worth after a win) + (1 - p) (worth after a loss). Arms are
    interchangeable, so positions that differ by their order are one: of ten pulls of five arms
    that leaves some thousands.

    arms, pulls: of the game; it plans for that many pulls. value: its expected reward under best
        play. Raises ValueError when it is asked for more pulls.

    >>> round(BestPlayer(arms=2, pulls=2).value, 4)  # 1/2, then stay with a win: 7/12
    1.0833
    """

    def __init__(self, *, arms: int, pulls: int) -> None:
        self.arms = arms = checks.check_int("BestPlayer", "arms", arms, low=1)
        self.pulls = checks.check_int("BestPlayer", "pulls", pulls, low=0)
        self._worth = cache(self._compute_worth)
        self.value = self._worth(((0, 0),) * arms)

    def _compute_worth(self, arms: tuple[tuple[int, int], ...]) -> float:
        if sum(map(sum, arms)) == self.pulls:
            return 0.0
        return max(self.worth_of(arms, arm) for arm in set(arms))

    def worth_of(self, arms: tuple[tuple[int, int], ...], arm: tuple[int, int]) -> float:
        """Return the expected reward from here on if this arm is pulled now, and the best after."""
        if sum(map(sum, arms)) >= self.pulls:
            raise ValueError(
                f"BestPlayer: it plans for {self.pulls} pulls and is asked for one more; make one "
                "with the pulls of the game"
            )
        rest = list(arms)
        rest.remove(arm)
        wins, losses = arm
        after = lambda *counts: self._worth(tuple(sorted([*rest, counts])))
        chance = (1 + wins) / (2 + wins + losses)
        return chance * (1 + after(wins + 1, losses)) + (1 - chance) * after(wins, losses + 1)

    def __call__(self, wins: Counts, losses: Counts, noise: Tensor) -> Tensor:
        """Return the worth of each arm; equal ones in a random order."""
        counts = torch.stack([wins, losses], dim=-1).int().tolist()
        games = [tuple(map(tuple, game)) for game in counts]
        worth = [[self.worth_of(tuple(sorted(game)), arm) for arm in game] for game in games]
        return torch.tensor(worth).to(noise) + 1e-6 * noise
