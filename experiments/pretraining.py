"""`python -m experiments.pretraining`: how training decides what fine-tuning does (notebook 01).

The same pretraining on all sines, with different lengths, schedules and numbers of query points;
then ten gradient steps on five points. One seed, about three minutes.
"""

from pathlib import Path

import torch
from torch.nn.functional import mse_loss

from benchmarks.records import load_average, provenance, write
from mamlkit import MAML, SineNetwork, Sinusoids, evaluate, fit

RESULTS = Path(__file__).parent / "results" / "pretraining.json"
CASES = [(4000, "cosine", 20), (4000, None, 20), (4000, None, 5), (20_000, "cosine", 20)]
CASES.append((20_000, None, 5))


def main():
    """Train each case, fine-tune it with steps of 0.001 and of 0.01."""
    torch.set_num_threads(1)
    sines, rows = Sinusoids(device="cpu"), []
    for iterations, schedule, queries in CASES:
        torch.manual_seed(0)
        learner = MAML(SineNetwork(), mse_loss, lr=0.01, steps=0)
        run = fit(learner, sines, iterations=iterations, shots=5, queries=queries,
                  schedule=schedule, device="cpu", compile=True, progress=False)  # fmt: skip
        row = {"iterations": iterations, "schedule": schedule or "constant", "queries": queries}
        for size in (0.001, 0.01):
            slow = MAML(learner.module, mse_loss, lr=size)
            mean = evaluate(slow, run.params, sines, shots=5, queries=100, seed=1).mean
            row[f"error after 0, 1, 10 steps of {size}"] = [
                round(v, 3) for v in mean[[0, 1, 10]].tolist()
            ]
        rows.append(row)
        print(row, flush=True)
    run = provenance(load_average(), "python -m experiments.pretraining")
    write(RESULTS, {"run": run, "rows": rows})


if __name__ == "__main__":
    main()
