"""`python -m tests.stress foreign`: blocks of torchvision and losses, compiled, looped and eager.

Ten blocks and ten losses, drawn with a seed from torchvision's and torch's documentation. Each
trains three steps eagerly, one task at a time, and compiled; the ends must agree, and the module
must be what it was; or an error must say in one sentence why not. results/foreign.json keeps them.
"""

import random
import warnings
from pathlib import Path

import click
import torch
from torch import nn
from torch.nn import functional
from torchvision import models, ops

from benchmarks.records import load_average, provenance, write
from mamlkit import MAML, TaskBatch, files, fit

RESULTS = Path(__file__).parent / "results" / "foreign.json"
FREE = {"norm_layer": lambda channels: nn.BatchNorm2d(channels, track_running_stats=False)}
BLOCKS = {
    "BasicBlock": lambda: models.resnet.BasicBlock(8, 8, **FREE),
    "Bottleneck": lambda: models.resnet.Bottleneck(8, 2, **FREE),
    "Fire": lambda: models.squeezenet.Fire(8, 4, 6, 6),
    "InvertedResidual": lambda: models.mobilenetv2.InvertedResidual(8, 8, 1, 2, **FREE),
    "Conv2dNormActivation": lambda: ops.Conv2dNormActivation(8, 8, **FREE),
    "SqueezeExcitation": lambda: ops.SqueezeExcitation(8, 4),
    "StochasticDepth": lambda: ops.StochasticDepth(0.0, "row"),
    "DropBlock2d": lambda: ops.DropBlock2d(0.0, 3),
    "MLP": lambda: nn.Sequential(nn.Flatten(2), ops.MLP(36, [12, 36]), nn.Unflatten(2, (6, 6))),
    "FrozenBatchNorm2d": lambda: ops.FrozenBatchNorm2d(8),
    "FeaturePyramidNetwork": lambda: Pyramid(),
    "EncoderBlock": lambda: Tokens(),
    "CNBlock": lambda: models.convnext.CNBlock(8, 1e-1, 0.0),
    "ShuffleUnit": lambda: models.shufflenetv2.InvertedResidual(8, 8, 1),
    "DeformConv2d": lambda: Deformed(),
    "SimpleStemIN": lambda: models.regnet.SimpleStemIN(8, 8, FREE["norm_layer"], nn.ReLU),
    "Permute": lambda: nn.Sequential(ops.Permute([0, 2, 3, 1]), nn.Linear(8, 8)),
    "DenseLayer": lambda: models.DenseNet(8, (1,), 8, 2).features.denseblock1.denselayer1,
}
LOSSES = {
    "CrossEntropyLoss": nn.CrossEntropyLoss(label_smoothing=0.1),
    "NLLLoss": lambda p, y: nn.NLLLoss()(p.log_softmax(1), y),
    "MultiMarginLoss": nn.MultiMarginLoss(),
    "MSELoss": lambda p, y: nn.MSELoss()(p.softmax(1), functional.one_hot(y, 3).float()),
    "L1Loss": lambda p, y: nn.L1Loss()(p, functional.one_hot(y, 3).float()),
    "SmoothL1Loss": lambda p, y: nn.SmoothL1Loss()(p, functional.one_hot(y, 3).float()),
    "HuberLoss": lambda p, y: nn.HuberLoss()(p, functional.one_hot(y, 3).float()),
    "KLDivLoss": lambda p, y: nn.KLDivLoss()(p.log_softmax(1), p.sin().softmax(1)),
    "BCEWithLogitsLoss": lambda p, y: nn.BCEWithLogitsLoss()(p[:, 0], (y > 0).float()),
    "PoissonNLLLoss": lambda p, y: nn.PoissonNLLLoss()(p[:, 0], y.float()),
    "GaussianNLLLoss": lambda p, y: nn.GaussianNLLLoss()(p[:, 0], y.float(), p[:, 1].exp()),
    "SoftMarginLoss": lambda p, y: nn.SoftMarginLoss()(p[:, 0], y.float() - 1),
    "MultiLabelSoftMarginLoss": lambda p, y: nn.MultiLabelSoftMarginLoss()(
        p, functional.one_hot(y, 3).float()
    ),
    "HingeEmbeddingLoss": lambda p, y: nn.HingeEmbeddingLoss()(p[:, 0], 2.0 * (y > 0) - 1),
    "TripletMarginLoss": lambda p, y: nn.TripletMarginLoss()(p, p.flip(0), p.roll(1, 0) + 1),
    "focal": lambda p, y: ops.sigmoid_focal_loss(p[:, 0], (y > 0).float(), reduction="mean"),
    "CTCLoss": lambda p, y: nn.CTCLoss()(
        p[:, None].log_softmax(-1), y[None, :1] % 2 + 1, torch.tensor([6]), torch.tensor([1])
    ),
}  # fmt: skip


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = ops.FeaturePyramidNetwork([8, 8], 8)

    def forward(self, x):
        return self.net({"fine": x, "coarse": functional.avg_pool2d(x, 2)})["fine"]


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        norm = lambda width: nn.LayerNorm(width, eps=1e-6)
        self.block = models.vision_transformer.EncoderBlock(2, 8, 16, 0.0, 0.0, norm)

    def forward(self, x):
        return self.block(x.flatten(2).mT).mT.unflatten(2, x.shape[2:])


class Deformed(nn.Module):
    def __init__(self):
        super().__init__()
        self.offset, self.conv = (
            nn.Conv2d(8, 18, 3, padding=1),
            ops.DeformConv2d(8, 8, 3, padding=1),
        )

    def forward(self, x):
        return self.conv(x, self.offset(x))


class Images:
    """Tasks of three classes of images with 3 channels and 12 pixels on a side."""

    device = torch.device("cpu")

    def to(self, device):
        return self

    def sample(self, tasks, shots, queries, *, generator=None):
        draw = lambda: torch.randn(tasks, 6, 3, 12, 12, generator=generator)
        labels = (torch.arange(6) % 3).repeat(tasks, 1)
        return TaskBatch(draw(), labels, draw(), labels)


def around(block):
    """Return a small network around a block of 8 channels and 6 by 6 pixels."""
    torch.manual_seed(0)
    ends = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    module = nn.Sequential(ends[0], nn.Tanh(), block(), nn.Tanh(), *ends[1:], nn.LazyLinear(3))
    with torch.no_grad():
        module(torch.zeros(2, 3, 12, 12))
    return module


def trial(block, loss):
    """Train one network three ways; return how that ended."""
    ends, notes = {}, []
    for name, mode in {
        "eager": {"compile": False},
        "looped": {"compile": False, "vectorize": False},
        "compiled": {"compile": True},
    }.items():
        module = around(block)
        before = {key: value.clone() for key, value in module.state_dict().items()}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                run = fit(
                    MAML(module, loss, lr=0.1), Images(), iterations=3, shots=3, queries=3,
                    tasks_per_batch=2, device="cpu", progress=False, **mode,
                )  # fmt: skip
            except (ValueError, TypeError, RuntimeError, IndexError) as error:
                assert str(error).startswith(("fit:", "MAML:")), error
                return {"refused": str(error)}
        notes += [f"{name}: {w.message}"[:300] for w in caught if "fit:" in str(w.message)]
        after = module.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before), "the module changed"
        ends[name] = torch.cat([value.flatten() for value in files.flatten(run.params).values()])
    scale = ends["eager"].abs().max()
    gaps = {n: ((ends[n] - ends["eager"]).abs().max() / scale).item() for n in ends}
    # Adam moves each weight by 1e-3 a step, whatever the size of its gradient, or its rounding.
    assert max(gaps.values()) < 2e-3, gaps
    return {"relative differences": gaps, "notes": notes}


@click.command()
@click.option("--seed", default=0, show_default=True)
@click.option("--count", default=10, show_default=True, help="Of blocks, and of losses.")
def main(seed, count):
    """Try blocks and losses drawn with a seed."""
    load, draw = load_average(), random.Random(seed)
    linear = lambda: nn.Conv2d(8, 8, 1)
    cases = {name: (BLOCKS[name], nn.CrossEntropyLoss()) for name in draw.sample([*BLOCKS], count)}
    cases |= {name: (linear, LOSSES[name]) for name in draw.sample([*LOSSES], count)}
    outcomes = {}
    for name, case in cases.items():
        outcomes[name] = trial(*case)
        click.echo(f"{name}: {outcomes[name]}")
    run = provenance(load, f"python -m tests.stress foreign --seed {seed} --count {count}")
    write(RESULTS, {"run": run, "outcomes": outcomes})
