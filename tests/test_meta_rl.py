"""Rollouts against loops, estimators against differences, shipped policies against the bars."""

import json
from functools import partial
from itertools import product
from pathlib import Path

import nbformat
import pytest
import torch
from gradients import distance, double
from torch.func import grad
from torch.nn.functional import logsigmoid

from mamlkit import (
    Bandits,
    BestPlayer,
    GaussianPolicy,
    PointRobot,
    PolicyGradientMAML,
    RecurrentActor,
    RecurrentPolicy,
    TaskBatch,
    evaluate,
    fit,
    meta_gradient,
    pretrained,
)
from mamlkit.learners.policy_gradient import ESTIMATORS, dice
from mamlkit.recipes import RECIPES
from mamlkit.recipes.meta_rl import META_RL
from mamlkit.tasks.bandits import thompson, ucb1

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "12_meta_rl.ipynb"


def robot_learner(robot, **options):
    torch.manual_seed(0)
    settings = {"lr": 0.3, "trajectories": 6, **options}
    return PolicyGradientMAML(GaussianPolicy(hidden=(8,), std=0.5), robot, **settings)


@pytest.fixture
def robot():
    return PointRobot(horizon=12, device="cpu")


# The robot


def test_a_rollout_is_the_loop_one_would_write():
    """Step by step, with a break at the goal, as the released code has it."""
    robot = PointRobot(horizon=60, device="cpu")
    task = robot.toward(torch.tensor([[0.12, -0.2]]), 1, 30).task(0)
    toward = lambda position, noise: 5 * (torch.tensor([0.12, -0.2]) - position) + 0.3 * noise
    path, observations, actions = robot.rollout(toward, task.query_x)
    rewards, alive = robot.rewards(path, task.query_y)
    ends = 0
    for i, noise in enumerate(task.query_x):
        position, total = torch.zeros(2), 0.0
        for t in range(60):
            torch.testing.assert_close(observations[i, t], position)
            action = toward(position, noise[t])
            torch.testing.assert_close(actions[i, t], action)
            position = position + 0.1 * action.clamp(-1, 1)
            away = position - task.query_y[i]
            total -= float(away.norm())
            if (away.abs() < 0.01).all():
                ends += 1
                break
        assert alive[i].sum() == t + 1
        assert float(rewards[i].sum()) == pytest.approx(total, rel=1e-4)
    assert ends > 5
    mean = float(rewards.sum(1).mean())
    assert float(robot.returns(path, task.query_y)) == pytest.approx(mean)


def test_plain_distances_are_what_the_paper_printed():
    """Standing still has -38.26 and straight walks -0.51; squared distances would have -16.67."""
    robot = PointRobot(reveal=True, device="cpu")
    batch = robot.sample(4_000, 1, 1, generator=torch.Generator().manual_seed(0))
    x, goals = batch.query_x[:, 0], batch.query_y[:, 0]
    still = robot.rollout(lambda seen, noise: 0 * noise, x)[0]
    straight = robot.rollout(lambda seen, noise: 10 * (seen[:, 2:] - seen[:, :2]), x)[0]
    assert float(robot.returns(still, goals)) == pytest.approx(-38.26, abs=0.5)
    assert float(robot.returns(straight, goals)) == pytest.approx(-0.51, abs=0.02)
    assert float(-100 * (goals**2).sum(1).mean()) == pytest.approx(-16.67, abs=0.4)


def test_a_robot_is_reproducible_and_says_what_it_is(robot):
    draw = lambda: robot.sample(3, 4, 5, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(draw(), draw(), strict=True))
    assert draw().support_y.shape == (3, 4, 2) and (draw().support_y[:, :1] == draw().query_y).all()
    assert json.loads(json.dumps(robot.settings())) == robot.settings()
    assert "horizon=12" in repr(robot)
    with pytest.raises(ValueError, match="horizon must be at least 1, got 0"):
        PointRobot(horizon=0)


# The estimators


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_second_derivatives_where_an_early_action_matters_later(name):
    """Two pulls, the second's pay depends on the first: all four games, weighted, no chance."""
    games = torch.tensor(list(product([0, 1], repeat=2)))
    pays = torch.tensor([[[0.3, 1.0], [0.1, 0.7]], [[0.2, 2.0], [0.9, 0.4]]]).double()
    first = torch.tensor([0.5, 0.1]).double()
    rewards = torch.stack([first[games[:, 0]], pays[0, games[:, 0], games[:, 1]]], dim=1)
    to_go = rewards.flip(1).cumsum(1).flip(1)

    def log_prob(theta):
        sign = 2.0 * games - 1
        return logsigmoid(sign * torch.stack([theta, 0.5 * theta + 0.2]))

    exact = lambda theta: (log_prob(theta).sum(1).exp() * rewards.sum(1)).sum()

    def surrogate(theta):
        chances = log_prob(theta).sum(1).exp().detach()
        return (chances * ESTIMATORS[name](log_prob(theta), to_go - 0.3)).sum()

    theta = torch.tensor(0.4).double()
    torch.testing.assert_close(grad(surrogate)(theta), grad(exact)(theta))
    error = abs(grad(grad(surrogate))(theta) / grad(grad(exact))(theta) - 1)
    assert error < 1e-6 if name == "dice" else error > 0.02
    step = lambda J: lambda theta: J(theta + grad(J)(theta))
    h = 1e-5
    difference = (step(exact)(theta + h) - step(exact)(theta - h)) / (2 * h)
    if name == "dice":
        torch.testing.assert_close(grad(step(surrogate))(theta), difference, rtol=1e-6, atol=0)


def test_the_gradient_is_reinforce_with_a_baseline(robot):
    """The first derivative of all estimators: Σ ∇log π A, averaged over steps and walks."""
    task = robot.sample(1, 6, 9, generator=torch.Generator().manual_seed(2)).task(0)
    gradients = []
    for name in ESTIMATORS:
        learner = robot_learner(robot, estimator=name)
        gradients.append(grad(learner.task_loss)(learner.init(), *task.query))
    params = {n: v.requires_grad_() for n, v in learner.init().items()}
    path, seen, actions = (t.detach() for t in learner.rollout(params, task.query_x))
    advantage = learner.advantages(seen, *robot.rewards(path, task.query_y))
    mean, log_std = torch.func.functional_call(learner.module, params, (seen,))
    log_prob = torch.distributions.Normal(mean, log_std.exp()).log_prob(actions).sum(-1)
    alive = robot.rewards(path, task.query_y)[1]
    loss = -(alive * log_prob * advantage).sum() / (9 * 12)
    expected = dict(zip(params, torch.autograd.grad(loss, [*params.values()]), strict=True))
    assert all(distance(gradient, expected) < 1e-5 for gradient in gradients)


def test_a_baseline_is_fitted_to_the_other_walks(robot):
    """So what a walk earned does not move its own baseline, and the gradient has no bias."""
    learner = robot_learner(robot, normalize=False)
    seen, rewards = torch.randn(6, 12, 2), torch.randn(6, 12)
    before = learner.advantages(seen, rewards, torch.ones(6, 12))
    changed = rewards.clone()
    changed[2, -1] += 5
    after = learner.advantages(seen, changed, torch.ones(6, 12))
    discounted = 5 * 0.99 ** torch.arange(11.0, -1, -1)
    torch.testing.assert_close(after[2] - before[2], discounted, rtol=1e-3, atol=1e-3)
    assert ((after - before).abs().amax(1)[[0, 1, 3, 4, 5]] > 1e-3).all()


def test_meta_gradients_batch_over_tasks():
    robot = PointRobot(horizon=5, device="cpu")
    learner = robot_learner(robot)
    learner.module.double()
    batch = double(robot.sample(3, 6, 6, generator=torch.Generator().manual_seed(3)))
    together, loss = meta_gradient(learner, learner.init(), batch)
    parts = [meta_gradient(learner, learner.init(), part) for part in batch.split(1)]
    apart = {n: torch.stack([g[n] for g, _ in parts]).mean(0) for n in together}
    assert distance(together, apart) < 1e-10
    assert float(loss) == pytest.approx(float(sum(value for _, value in parts)) / 3)


def test_every_step_learns_from_fresh_walks(robot):
    learner = robot_learner(robot, steps=2, later_lr=0.1)
    x, y = robot.sample(1, 12, 1).task(0).support
    one, two = (list(learner.trajectory(learner.init(), (x, y), n))[-1] for n in (1, 2))
    other = torch.cat([x[:6], torch.randn_like(x[6:])])
    again = [list(learner.trajectory(learner.init(), (other, y), n))[-1] for n in (1, 2)]
    assert distance(one, again[0]) == 0 and distance(two, again[1]) > 1e-4
    with pytest.raises(ValueError, match=r"step 2 needs shots up to 12, the task has 6; use shots"):
        learner.adapt(learner.init(), (x[:6], y[:6]))
    assert evaluate(
        learner, learner.init(), robot, shots=12, queries=3, tasks=4, steps=2, metric=robot.returns
    ).values.shape == (4, 3)


def test_the_notebook_shows_the_packages_dice():
    book = nbformat.read(NOTEBOOK, as_version=4)
    source = next(c.source for c in book.cells if c.source.startswith("def dice_of_a_walk"))
    scope = {}
    exec(source, scope)
    log_prob, advantage = torch.randn(2, 4, 9)
    for derive in (lambda f: f, grad, lambda f: grad(lambda x: grad(f)(x).square().sum())):
        mine, own = (derive(lambda x, f=f: f(x, advantage).sum())(log_prob) for f in
                     (scope["dice_of_a_walk"], dice))  # fmt: skip
        torch.testing.assert_close(mine, own)


# Bandits


def test_coins_fall_as_often_as_they_should():
    batch = Bandits(arms=3, pulls=20, device="cpu").sample(
        500, 1, 4, generator=torch.Generator().manual_seed(0)
    )
    coins = batch.query_x[..., :3]
    assert set(coins.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(coins.mean((1, 2)), batch.query_y[:, 0], rtol=0, atol=0.25)
    assert float((coins.mean((1, 2)) - batch.query_y[:, 0]).mean()) == pytest.approx(0, abs=0.01)


def test_the_best_player_is_best_among_all_there_are():
    """Two arms, two pulls: all eight deterministic players, by hand over p and q in [0, 1]."""
    values = []
    for start, after_win, after_loss in product((0, 1), repeat=3):
        # E[p] = 1/2; after a win of the same arm E = 2/3, after a loss 1/3; another arm 1/2.
        win = 2 / 3 if after_win == start else 1 / 2
        loss = 1 / 3 if after_loss == start else 1 / 2
        values.append(0.5 + 0.5 * win + 0.5 * loss)
    assert BestPlayer(arms=2, pulls=2).value == pytest.approx(max(values))
    assert BestPlayer(arms=5, pulls=1).value == pytest.approx(0.5)
    assert BestPlayer(arms=5, pulls=10).value == pytest.approx(6.66, abs=5e-4)


def test_players_rank_as_they_should():
    machine = Bandits(arms=3, pulls=6, device="cpu")
    task = machine.sample(4_000, 1, 1, generator=torch.Generator().manual_seed(0))
    x, chances = task.query_x[:, 0], task.query_y[:, 0]
    best = BestPlayer(arms=3, pulls=6)
    torch.manual_seed(0)
    total = lambda player: float(machine.returns(machine.play(player, x), chances))
    assert total(best) == pytest.approx(best.value, abs=0.06)
    assert total(best) > total(thompson) > total(lambda wins, losses, noise: noise) + 0.1
    assert total(best) > total(ucb1) > 3.1


def test_a_memory_is_told_of_no_arm_but_the_one_it_pulled():
    machine = Bandits(arms=4, pulls=8, device="cpu")
    torch.manual_seed(0)
    learner = RecurrentPolicy(RecurrentActor(observations=8, actions=4), machine)
    params = {n: 5 * v for n, v in learner.init().items()}  # a memory that is used
    x = machine.sample(1, 1, 50).task(0).query_x
    pulled, rewards, *_ = learner.play(params, x)
    others = x.clone()
    others[..., :4] = torch.where(pulled > 0, x[..., :4], 1 - x[..., :4])
    assert torch.equal(learner.predict(params, others), pulled)
    own = x.clone()
    own[..., :4] = torch.where(pulled > 0, 1 - x[..., :4], x[..., :4])
    assert not torch.equal(learner.predict(params, own), pulled)
    assert torch.equal(rewards, (pulled * x[..., :4]).sum(-1))


def test_a_recurrent_policy_learns_with_the_usual_fit():
    machine = Bandits(arms=2, pulls=5, device="cpu")
    torch.manual_seed(0)
    learner = RecurrentPolicy(RecurrentActor(observations=4, actions=2, hidden=16), machine)
    adam = partial(torch.optim.Adam, lr=2e-2)
    run = fit(learner, machine, iterations=80, shots=1, queries=1, tasks_per_batch=500,
              optimizer=adam, compile=False, device="cpu", progress=False)  # fmt: skip
    start, end = (
        evaluate(learner, params, machine, shots=1, queries=1, tasks=2_000, steps=0,
                 metric=machine.returns).mean[0]
        for params in (learner.init(), run.params)
    )  # fmt: skip
    assert 2.4 < start < 2.6 and 2.8 < end < BestPlayer(arms=2, pulls=5).value + 0.05


def test_its_gradient_is_that_of_the_return():
    """One pull: all the policy can do is choose, and the exact gradient is at hand."""
    machine = Bandits(arms=3, pulls=1, device="cpu")
    torch.manual_seed(0)
    learner = RecurrentPolicy(RecurrentActor(6, 3, hidden=4), machine, value=0.0)
    task = machine.sample(1, 1, 400_000).task(0)
    chances = task.query_y[0]
    estimate = grad(learner.outer_loss)(learner.init(), task)

    def exact(params):
        game = TaskBatch(*(t[:1] for t in task)).query_x
        log_probs = learner.play(params, game)[2][0, 0]
        return -(log_probs.exp() * chances).sum()

    assert distance(estimate, grad(exact)(learner.init())) < 0.05


# What ships


@pytest.mark.parametrize("name", sorted(META_RL))
def test_recipes_of_shipped_policies_train(name):
    """The command on each card works: pretraining, too, which takes no walks for a step."""
    run = RECIPES[name].train(iterations=1, tasks_per_batch=2, device="cpu", progress=False)
    assert run.history["loss"].isfinite().all()


def test_shipped_policies_are_as_good_as_the_notebook_says():
    """After 0 to 3 steps; not all of the paper's -40.41 / -11.68 / -3.33 / -3.23 are reached."""
    results = {n: pretrained.card(n)["results"]["mean"] for n in pretrained.names()}
    returns = [-value for value in results["navigation-maml"]]
    assert all(r >= bar for r, bar in zip(returns, (-42, -13.5, -6, -5), strict=True))
    assert -results["navigation-oracle"][0] > -4
    behind = [-value for value in results["navigation-pretrained"]]
    assert all(a - b > 4 for a, b in zip(returns[1:], behind[1:], strict=True))
    assert -results["bandit-rl2"][0] > 6.5  # 6.7 in Duan et al. 2016; the optimum is 6.66
