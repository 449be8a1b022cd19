"""`python -m benchmarks.several`: the Omniglot meta-step on 1, 2 and 4 processes of one machine.

Each process has one thread. For each number of processes: seconds a step and tasks of each process,
the share of a step that goes to adding gradients up (the reduction itself, and waiting for the
slowest), and how far the meta-gradient is from that of one process. several.json keeps the figures.
More processes than cores show that the numbers stay the same, not that they come sooner.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from benchmarks.__main__ import run as made_with
from mamlkit import MAML, FewShot, OmniglotNetwork, files, glyphs, processes
from mamlkit.training.step import MetaStep

RESULTS = Path(__file__).parent / "several.json"
TASKS, WARM, STEPS = 32, 2, 12


def work(folder):
    """What each process does: steps, timed from inside."""
    processes.begin("cpu")
    torch.manual_seed(0)
    maml = MAML(OmniglotNetwork(ways=5), cross_entropy, lr=0.4)
    episodes = FewShot(glyphs(40, seed=1).images, ways=5, device="cpu")
    generator = torch.Generator().manual_seed(0)
    sgd = lambda leaves: torch.optim.SGD(leaves, lr=0.1)
    step = MetaStep(maml, maml.init(), sgd, compile=True)
    spent = {"wait": [], "reduce": [], "step": []}
    added = processes.added

    def timed(tensors):
        begun = time.perf_counter()
        processes.wait()
        met = time.perf_counter()
        found = added(tensors)
        spent["wait"].append(met - begun)
        spent["reduce"].append(time.perf_counter() - met)
        return found

    processes.added = timed
    for number in range(WARM + STEPS):
        batch = episodes.sample(TASKS, shots=1, queries=5, generator=generator)
        processes.wait()
        begun = time.perf_counter()
        step(batch)
        spent["step"].append(time.perf_counter() - begun)
        if number == 0:
            first = {name: value.clone() for name, value in step.params.items()}
    mine = len(processes.mine(batch.support_x))
    # One process adds nothing up: its step is one compiled program.
    facts = {name: median(times[WARM:] or [0.0]) for name, times in spent.items()}
    facts["tasks"] = mine
    (folder / f"{processes.rank()}.json").write_text(json.dumps(facts))
    if processes.first():
        save_file(first, folder / "params.safetensors")
    processes.leave()


def measured(count):
    """The figures of so many processes, and the parameters after one step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}",
                   "-m", "benchmarks.several", "--worker", folder]  # fmt: skip
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        facts = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(count)]
        params = load_file(Path(folder, "params.safetensors"))
    step = max(f["step"] for f in facts)
    row = {
        "processes": count,
        "tasks of each": [f["tasks"] for f in facts],
        "ms a step": round(1000 * step, 1),
        "reduction, % of a step": round(100 * max(f["reduce"] for f in facts) / step, 2),
        "waiting for the slowest, %": round(100 * max(f["wait"] for f in facts) / step, 2),
    }
    return row, params


@click.command()
@click.option("--worker", type=click.Path(path_type=Path), hidden=True)
def main(worker):
    """Measure 1, 2 and 4 processes and keep the figures."""
    if worker:
        return work(worker)
    load, rows, alone = os.getloadavg()[0], [], None
    for count in (1, 2, 4):
        row, params = measured(count)
        alone = alone or params
        size = max(value.abs().max() for value in alone.values())
        far = max((params[name] - value).abs().max() for name, value in alone.items())
        rows.append(row | {"apart from one process, relative": float(far / size)})
        click.echo(rows[-1])
    facts = {"rows": rows, "run": made_with(load) | {"command": "python -m benchmarks.several"}}
    files.write_whole(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())
    return None


if __name__ == "__main__":
    main()
