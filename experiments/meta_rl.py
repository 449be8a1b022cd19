"""`python -m experiments.meta_rl`: the estimators against an oracle, navigation, and bandits.

What notebook 12 quotes and cannot compute in three minutes. Nothing is trained here: the policies
are those that ship (`mamlkit train navigation-maml` and so on).
"""

import json
from functools import partial
from pathlib import Path

import click
import torch
from torch import nn

from benchmarks.records import load_average, provenance, read, write
from mamlkit import (
    MAML,
    Bandits,
    BestPlayer,
    GaussianPolicy,
    PointRobot,
    PolicyGradientMAML,
    TaskBatch,
    devices,
    evaluate,
    meta_gradient,
    pretrained,
)
from mamlkit.learners.policy_gradient import ESTIMATORS
from mamlkit.recipes.recipe import TEST_SEED
from mamlkit.tasks.bandits import thompson, ucb1

RESULTS = Path(__file__).parent / "results" / "meta_rl.json"
COMMAND = "python -m experiments.meta_rl"


class Walk(nn.Module):
    """The robot and its policy as one module, from noise to path, for a pathwise derivative."""

    def __init__(self, policy, robot):
        super().__init__()
        self.policy, self.robot = policy, robot

    def forward(self, x):
        def act(observation, noise):
            mean, log_std = self.policy(observation)
            return mean + log_std.exp() * noise

        return self.robot.rollout(act, x)[0]


def mean_and_error(values):
    """Return the mean of independent estimates and its standard error."""
    values = torch.as_tensor(values, dtype=torch.float64)
    return {
        "mean": float(values.mean()),
        "standard error": float(values.std() / len(values) ** 0.5),
    }


def estimators(activation=nn.ReLU, repeats=400, trajectories=1_000, alpha=0.5, seed=0):
    """Compare meta-gradients with differences of the pathwise objective, along one direction.

    Ten steps that never end, no discount and no normalisation, so that the objective is exactly
    J(θ + α ∇J(θ)); an untrained policy. A policy's ReLUs and the clipped actions have kinks, where
    automatic second derivatives along the path see nothing: so the oracle steps by the pathwise
    first derivative and is differenced. The direction is that of the automatic one. The kinks of a
    ReLU are in log π as well, and DiCE differentiates that twice: a policy of tanh has none.

    DiCE a second time with a twentieth of the walks in the step, and as many in the objective: if a
    noisy step biased it, that would be seen there.
    """
    torch.manual_seed(seed)
    robot = PointRobot(horizon=10, tolerance=0.0, device="cpu")
    policy = GaussianPolicy(hidden=(32, 32), std=0.5)
    policy.mean[1], policy.mean[3] = activation(), activation()
    draw = partial(
        robot.toward, torch.tensor([[0.3, -0.4]]), generator=devices.generator(seed, "cpu")
    )
    flat = lambda tree: torch.cat([value.flatten() for _, value in sorted(tree.items())])
    along = MAML(Walk(policy, robot), robot.loss, lr=alpha / robot.horizon)
    start = along.init()
    automatic = [meta_gradient(along, start, draw(4_000, 4_000))[0] for _ in range(10)]
    direction = {k: torch.stack([g[k] for g in automatic]).mean(0) for k in start}
    size = flat(direction).norm()
    direction = {name: value / size for name, value in direction.items()}
    unit = flat(direction)
    along.module.double()
    double = lambda tree: {name: value.double() for name, value in tree.items()}

    def difference(step):
        task = TaskBatch(*(t[0].double() for t in draw(4_000, 4_000)))
        moved = lambda sign: {
            n: value + sign * step * double(direction)[n] for n, value in double(start).items()
        }
        with torch.no_grad():
            ends = [float(along.outer_loss(moved(sign), task)) for sign in (1, -1)]
        return (ends[0] - ends[1]) / (2 * step) / robot.horizon

    results = {
        "pathwise, differences": mean_and_error([difference(1e-2) for _ in range(30)]),
        "pathwise, automatic": mean_and_error([float(flat(g) @ unit) / 10 for g in automatic]),
    }
    policy.float()
    few = trajectories // 20
    trials = [(name, name, trajectories) for name in ESTIMATORS] + [
        (f"dice, {few} walks a step", "dice", few)
    ]
    for title, name, walks in trials:
        learner = PolicyGradientMAML(
            policy, robot, lr=alpha, trajectories=walks, estimator=name, discount=1.0,
            normalize=False,
        )  # fmt: skip
        batches = (draw(walks, trajectories) for _ in range(repeats))
        gradients = [flat(meta_gradient(learner, learner.init(), b)[0]) @ unit for b in batches]
        results[title] = mean_and_error(gradients)
        click.echo(f"{title}: {results[title]}")
    return results


def scatter(batches=10):
    """How far meta-gradients of ten goals scatter, at the shipped policy."""
    own, params = pretrained.load("navigation-maml", device="cpu")
    robot, results = PointRobot(device="cpu"), {}
    for name in ESTIMATORS:
        learner = PolicyGradientMAML(own.module, robot, lr=own.lr, estimator=name)
        draw = partial(robot.sample, 10, 20, 20, generator=devices.generator(0, "cpu"))
        gradients = [meta_gradient(learner, params, draw())[0] for _ in range(batches)]
        flat = torch.stack([torch.cat([g.flatten() for g in each.values()]) for each in gradients])
        results[name] = round(float(flat.var(0).sum().sqrt()), 4)
    return results


def navigation():
    """Returns of the shipped policies on 600 goals, and how many goals are worse off."""
    results = {}
    for name in ("maml", "pretrained", "oracle"):
        learner, params = pretrained.load(f"navigation-{name}", device="cpu")
        robot = PointRobot(reveal=name == "oracle", device="cpu")
        steps = 0 if name == "oracle" else 3
        test = evaluate(
            learner, params, robot, shots=60, queries=20, tasks=600, steps=steps, seed=TEST_SEED,
            metric=robot.returns,
        )  # fmt: skip
        results[name] = {
            "return": [round(value, 2) for value in test.mean.tolist()],
            "interval95": [round(value, 2) for value in test.interval.tolist()],
            "worse than before, of 600": (test.values < test.values[:, :1]).sum(0).tolist(),
            "worst goal": [round(value, 1) for value in test.values.min(0).values.tolist()],
        }
    return results


def bandits(games=10_000):
    """Expected rewards of RL² and others on the same games."""
    machine = Bandits(device="cpu")
    task = machine.sample(games, 1, 1, generator=devices.generator(TEST_SEED, "cpu"))
    x, chances = task.query_x[:, 0], task.query_y[:, 0]
    best = BestPlayer(arms=5, pulls=10)
    learner, params = pretrained.load("bandit-rl2", device="cpu")
    torch.manual_seed(TEST_SEED)
    posterior_mean = lambda wins, losses: (1 + wins) / (2 + wins + losses)

    def small_bonus(wins, losses, noise):
        total = (wins + losses).sum(-1, keepdim=True)
        bonus = (2 * (1 + total).log() / (2 + wins + losses)).sqrt()
        return posterior_mean(wins, losses) + 0.1 * bonus + 1e-6 * noise

    players = {
        "random": lambda wins, losses, noise: noise,
        "Thompson": thompson,
        "UCB1": ucb1,
        "UCB with a prior and a tenth of the bonus": small_bonus,
        "greedy": lambda wins, losses, noise: posterior_mean(wins, losses) + 1e-6 * noise,
        "best": best,
    }
    pulled = {name: machine.play(player, x) for name, player in players.items()}
    with torch.no_grad():
        pulled["RL²"] = learner.predict(params, x)
    totals = {name: (p * chances[:, None]).sum((1, 2)) for name, p in pulled.items()}
    results = {"exact optimum": best.value}
    for name, total in totals.items():
        behind = total - totals["best"]
        results[name] = {
            "total reward": round(float(total.mean()), 3),
            "interval95": round(float(1.96 * total.std() / games**0.5), 3),
            "minus best, paired": round(float(behind.mean()), 3),
            "its interval95": round(float(1.96 * behind.std() / games**0.5), 3),
        }
    return results


PARTS = {
    "estimators": estimators,
    "estimators, tanh": partial(estimators, nn.Tanh),
    "scatter": scatter,
    "navigation": navigation,
    "bandits": bandits,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
def main(parts):
    """Measure all parts or some; the others keep their numbers in meta_rl.json."""
    results = read(RESULTS, {})
    for name in parts or PARTS:
        run = provenance(load_average(), f"{COMMAND} '{name}'")
        results[name] = {"run": run, **PARTS[name]()}
        write(RESULTS, results)
        click.echo(json.dumps(results[name], ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
