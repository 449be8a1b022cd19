"""`python -m experiments.step_sizes`: what Meta-SGD gains, and what for (notebook 09).

On the protocol of `experiments.variants` (sines, 5 points, 20,000 iterations), step sizes that are
fixed, one that is learned for all weights, one for every weight (Meta-SGD), and the same kept at or
above zero in two ways. Every method may begin from three step sizes: seed 0 tries all of them,
600 validation waves choose by the error after one step, and two more seeds train with the choice.
The test waves are others. About fifteen minutes of one idle core; what is in the file is not
repeated.
"""

from functools import partial
from pathlib import Path

import torch
from torch.nn.functional import mse_loss

from benchmarks.records import load_average, provenance, read, write
from mamlkit import MAML, MetaSGD, SineNetwork, Sinusoids, evaluate, fit
from mamlkit.learners.base import MetaParams

RESULTS = Path(__file__).parent / "results" / "step_sizes.json"
TRIES, SEEDS = (0.003, 0.01, 0.03), (0, 1, 2)


class OneStepSize(MetaSGD):
    """MAML with a single step size that is meta-learned."""

    def init(self):
        """Copy the module's parameters; one number goes beside them."""
        weights = MAML.init(self)
        return MetaParams(weights, {"all": torch.tensor(self.lr)})

    def inner_lr(self, params, step):
        """Return that number for every parameter."""
        return dict.fromkeys(params.weights, params.lr["all"])


class Absolute(MetaSGD):
    """Meta-SGD whose step sizes are |a|: on the scale of Meta-SGD's own, and never negative."""

    def inner_lr(self, params, step):
        """Return |a|."""
        return {name: a.abs() for name, a in params.lr.items()}


class Exponential(MetaSGD):
    """Meta-SGD whose step sizes are exp(a): always positive, changed by factors."""

    def init(self):
        """Make a the logarithm of the first step size."""
        weights, lr = super().init()
        return MetaParams(weights, {name: a.log() for name, a in lr.items()})

    def inner_lr(self, params, step):
        """Return exp(a)."""
        return {name: a.exp() for name, a in params.lr.items()}


METHODS = {
    "MAML, fixed": MAML,
    "MAML, one learned": OneStepSize,
    "Meta-SGD": MetaSGD,
    "Meta-SGD, |a|": Absolute,
    "Meta-SGD, exp(a)": Exponential,
}


def train(kind, lr, seed):
    """Train one network; return its errors after 0, 1 and 10 steps, and what its sizes are."""
    torch.manual_seed(seed)
    learner, waves = kind(SineNetwork(), mse_loss, lr=lr), Sinusoids(device="cpu")
    adam = partial(torch.optim.Adam, lr=1e-3)
    run = fit(learner, waves, iterations=20_000, shots=5, queries=5, optimizer=adam, seed=seed,
              compile=True, device="cpu", progress=False)  # fmt: skip
    row = {"first step size": lr, "seed": seed}
    for name, test_seed in (("validation", 7), ("test", 1_000_000)):
        test = evaluate(learner, run.params, waves, shots=5, queries=100, seed=test_seed)
        ends = test.mean[[0, 1, 10]].tolist()
        row[name] = [round(v, 4) if v < 1e4 else None for v in ends]
    if kind is not MAML:
        sizes = torch.cat([a.flatten() for a in learner.inner_lr(run.params, 0).values()])
        row["negative, %"] = round(100 * float((sizes < 0).float().mean()), 1)
        row["below a tenth of the first, %"] = round(
            100 * float((sizes.abs() < lr / 10).float().mean()), 1
        )
        row["largest"] = round(float(sizes.max()), 4)
    return row


def chosen(rows):
    """The first step size with the least validation error after one step, among seed 0's."""
    tries = [row for row in rows if row["seed"] == 0]
    return min(tries, key=lambda row: row["validation"][1])["first step size"]


def main():
    """Train what is not in the file yet, the first seed of every method first."""
    torch.set_num_threads(1)
    results = read(RESULTS, {"methods": {name: {"rows": []} for name in METHODS}})
    results["run"] = provenance(load_average(), "python -m experiments.step_sizes")
    for seed in SEEDS:
        for name, kind in METHODS.items():
            rows = results["methods"][name]["rows"]
            for lr in TRIES if seed == 0 else [chosen(rows)]:
                if any((row["first step size"], row["seed"]) == (lr, seed) for row in rows):
                    continue
                rows.append(train(kind, lr, seed))
                results["methods"][name]["chosen"] = chosen(rows)
                write(RESULTS, results)
                print(name, rows[-1], flush=True)


if __name__ == "__main__":
    main()
