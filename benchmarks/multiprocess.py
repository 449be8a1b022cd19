"""`python -m benchmarks.multiprocess`: the Omniglot meta-step on 1, 2 and 4 processes.

All on one machine, each process with one thread. For each number of processes: seconds a step and
tasks of each process, the share of a step that goes to adding gradients up (the reduction itself,
and waiting for the slowest), and how far the meta-gradient is from that of one process.
multiprocess.json keeps the figures. More processes than cores show that the numbers stay the same,
not that they come sooner.
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

from benchmarks.records import load_average, provenance, write
from mamlkit import MAML, FewShot, MetaStep, OmniglotNetwork, glyphs
from mamlkit.training import distributed

RESULTS = Path(__file__).parent / "multiprocess.json"
COMMAND = "python -m benchmarks.multiprocess"
TASKS, WARM, STEPS = 32, 2, 12


def work(folder):
    """Take steps, in each process, and time them from inside."""
    distributed.init("cpu")
    torch.manual_seed(0)
    maml = MAML(OmniglotNetwork(ways=5), cross_entropy, lr=0.4)
    episodes = FewShot(glyphs(40, seed=1).images, ways=5, device="cpu")
    generator = torch.Generator().manual_seed(0)
    sgd = lambda leaves: torch.optim.SGD(leaves, lr=0.1)
    step = MetaStep(maml, maml.init(), sgd, compile=True)
    seconds = {"wait": [], "reduce": [], "step": []}
    all_reduce = distributed.all_reduce

    def timed(tensors):
        start = time.perf_counter()
        distributed.barrier()
        met = time.perf_counter()
        sums = all_reduce(tensors)
        seconds["wait"].append(met - start)
        seconds["reduce"].append(time.perf_counter() - met)
        return sums

    distributed.all_reduce = timed
    for number in range(WARM + STEPS):
        batch = episodes.sample(TASKS, shots=1, queries=5, generator=generator)
        distributed.barrier()
        start = time.perf_counter()
        step(batch)
        seconds["step"].append(time.perf_counter() - start)
        if number == 0:
            first = {name: value.clone() for name, value in step.params.items()}
    # One process adds nothing up: its step is one compiled program.
    row = {name: median(times[WARM:] or [0.0]) for name, times in seconds.items()}
    row["tasks"] = len(distributed.shard(batch.support_x))
    (folder / f"{distributed.rank()}.json").write_text(json.dumps(row), encoding="utf8")
    if distributed.is_main_process():
        save_file(first, folder / "params.safetensors")
    distributed.exit_process()


def measure(count):
    """Return the figures of so many processes, and the parameters after one step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}"]
        command += ["-m", "benchmarks.multiprocess", "--worker", name]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        texts = [(folder / f"{rank}.json").read_text(encoding="utf8") for rank in range(count)]
        params = load_file(folder / "params.safetensors")
    workers = [json.loads(text) for text in texts]
    step, wait, reduce = (max(w[part] for w in workers) for part in ("step", "wait", "reduce"))
    row = {
        "processes": count,
        "tasks of each": [w["tasks"] for w in workers],
        "ms a step": round(1000 * step, 1),
        "reduction, % of a step": round(100 * reduce / step, 2),
        "waiting for the slowest, %": round(100 * wait / step, 2),
    }
    return row, params


@click.command()
@click.option("--worker", type=click.Path(path_type=Path), hidden=True)
def main(worker):
    """Measure 1, 2 and 4 processes and keep the figures."""
    if worker:
        work(worker)
        return
    load, rows, alone = load_average(), [], None
    for count in (1, 2, 4):
        row, params = measure(count)
        alone = alone or params
        size = max(value.abs().max() for value in alone.values())
        distance = max((params[name] - value).abs().max() for name, value in alone.items())
        rows.append(row | {"apart from one process, relative": float(distance / size)})
        click.echo(rows[-1])
    write(RESULTS, {"rows": rows, "run": provenance(load, COMMAND)})


if __name__ == "__main__":
    main()
