"""What is measured: the cases, who takes part in each, and the parameters and tasks they share."""

import importlib
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from benchmarks.peers.networks import OmniglotNetwork, SineNetwork, load
from mamlkit import FewShot, Sinusoids, TaskBatch, characters, glyphs
from mamlkit.devices import generator

OURS, FLOOR = "mamlkit", "arithmetic floor"


@dataclass(frozen=True)
class Case:
    """One table of the report.

    network: "sine" or "omniglot". size: tasks, shots and queries (of each class).
    contenders: name -> "module:class", the first being mamlkit.
    tolerance: how far, relatively, meta-gradients may lie apart.
    """

    name: str
    title: str
    network: str
    size: dict
    tolerance: float
    contenders: dict = field(repr=False)

    def specs(self, device="cpu"):
        """name -> arguments of `Worker`; beside the Omniglot network also its floor."""
        shared = {"size": self.size, "device": device}
        found = {
            name: {"target": target, "network": self.network, **shared}
            for name, target in self.contenders.items()
        }
        if self.network == "omniglot":
            found[FLOOR] = {"target": "benchmarks.floor:Floor", "network": "floor", **shared}
        return found


SINE = {
    OURS: "benchmarks.ours:Sine",
    "mamlkit, eager": "benchmarks.ours:SineEager",
    "JAX, lax.scan over 1,000 steps": "benchmarks.peers.jax_optax:SineScan",
    "JAX, jit per step": "benchmarks.peers.jax_optax:Sine",
    "torch.func, eager": "benchmarks.peers.torch_func:Sine",
    "parallel-metalearn": "benchmarks.peers.parallel_metalearn:Sine",
    "plain autograd, loop over tasks": "benchmarks.peers.plain_loop:Sine",
    "higher, loop over tasks": "benchmarks.peers.higher_loop:Sine",
}
OMNIGLOT = {
    OURS: "benchmarks.ours:Omniglot",
    "mamlkit, eager": "benchmarks.ours:OmniglotEager",
    "JAX, patches and matmul": "benchmarks.peers.jax_optax:OmniglotPatches",
    "JAX, convolution": "benchmarks.peers.jax_optax:Omniglot",
    "torch.func, eager": "benchmarks.peers.torch_func:Omniglot",
    "plain autograd, loop over tasks": "benchmarks.peers.plain_loop:Omniglot",
}
CASES = {
    case.name: case
    for case in (
        Case(
            name="sine",
            title="Sinusoid, 25 tasks of 10 + 10 points",
            network="sine",
            size={"tasks": 25, "shots": 10, "queries": 10},
            tolerance=1e-5,
            contenders=SINE,
        ),
        Case(
            name="omniglot",
            title="Omniglot 5-way 1-shot, 32 tasks of 5 + 5 images",
            network="omniglot",
            size={"tasks": 32, "shots": 1, "queries": 1},
            tolerance=1e-4,
            contenders=OMNIGLOT,
        ),
        Case(
            name="omniglot-75",
            title="Omniglot 5-way 1-shot, 32 tasks of 5 + 75 images",
            network="omniglot",
            size={"tasks": 32, "shots": 1, "queries": 15},
            tolerance=1e-4,
            contenders=OMNIGLOT,
        ),
    )
}
WAYS, INNER_STEP, MARGIN = 5, 0.4, 5e-6


def build(target, network, size, device="cpu", **options):
    """A contender, and the batch on which its meta-gradient is compared.

    target: "module:class". network, size: as in `Case`. options: more keywords of the class;
    `width`: of the sine network.
    """
    module, name = target.split(":")
    kind = getattr(importlib.import_module(module), name)
    if network == "floor":
        return kind(**size, device=device), None
    params = parameters(network, options.pop("width", 40), device)
    if network == "sine":
        return kind(params, **size, seed=1, **options), sines(size).to(device)
    batches = [batch.to(device) for batch in episodes(size)]
    return kind(params, batches, ways=WAYS, lr=INNER_STEP, **options), compared(size).to(device)


def parameters(network, width=40, device="cpu"):
    """The θ that everyone starts from. The Omniglot head is not zero, as it is in training: a
    zero head would hide the second derivatives of the body from the comparison."""
    torch.manual_seed(0)
    module = SineNetwork(width) if network == "sine" else OmniglotNetwork(WAYS)
    return {name: p.detach().to(device) for name, p in module.named_parameters()}


def sines(size):
    """One batch of sines."""
    return Sinusoids(device="cpu").sample(**size, generator=generator(2, "cpu"))


def episodes(size, count=4):
    """A few batches of Omniglot, or of invented characters where there is none: the time does not
    depend on the pixels."""
    try:
        images = characters("background", download=False).images[:200]
    except FileNotFoundError:
        images = glyphs(200).images
    few, seed = FewShot(images, WAYS, device="cpu"), generator(3, "cpu")
    return [few.sample(**size, generator=seed) for _ in range(count)]


def compared(size):
    """A batch on which float32 gradients can be compared at all.

    Of the five million activations of an ordinary batch, one is always so near to zero that
    rounding decides whether its ReLU is on, and that alone moves the meta-gradient by up to 1%. So
    this one has only tasks whose activations stay `MARGIN` away from zero. The more images, the
    rarer they are: 75 queries are the same 5, repeated.
    """
    tasks, shots, queries = size["tasks"], size["shots"], size["queries"]
    drawn = episodes({"tasks": 4 * tasks, "shots": shots, "queries": 1}, count=1)[0]
    network = load(OmniglotNetwork(WAYS), parameters("omniglot")).double()
    found = (i for i in range(4 * tasks) if _margin(network, drawn.task(i)) > MARGIN)
    chosen = drawn.task(list(islice(found, tasks)))
    assert len(chosen.support_x) == tasks
    query = (tensor.repeat_interleave(queries, dim=1) for tensor in chosen.query)
    return TaskBatch(*chosen.support, *query)


def _margin(network, task):
    """How far from zero the input of every ReLU stays, in support and query of one task."""
    nearest = []
    note = lambda module, inputs: nearest.append(inputs[0].detach().abs().min().item())
    relus = [m for m in network.modules() if isinstance(m, torch.nn.ReLU)]
    hooks = [relu.register_forward_pre_hook(note) for relu in relus]
    loss = cross_entropy(network(task.support_x.double()), task.support_y)
    params = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, list(params.values()))
    pairs = zip(params.items(), gradients, strict=True)
    adapted = {name: p.detach() - INNER_STEP * g for (name, p), g in pairs}
    with torch.no_grad():
        functional_call(network, adapted, (task.query_x.double(),))
    for hook in hooks:
        hook.remove()
    return min(nearest)
