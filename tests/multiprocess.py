"""What the processes of test_distributed.py run, under torchrun: train, evaluate, keep the results.

Arguments: a file for the results, how many tasks to a batch, and "eager", "compile", or "parts":
a network with convolutions, compiled, two tasks at a time.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from mamlkit import MAML, FewShot, OmniglotNetwork, SineNetwork, Sinusoids, evaluate, fit
from mamlkit.tasks.glyphs import glyphs
from mamlkit.training import distributed, step


def problem(mode):
    """A learner and its tasks."""
    torch.manual_seed(0)
    if mode != "parts":
        maml = MAML(SineNetwork(hidden=(8,)), torch.nn.functional.mse_loss, lr=0.01)
        return maml, Sinusoids(device="cpu")
    network = OmniglotNetwork(2, filters=4, norm="layer")
    step.MANY, step.PART = 1, 2 * 2 * (5 + 5) * 28 * 28  # numbers: of two tasks' images
    episodes = FewShot(glyphs(10, seed=1).images, ways=2, device="cpu")
    return MAML(network, torch.nn.functional.cross_entropy, lr=0.1), episodes


def main(out, tasks, mode):
    distributed.init("cpu")
    maml, distribution = problem(mode)
    settings = {"shots": 5, "queries": 5, "device": "cpu"}
    seen = []
    count = maml.outer_loss

    def outer_loss(params, task):
        """Counts tasks: `vmap` calls it once for all of them, which are in the unwrapped tensor."""
        seen.append(torch._C._functorch.get_unwrapped(task.support_x).shape[0])
        return count(params, task)

    if mode == "eager":
        maml.outer_loss = outer_loss
    # One step of size 1: start minus end is the meta-gradient.
    run = fit(
        maml, distribution, iterations=1, tasks_per_batch=tasks, compile=mode != "eager", seed=3,
        clip=1.0,
        optimizer=lambda leaves: torch.optim.SGD(leaves, lr=1.0), progress=False, **settings,
    )  # fmt: skip
    gradient = {name: value - run.params[name] for name, value in maml.init().items()}
    found = evaluate(maml, run.params, distribution, shots=5, queries=5, tasks=51, steps=2)
    share = torch.tensor(seen[-1:] or [0])
    results = {**gradient, "loss": run.history["loss"], "values": found.values.contiguous()}
    save_file({**results, "share": share}, out.with_suffix(f".{distributed.rank()}"))
    distributed.exit_process()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
