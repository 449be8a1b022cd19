"""Run by test_compiled.py in a process of its own: compiled code has no run-time shape checks.

Prints a line of JSON for each case: its name, and the error where there is one.
"""

import json
import sys
import traceback
import warnings
from functools import partial

import torch
from gradients import distance
from torch.nn.functional import cross_entropy, mse_loss

from mamlkit import (
    ANIL,
    MAML,
    FewShot,
    FirstOrderMAML,
    GaussianPolicy,
    MAMLPlusPlus,
    MetaSGD,
    MetaStep,
    OmniglotNetwork,
    PointRobot,
    PolicyGradientMAML,
    Reptile,
    SineNetwork,
    Sinusoids,
    TaskBatch,
    files,
    fit,
    glyphs,
)
from mamlkit.training import step as step_module
from mamlkit.training.compile import functional_update
from mamlkit.training.small_products import rewrite_small_products

warnings.filterwarnings("error", message=".*running eagerly")
SGD, WAVES = partial(torch.optim.SGD, lr=1.0), Sinusoids(device="cpu")


def network():
    torch.manual_seed(0)
    return SineNetwork(hidden=(20, 20))


def difference(learner, batch, **options):
    """Between the updates of plain gradient descent, compiled and eager."""
    updates = []
    for mode in (True, False):
        step = MetaStep(learner, learner.init(), SGD, compile=mode, **options if mode else {})
        step(batch)
        before, after = files.flatten(learner.init()), files.flatten(step.params)
        updates.append({name: before[name] - after[name] for name in before})
    return distance(*updates)


def one_gradient(make):
    assert difference(make(network(), mse_loss, lr=0.01), WAVES.sample(25, 5, 5)) < 1e-5


def convolutions(tasks, options, size=None):
    """With `size`: so many tasks at a time, the last part smaller and so another program."""
    torch.manual_seed(0)
    module = OmniglotNetwork(3, filters=4, norm="layer" if size else "batch")
    torch.nn.init.normal_(module.head.weight)
    learner = MAML(module, cross_entropy, lr=0.1)
    generator = torch.Generator().manual_seed(0)
    episodes = FewShot(glyphs(10).images, 3, device="cpu")
    batch = episodes.sample(tasks, 2, 2, generator=generator)
    if size:
        step_module.MANY, step_module.PART = 0, 2 * size * batch.support_x[0].numel()
        assert MetaStep(learner, learner.init(), SGD, **options)._part_size(batch) == size
    assert difference(learner, batch, **options) < 1e-4  # ReLU may tip over


def runs(kind=MAML, **settings):
    """Twenty iterations compiled and eager end at the same parameters."""
    learner = kind(network(), mse_loss, lr=0.01)
    ends = [
        fit(learner, WAVES, iterations=20, shots=5, queries=5, device="cpu", compile=mode,
            progress=False, **settings)
        for mode in (True, False)
    ]  # fmt: skip
    assert ends[0].compiled and not ends[1].compiled
    one, other = (files.flatten(end.params) for end in ends)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ends[0].history["loss"], ends[1].history["loss"], rtol=1e-4, atol=0)


def shapes():
    """A batch of another shape gets a program of its own; a known one is not compiled again."""
    maml = MAML(network(), mse_loss, lr=0.01)
    slow = partial(torch.optim.SGD, lr=0.001)
    steps = [MetaStep(maml, maml.init(), slow, compile=mode) for mode in (True, False)]
    for size in ((4, 5, 5), (3, 2, 7), (4, 5, 5), (8, 5, 5)):
        batch = WAVES.sample(*size)
        if len(batch.support_x) == 8:  # every second task: a known shape, laid out otherwise
            batch = TaskBatch(*(tensor[::2] for tensor in batch))
        torch.testing.assert_close(steps[0](batch), steps[1](batch), rtol=1e-4, atol=1e-5)
    assert len(steps[0]._programs) == 2


def two_learners_of_one_shape():
    """Programs carry no guards, so each must be its own learner's: here another step size."""
    module, batch = network(), WAVES.sample(4, 5, 5)
    for lr in (0.01, 0.1):
        assert difference(MAML(module, mse_loss, lr=lr), batch) < 1e-5


def skipped_batches():
    """A batch with infinity leaves the parameters as they are."""
    maml = MAML(network(), mse_loss, lr=0.01)
    step = MetaStep(maml, maml.init(), SGD, compile=True, skip_nonfinite=True)
    batch = WAVES.sample(4, 5, 5)
    batch.query_y[0, 0] = torch.inf
    assert step(batch).isnan()
    assert all(torch.equal(value, step.params[name]) for name, value in maml.init().items())


def small_products():
    """Every product that the pass rewrites gives what it gave."""
    for b, m, k, n in ((3, 4, 1, 5), (3, 4, 6, 1), (3, 1, 6, 5), (3, 20, 6, 5), (3, 4, 6, 5)):
        for shapes in (((b, m, k), (b, k, n)), ((m, k), (k, n))):
            inputs = [torch.randn(shape) for shape in shapes]
            graph = torch.fx.Graph()
            nodes = [graph.placeholder(name) for name in "ab"]
            for node, value in zip(nodes, inputs, strict=True):
                node.meta["val"] = value
            name = "bmm" if len(shapes[0]) == 3 else "mm"
            operation = getattr(torch.ops.aten, name).default
            graph.output(graph.call_function(operation, tuple(nodes)))
            rewrite_small_products(graph)
            result = torch.fx.GraphModule({}, graph)(*inputs)
            torch.testing.assert_close(result, operation(*inputs))


def what_functional_updates_leave_out():
    """Some of the leaves, or a schedule that moves the momentum: the optimiser steps by itself."""
    maml = MAML(network(), mse_loss, lr=0.01)
    some = lambda leaves: torch.optim.SGD(leaves[-2:], lr=0.1)
    step = MetaStep(maml, maml.init(), some, compile=True)
    step(WAVES.sample(4, 5, 5))
    moved = [n for n, value in maml.init().items() if not torch.equal(value, step.params[n])]
    assert moved == ["head.weight", "head.bias"]
    adam = torch.optim.Adam(step._leaves, lr=0.1)
    assert functional_update(adam, step._leaves)
    torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=0.1, total_steps=10)
    assert functional_update(adam, step._leaves) is None


def a_policy_gradient():
    """A rollout is a part of the loss, and of the program."""
    torch.manual_seed(0)
    robot = PointRobot(horizon=3, device="cpu")
    learner = PolicyGradientMAML(GaussianPolicy(hidden=(8,)), robot, lr=0.1, trajectories=4)
    assert difference(learner, robot.sample(2, 4, 4)) < 1e-4


def counts_in_half():
    """Adam's count of steps is kept in float32: in bfloat16 it would stop at 256."""
    maml = MAML(network().bfloat16(), mse_loss, lr=0.01)
    step = MetaStep(maml, maml.init(), partial(torch.optim.Adam, lr=1e-3), compile=True)
    batch = TaskBatch(*(tensor.bfloat16() for tensor in WAVES.sample(4, 5, 5)))
    for _ in range(300):
        step(batch)
    assert step.compile
    assert {state["step"].item() for state in step.optimizer.state.values()} == {300}


class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = torch.nn.Embedding(6, 4, padding_idx=0), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.embed(x).mean(1))


def an_id_beyond_the_table():
    """A program cannot stop there, but its loss is not that of another task's row."""
    torch.manual_seed(0)
    maml = MAML(Words(), cross_entropy, lr=0.1)
    step = MetaStep(maml, maml.init(), SGD, compile=True)
    x, y = torch.randint(0, 6, (2, 5, 7)), torch.randint(0, 3, (2, 5))
    assert step(TaskBatch(x, y, x, y)).isfinite() and step.compile
    assert torch.equal(step.params["embed.weight"][0], maml.init()["embed.weight"][0])
    x[0, 0, 0] = 6
    assert step(TaskBatch(x, y, x, y)).isnan()


CASES = {
    "MAML": partial(one_gradient, MAML),
    "first order": partial(one_gradient, FirstOrderMAML),
    "ANIL": partial(one_gradient, ANIL),
    "Meta-SGD": partial(one_gradient, MetaSGD),
    "Reptile": partial(one_gradient, partial(Reptile, steps=3)),
    "convolutions": partial(convolutions, 2, {}),
    "parts of a batch": partial(convolutions, 5, {"microbatch": "auto"}, 2),
    "Adam, cosine, clipped": partial(runs, schedule="cosine", clip=1.0),
    "AdamW": partial(runs, optimizer=partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1)),
    "AMSGrad": partial(runs, optimizer=partial(torch.optim.Adam, lr=1e-3, amsgrad=True)),
    "momentum": partial(
        runs, optimizer=partial(torch.optim.SGD, lr=1e-2, momentum=0.9, nesterov=True)
    ),
    "an optimiser left to torch": partial(
        runs, optimizer=partial(torch.optim.RMSprop, lr=1e-3, eps=0.01)
    ),
    "microbatches": partial(runs, microbatch=10),
    "MAML++ with all its phases": partial(runs, partial(MAMLPlusPlus, steps=2)),
    "shapes": shapes,
    "two learners of one shape": two_learners_of_one_shape,
    "skipped batches": skipped_batches,
    "warm-up from a step size of 0": partial(
        runs, schedule=lambda opt: torch.optim.lr_scheduler.LambdaLR(opt, lambda i: i / 20)
    ),
    "what functional updates leave out": what_functional_updates_leave_out,
    "small products": small_products,
    "policy gradient": a_policy_gradient,
    "counts in half precision": counts_in_half,
    "an id beyond the table": an_id_beyond_the_table,
}

if __name__ == "__main__":
    try:
        torch.compile(torch.neg)(torch.zeros(3))
    except Exception as error:
        print(json.dumps(["no compiler", str(error)]), flush=True)
        sys.exit()
    for name in sys.argv[1:] or CASES:
        try:
            CASES[name]()
            error = None
        except Exception:
            error = traceback.format_exc()
        print(json.dumps([name, error]), flush=True)
