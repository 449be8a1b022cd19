"""`python -m experiments.imaml`: iMAML on sines, damped like its authors, or not (notebook 09).

Beside them the same inner loop with the plain gradient at its end, which is first order. Four
hundred iterations from three seeds each, about six minutes; tested on 600 waves after the 16
steps it was trained with. Also how far its assumptions hold: whether the inner loop has come to
rest, how well five conjugate gradients solve their equation, and the cosine of the angle between
what they find and the plain gradient, all on 25 fresh tasks.
"""

from pathlib import Path

import torch
from torch.func import grad
from torch.nn.functional import mse_loss

from benchmarks.records import load_average, provenance, write
from mamlkit import ImplicitMAML, SineNetwork, Sinusoids, evaluate, fit
from mamlkit.learners.imaml import conjugate_gradients

RESULTS = Path(__file__).parent / "results" / "imaml.json"
KINDS = {  # damping: what is added to I and to λ; a λ without bound leaves half the plain gradient
    "damped": (1.0, 10.0),
    "undamped": (0.0, 0.0),
    "first order": (1.0, 1e9),
}


def norm(tree):
    return torch.cat([value.flatten() for value in tree.values()]).norm()


def assumptions(learner, params, task):
    """How much gradient is left at the end; the residual of the equation; a cosine."""
    slope = lambda p: grad(learner.task_loss)(p, *task.support)
    *_, phi = learner.inner_loop(params, task.support, learner.steps, True)
    phi = {name: value.detach() for name, value in phi.items()}
    pulled = {n: g + learner.strength * (phi[n] - params[n]) for n, g in slope(phi).items()}
    product, b = learner.equation(phi, task.support), grad(learner.task_loss)(phi, *task.query)
    solution = conjugate_gradients(product, b, learner.iterations)
    solved = product(solution)
    residual = norm({n: solved[n] - b[n] for n in b}) / norm(b)
    cosine = sum((solution[n] * b[n]).sum() for n in b) / norm(solution) / norm(b)
    return float(norm(pulled) / norm(slope(params))), float(residual), float(cosine)


def measure(kind, seed):
    """Train; return errors before and after the inner loop, and the assumptions."""
    torch.manual_seed(seed)
    sines, damping = Sinusoids(device="cpu"), KINDS[kind]
    learner = ImplicitMAML(SineNetwork(), mse_loss, lr=0.01, damping=damping)
    run = fit(learner, sines, iterations=400, shots=5, queries=5, seed=seed, device="cpu",
              compile=False, max_skipped=10, progress=False)  # fmt: skip
    row = {"kind": kind, "damping": damping, "seed": seed}
    for name, params in (("fresh", learner.init()), ("trained", run.params)):
        mean = evaluate(learner, params, sines, shots=5, queries=100, steps=16, seed=1).mean
        row[name] = {"before": round(float(mean[0]), 2), "after": round(float(mean[16]), 2)}
        batch = sines.sample(25, shots=5, queries=5)
        found = torch.tensor([assumptions(learner, params, batch.task(i)) for i in range(25)])
        rest, residual, cosine = found.mean(0).tolist()
        row[name]["gradient at the end / at the start"] = round(rest, 2)
        row[name]["residual of the equation"] = round(residual, 2)
        row[name]["cosine to the plain gradient"] = round(cosine, 3)
    return row


def main():
    """Train all kinds from three seeds."""
    torch.set_num_threads(1)
    rows = []
    for kind in KINDS:
        for seed in range(3):
            rows.append(measure(kind, seed))
            print(rows[-1], flush=True)
    write(RESULTS, {"run": provenance(load_average(), "python -m experiments.imaml"), "rows": rows})


if __name__ == "__main__":
    main()
