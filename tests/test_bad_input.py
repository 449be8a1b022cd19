"""Bad input: each error names the value, the bound and the remedy, before any work is lost."""

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from mamlkit import (
    ANIL,
    BOIL,
    MAML,
    Bandits,
    BestPlayer,
    FewShot,
    GaussianPolicy,
    ImplicitMAML,
    InContextTransformer,
    LinearTasks,
    MAMLPlusPlus,
    ProtoMAML,
    Reptile,
    Sequences,
    SineNetwork,
    Sinusoids,
    TaskBatch,
    evaluate,
    fit,
    glyphs,
    omniglot,
    pad_tasks,
)
from mamlkit import pretrained as shipped
from mamlkit.devices import generator, resolve
from mamlkit.show.widgets.k_shot import KShotExplorer
from mamlkit.tasks.linear import posterior_over_pool

IMAGES, ONES = torch.rand(6, 20, 1, 8, 8), torch.ones(4, 2)
TRAINING = {"iterations": 3, "shots": 5, "queries": 5, "progress": False, "device": "cpu"}
TESTING = {"shots": 5, "queries": 5, "tasks": 4}


def maml(**changes):
    return MAML(**{"module": SineNetwork(), "loss": mse_loss, "lr": 0.01, **changes})


def train(learner=None, **changes):
    return fit(learner or maml(), Sinusoids(device="cpu"), **{**TRAINING, **changes})


def test_learner(**changes):
    learner = maml()
    return evaluate(learner, learner.init(), Sinusoids(device="cpu"), **{**TESTING, **changes})


class NaNTargets:
    device = torch.device("cpu")

    def to(self, device):
        return self

    def sample(self, tasks, shots, queries, *, generator=None):
        batch = Sinusoids(device="cpu").sample(tasks, shots, queries)
        return TaskBatch(batch.support_x, batch.support_y * float("nan"), *batch.query)


def on_meta():
    learner = MAML(SineNetwork().to("meta"), mse_loss, lr=0.01)
    return fit(learner, Sinusoids(device="cpu"), **TRAINING)


def parameters_elsewhere():
    learner = maml()
    params = {name: value.to("meta") for name, value in learner.init().items()}
    return evaluate(learner, params, Sinusoids(device="cpu"), **TESTING)


BAD = {
    "more ways than classes": (
        lambda: FewShot(IMAGES, ways=7),
        "FewShot: 7 ways need 7 classes; these images have 6",
    ),
    "more examples than a class has": (
        lambda: FewShot(IMAGES, ways=5, device="cpu").sample(1, 20, 15),
        "FewShot: 20 shots + 15 queries need 35 examples of a class; these classes have 20",
    ),
    "images without a channel": (
        lambda: FewShot(IMAGES[:, :, 0], ways=5),
        "must be a tensor [classes, examples, channels, height, width], got (6, 20, 8, 8); "
        "for grey images add",
    ),
    "NaN pixels": (
        lambda: FewShot(IMAGES * float("nan"), ways=5),
        "images holds 7680 values that are not finite, of 7680; clean them",
    ),
    "rotations of images that are not square": (
        lambda: FewShot(IMAGES[..., :5], ways=5, rotations=True),
        "rotations need square images, these are 8 by 5; pad them, or pass rotations=False",
    ),
    "no shots": (
        lambda: FewShot(IMAGES, ways=5, device="cpu").sample(1, 0, 5),
        "shots must be at least 1, got 0",
    ),
    "no queries": (
        lambda: Sinusoids(device="cpu").sample(1, 5, 0),
        "queries must be at least 1, got 0",
    ),
    "half a task": (
        lambda: Sinusoids(device="cpu").sample(0.5, 5, 5),
        "tasks must be a whole number, got 0.5",
    ),
    "a range upside down": (
        lambda: Sinusoids(amplitude=(5, 1)),
        "upper end of amplitude must be at least 5.0, got 1",
    ),
    "a range that is none": (
        lambda: Sinusoids(phase=3),
        "phase must be two numbers (low, high), got 3",
    ),
    "negative noise": (
        lambda: Sinusoids(noise=-1),
        "noise must be at least 0, got -1",
    ),
    "a negative step size": (
        lambda: maml(lr=-0.01),
        "MAML: lr must be at least 0, got -0.01; use a small positive number such as 0.01",
    ),
    "a step size that is no numbe": (
        lambda: maml(lr="0.01"),
        "lr must be a number, got '0.01'",
    ),
    "a step size that is not finite": (
        lambda: maml(lr=float("nan")),
        "lr must be finite, got nan",
    ),
    "negative steps": (
        lambda: maml(steps=-1),
        "steps must be at least 0, got -1",
    ),
    "a head that is none": (
        lambda: ANIL(SineNetwork(), mse_loss, lr=0.01, head="tail"),
        "ANIL: 0 of 6 parameters belong to the head 'tail'; name a layer...head='head'",
    ),
    "a head that is everything": (
        lambda: BOIL(nn.ModuleDict({"head": SineNetwork()}), mse_loss, lr=0.01),
        "BOIL: 6 of 6 parameters belong to the head",
    ),
    "prototypes for no head": (
        lambda: ProtoMAML(nn.Linear(1, 1), mse_loss, lr=0.01),
        "ProtoMAML: the module needs a `body` that embeds and a `head`",
    ),
    "a share of a run above 1": (
        lambda: MAMLPlusPlus(SineNetwork(), mse_loss, lr=0.01, multi_step_until=10),
        "multi_step_until must be at most 1, got 10; it is a share of the run",
    ),
    "MAML++ without steps": (
        lambda: MAMLPlusPlus(SineNetwork(), mse_loss, lr=0.01, steps=0),
        "MAMLPlusPlus: steps must be at least 1, got 0",
    ),
    "an inner optimiser unknown": (
        lambda: Reptile(SineNetwork(), mse_loss, lr=0.01, steps=3, inner="rmsprop"),
        "inner must be one of 'sgd', 'adam'; got 'rmsprop'",
    ),
    "a minibatch larger than the task": (
        lambda: train(Reptile(SineNetwork(), mse_loss, lr=0.01, steps=3, minibatch=11)),
        "a minibatch of 11 is more than the 10 points of a task; draw more shots or queries",
    ),
    "no pull towards the start": (
        lambda: ImplicitMAML(SineNetwork(), mse_loss, lr=0.01, strength=0),
        "strength must be above 0, got 0",
    ),
    "a bound of 0 for the gradient": (
        lambda: train(clip=0),
        "clip must be above 0, got 0; None is no bound",
    ),
    "microbatches of no task": (
        lambda: train(microbatch=0),
        "microbatch must be at least 1, got 0; None is all tasks at once",
    ),
    "running statistics": (
        lambda: maml(module=nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))),
        "BatchNorm1d '1' keeps running statistics...track_running_stats=False...nn.GroupNorm",
    ),
    "running statistics of images": (
        lambda: maml(module=nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))),
        "BatchNorm2d '1' keeps running statistics...BatchNorm2d(4, track_running_stats=False)",
    ),
    "nothing to learn": (
        lambda: maml(module=nn.ReLU()),
        "no trainable parameter, so there is nothing to adapt",
    ),
    "no iterations": (
        lambda: train(iterations=0),
        "fit: iterations must be at least 1, got 0",
    ),
    "a compile mode that is none": (
        lambda: train(compile="max"),
        "compile must be one of True, False, 'auto'; got 'max'",
    ),
    "a device that is none": (
        lambda: train(device="gpu"),
        "device 'gpu' is unknown; use 'auto', 'cpu', 'cuda'",
    ),
    "a device by number of the wrong kind": (lambda: resolve("cuda:x"), "'cuda:x' is unknown"),
    "a negative seed": (lambda: train(seed=-1), "seed must be at least 0, got -1"),
    "a seed too large": (lambda: generator(2**70), "seed must be at most"),
    "NaN targets in training": (
        lambda: fit(maml(), NaNTargets(), **TRAINING),
        "fit: support_y holds 125 values that are not finite, of 125; clean the data first",
    ),
    "NaN targets in testing": (
        lambda: evaluate(maml(), maml().init(), NaNTargets(), **TESTING),
        "evaluate: support_y holds 20 values that are not finite",
    ),
    "a model that cannot move": (on_meta, "fit: the model cannot move to cpu"),
    "parameters on another device": (
        parameters_elsewhere,
        "evaluate: everything must be on one device, found the tasks on cpu, the parameters on "
        "meta; move one with .to(device)",
    ),
    "parameters of another module": (
        lambda: evaluate(maml(), {"w": torch.zeros(3)}, Sinusoids(device="cpu"), **TESTING),
        "evaluate: these parameters are not the learner's: 'body.0.bias' should be (40,), is "
        "absent; start from learner.init()",
    ),
    "a start of another shape": (
        lambda: train(params={**maml().init(), "head.bias": torch.zeros(2)}),
        "fit: these parameters are not the learner's: 'head.bias' should be (1,), is (2,)",
    ),
    "a schedule that is none": (
        lambda: train(schedule="linear"),
        "schedule must be one of None, 'cosine', a function of the optimiser; got 'linear'",
    ),
    "a schedule that needs a metric": (
        lambda: train(schedule=torch.optim.lr_scheduler.ReduceLROnPlateau),
        "ReduceLROnPlateau needs a metric",
    ),
    "whole numbers for pixels": (
        lambda: FewShot((IMAGES > 0.5).long(), ways=5),
        "images are torch.int64; use bytes (torch.uint8, 0 to 255) or floats",
    ),
    "one task": (
        lambda: test_learner(tasks=1),
        "tasks must be at least 2, got 1; an interval needs several",
    ),
    "an unknown split": (
        lambda: omniglot("test"),
        "split must be one of 'background', 'evaluation'; got 'test'",
    ),
    "no glyphs": (lambda: glyphs(0), "classes must be at least 1, got 0"),
    "tiny glyphs": (lambda: glyphs(1, size=4), "size must be at least 8, got 4; strokes vanish"),
    "an unknown network": (
        lambda: shipped.load("resnet"),
        "name must be one of ...'sinusoid-maml'...; got 'resnet'",
    ),
    "shots below zero": (lambda: test_learner(shots=-2), "shots must be at least 1, got -2"),
    "linear tasks without support": (
        lambda: LinearTasks(2, device="cpu").sample(1, 0, 5),
        "LinearTasks: shots must be at least 1, got 0",
    ),
    "a memory without noise": (
        lambda: posterior_over_pool(
            (torch.ones(3, 2), torch.ones(3, 1)), torch.ones(1, 2), 0, ONES
        ),
        "posterior_over_pool: noise must be above 0, got 0",
    ),
    "a batch to pad": (
        lambda: pad_tasks(Sinusoids(device="cpu").sample(4, 2, 2)),
        "pad_tasks: needs a list of tasks, got TaskBatch...give [task, task, ...]",
    ),
    "nothing to pad": (lambda: pad_tasks([]), "pad_tasks: needs a list of tasks, got "),
    "a transformer that never looks": (
        lambda: InContextTransformer(layers=0),
        "layers must be at least 1, got 0",
    ),
    "images for a sequence": (
        lambda: Sequences(IMAGES, ways=5),
        "features must be a tensor [classes, examples, features], got Tensor of shape (6, 20, 1",
    ),
    "a policy without units": (
        lambda: GaussianPolicy(hidden=0),
        "GaussianPolicy: hidden must be at least 1, got 0",
    ),
    "a player of shorter games": (
        lambda: Bandits(arms=2, pulls=3, device="cpu").play(
            BestPlayer(arms=2, pulls=2), torch.ones(1, 3, 4)
        ),
        "BestPlayer: it plans for 2 pulls and is asked for one more",
    ),
    "an empty explore": (lambda: KShotExplorer({}), "learners is empty; give at least one"),
    "a learner without a role": (
        lambda: KShotExplorer({"mine": (maml(), maml().init())}),
        "a learner's name must be one of ...'MAML'...; got 'mine'",
    ),
}
test_learner.__test__ = False


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    for part in message.split("..."):
        assert part in str(caught.value)
