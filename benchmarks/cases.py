"""What is measured: the cases, who takes part in each, and the parameters and tasks they share."""

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from benchmarks.peers.networks import OmniglotNetwork, SineNetwork, load
from mamlkit import FewShot, Sinusoids, TaskBatch, glyphs, omniglot
from mamlkit.devices import generator

MAMLKIT, FLOOR = "mamlkit", "arithmetic floor"
WAYS, INNER_LR, MARGIN = 5, 0.4, 5e-6
CONTENDERS = {  # network -> name -> "module:class", the first being mamlkit
    "sine": {
        MAMLKIT: "benchmarks.contender:Sine",
        "mamlkit, eager": "benchmarks.contender:SineEager",
        "JAX, lax.scan over 1,000 steps": "benchmarks.peers.jax_optax:SineScan",
        "JAX, jit per step": "benchmarks.peers.jax_optax:Sine",
        "torch.func, eager": "benchmarks.peers.torch_func:Sine",
        "parallel-metalearn": "benchmarks.peers.parallel_metalearn:Sine",
        "plain autograd, loop over tasks": "benchmarks.peers.plain_loop:Sine",
        "higher, loop over tasks": "benchmarks.peers.higher_loop:Sine",
    },
    "omniglot": {
        MAMLKIT: "benchmarks.contender:Omniglot",
        "mamlkit, eager": "benchmarks.contender:OmniglotEager",
        "JAX, patches and matmul": "benchmarks.peers.jax_optax:OmniglotPatches",
        "JAX, convolution": "benchmarks.peers.jax_optax:Omniglot",
        "torch.func, eager": "benchmarks.peers.torch_func:Omniglot",
        "plain autograd, loop over tasks": "benchmarks.peers.plain_loop:Omniglot",
    },
}


@dataclass(frozen=True)
class Case:
    """One table of the report.

    network: "sine" or "omniglot". size: tasks, shots and queries (of each class).
    tolerance: how far, relatively, meta-gradients may lie apart.
    """

    name: str
    title: str
    network: str
    size: dict
    tolerance: float

    def specs(self, device="cpu"):
        """Return name -> arguments of `Worker`; beside the Omniglot network also its floor."""
        shared = {"size": self.size, "device": device}
        specs = {
            name: {"target": target, "network": self.network, **shared}
            for name, target in CONTENDERS[self.network].items()
            if device == "cpu" or "jax" not in target or find_spec("jax_cuda13_plugin")
        }
        if self.network == "omniglot":
            specs[FLOOR] = {"target": "benchmarks.floor:Floor", "network": "floor", **shared}
        return specs


def _omniglot(name, queries):
    title = f"Omniglot 5-way 1-shot, 32 tasks of 5 + {5 * queries} images"
    return Case(name, title, "omniglot", {"tasks": 32, "shots": 1, "queries": queries}, 1e-4)


SINE = {"tasks": 25, "shots": 10, "queries": 10}
CASES = {
    "sine": Case("sine", "Sinusoid, 25 tasks of 10 + 10 points", "sine", SINE, 1e-5),
    "omniglot": _omniglot("omniglot", queries=1),
    "omniglot-75": _omniglot("omniglot-75", queries=15),
}


def build(target, network, size, device="cpu", **options):
    """Return a contender, and the batch on which its meta-gradient is compared.

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
    batch = comparable_batch(size).to(device)
    return kind(params, batches, ways=WAYS, lr=INNER_LR, **options), batch


def parameters(network, width=40, device="cpu"):
    """Return the θ that everyone starts from.

    The Omniglot head is not zero, as it is in training: a zero head would hide the second
    derivatives of the body from the comparison.
    """
    torch.manual_seed(0)
    module = SineNetwork(width) if network == "sine" else OmniglotNetwork(WAYS)
    return {name: p.detach().to(device) for name, p in module.named_parameters()}


def sines(size):
    """Draw one batch of sines."""
    return Sinusoids(device="cpu").sample(**size, generator=generator(2, "cpu"))


def episodes(size, count=4):
    """Draw a few batches of Omniglot, or of invented characters where there is none.

    The time does not depend on the pixels.
    """
    try:
        images = omniglot("background", download=False).images[:200]
    except FileNotFoundError:
        images = glyphs(200).images
    tasks, seed = FewShot(images, WAYS, device="cpu"), generator(3, "cpu")
    return [tasks.sample(**size, generator=seed) for _ in range(count)]


def comparable_batch(size):
    """Draw a batch on which float32 gradients can be compared at all.

    Of the five million activations of an ordinary batch, one is always so near to zero that
    rounding decides whether its ReLU is on, and that alone moves the meta-gradient by up to 1%. So
    this one has only tasks whose activations stay `MARGIN` away from zero. The more images, the
    rarer they are: 75 queries are the same 5, repeated.
    """
    tasks, shots, queries = size["tasks"], size["shots"], size["queries"]
    batch = episodes({"tasks": 4 * tasks, "shots": shots, "queries": 1}, count=1)[0]
    network = load(OmniglotNetwork(WAYS), parameters("omniglot")).double()
    clear = (i for i in range(4 * tasks) if _margin(network, batch.task(i)) > MARGIN)
    chosen = batch.task(list(islice(clear, tasks)))
    assert len(chosen.support_x) == tasks
    query = (tensor.repeat_interleave(queries, dim=1) for tensor in chosen.query)
    return TaskBatch(*chosen.support, *query)


def _margin(network, task):
    """Return how far from zero the input of every ReLU stays, in support and query of one task."""
    nearest = []
    note = lambda module, inputs: nearest.append(inputs[0].detach().abs().min().item())
    relus = [m for m in network.modules() if isinstance(m, torch.nn.ReLU)]
    hooks = [relu.register_forward_pre_hook(note) for relu in relus]
    loss = cross_entropy(network(task.support_x.double()), task.support_y)
    params = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, list(params.values()))
    pairs = zip(params.items(), gradients, strict=True)
    adapted = {name: p.detach() - INNER_LR * g for (name, p), g in pairs}
    with torch.no_grad():
        functional_call(network, adapted, (task.query_x.double(),))
    for hook in hooks:
        hook.remove()
    return min(nearest)
