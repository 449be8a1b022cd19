"""How good a learner is: its error or accuracy on new tasks, step by step, with an interval."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_leaves

from mamlkit import checks, devices
from mamlkit.learners.base import Learner
from mamlkit.learners.vmap import can_vectorize, count_fitting_tasks, vmap_tasks
from mamlkit.tasks.batch import TaskBatch, check_batch
from mamlkit.tasks.fewshot import accuracy
from mamlkit.training import distributed

TASKS_DRAWN_AT_ONCE = 50  # memory does not grow with the number of tasks
NUMBERS = 400_000  # in the inputs of tasks computed at once on a CPU: more fall out of its cache


@dataclass(repr=False)
class Evaluation:
    """The metric of every task at every number of adaptation steps.

    values: `[tasks, steps + 1]`, column s after s steps; column 0 is before any adaptation.
    """

    values: Float[Tensor, "tasks curve"]

    def __repr__(self) -> str:
        """Say the means with their intervals, before and after.

        >>> Evaluation(torch.tensor([[1.0, 0.4], [3.0, 0.6]]))
        Evaluation(2 tasks: 2.00 ± 1.96 after 0 steps, 0.50 ± 0.20 after 1)
        """
        tasks, curve = self.values.shape
        steps = sorted({1, curve - 1} & {*range(1, curve)})
        after = "".join(f", {self.format(step)} after {step}" for step in steps)
        return f"Evaluation({tasks} tasks: {self.format(0)} after 0 steps{after})"

    @property
    def mean(self) -> Float[Tensor, " curve"]:
        """The mean over tasks after 0, 1, ... steps."""
        return self.values.mean(0)

    @property
    def interval(self) -> Float[Tensor, " curve"]:
        """Half the width of the 95% interval of the mean: 1.96 σ/√tasks (Finn et al. 2017).

        It says how far other test tasks would move the mean, not how far another training run
        would.
        """
        return 1.96 * self.values.std(0) / len(self.values) ** 0.5

    def format(self, step: int, percent: bool = False) -> str:
        """Return the mean and its interval after `step` steps, as text.

        >>> Evaluation(torch.tensor([[1.0, 0.4], [3.0, 0.6]])).format(1)
        '0.50 ± 0.20'
        """
        mean, interval = self.mean[step].item(), self.interval[step].item()
        return (
            f"{100 * mean:.1f}% ± {100 * interval:.1f}"
            if percent
            else f"{mean:.2f} ± {interval:.2f}"
        )


def evaluate(
    learner: Learner,
    params: Any,
    distribution: Any,
    *,
    shots: int,
    queries: int,
    tasks: int = 600,
    steps: int = 10,
    seed: int = 0,
    metric: Callable[[Tensor, Tensor], Tensor] | None = None,
    transductive: bool = True,
    vectorize: bool | str = "auto",
) -> Evaluation:
    """Adapt to new tasks and measure after every step.

    learner: a `Learner`. params: its parameters, such as `run.params`; they stay as they are.
    distribution: draws the tasks. shots, queries: examples of a task (of each class).
    tasks: how many, drawn with `seed`: two learners given the same seed see the same tasks.
    steps: gradient steps; the result holds the metric after 0, 1, ... steps.
    metric: `(prediction, target) -> scalar`. By default accuracy where targets are whole numbers,
        the learner's loss otherwise.
    transductive: predict a task's whole query set at once. It matters only for modules with batch
        statistics, which then see the other queries. With False, each query is predicted beside
        the support set alone (Nichol et al. 2018, section 6.1), at the cost of a forward pass each.
    vectorize: as for `fit`.

    Dropout is off. Under `torchrun` all processes must call it; each adapts to its share of the
    tasks, and all get the whole result. Raises ValueError for parameters that are not the
    learner's, and for tasks with values that are not finite or on another device than params.

    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> sines = Sinusoids(device="cpu")
    >>> evaluate(maml, maml.init(), sines, shots=5, queries=10, tasks=20, steps=3).mean.shape
    torch.Size([4])
    """
    tasks = checks.check_int("evaluate", "tasks", tasks, low=2, hint="an interval needs several")
    steps = checks.check_int("evaluate", "steps", steps, low=0)
    shots = checks.check_int("evaluate", "shots", shots, low=1)
    queries = checks.check_int("evaluate", "queries", queries, low=1)
    what = "a Learner, such as MAML(...)"
    checks.check_has("evaluate", "learner", learner, what, "check_params")
    checks.check_has("evaluate", "distribution", distribution, "a task distribution", "sample")
    if metric is not None:
        checks.check_callable("evaluate", "metric", metric, "one of (prediction, target), or None")
    learner.check_params("evaluate", params)
    device = tree_leaves(params)[0].device
    source = getattr(distribution, "device", device)
    devices.check_same_device("evaluate", the_tasks=source, the_parameters=device)
    checks.check_choice("evaluate", "vectorize", vectorize, (True, False, "auto"))
    generator = devices.generator(seed, source)
    predict = _predict_together if transductive else _predict_apart

    def curve(task: TaskBatch) -> Tensor:
        measure = metric or (learner.loss if task.query_y.is_floating_point() else accuracy)
        path = learner.trajectory(params, task.support, steps)
        values = [measure(predict(learner, adapted, task), task.query_y) for adapted in path]
        return torch.stack([_number(value, device) for value in values])

    values = []
    with torch.no_grad(), learner.mode(training=False):
        for first in range(0, tasks, TASKS_DRAWN_AT_ONCE):
            count = min(TASKS_DRAWN_AT_ONCE, tasks - first)
            batch = distribution.sample(count, shots, queries, generator=generator)
            check_batch("evaluate", batch, count)
            if first == 0:
                learner.check_classes("evaluate", batch)
                curves = lambda batch, vectorize: vmap_tasks(
                    curve, learner.module, batch, vectorize
                )
                vectorize = can_vectorize("evaluate", curves, batch, vectorize)
            shard = TaskBatch(*map(distributed.shard, batch))
            size = count_fitting_tasks(shard, NUMBERS) if device.type == "cpu" else count
            parts = [
                vmap_tasks(curve, learner.module, part, vectorize).cpu()
                for part in shard.split(size)
            ]
            rows = torch.cat(parts) if parts else torch.zeros(0, steps + 1)
            values.append(distributed.all_gather(rows, count))
    return Evaluation(torch.cat(values))


def _number(value: Any, device: torch.device) -> Tensor:
    """Return what a metric has returned as a float, or raise."""
    value = torch.as_tensor(value, device=device)
    if value.ndim:
        raise ValueError(
            f"evaluate: metric must return one number, got a tensor of shape {[*value.shape]}; for "
            "example its mean"
        )
    return value if value.is_floating_point() else value.float()


def _predict_together(learner: Learner, adapted: Any, task: TaskBatch) -> Tensor:
    return learner.predict(adapted, task.query_x)


def _predict_apart(learner: Learner, adapted: Any, task: TaskBatch) -> Tensor:
    """Predict each query beside the support set alone."""
    beside_support = lambda query: torch.cat([task.support_x, query[None]])
    return torch.stack([learner.predict(adapted, beside_support(q))[-1] for q in task.query_x])
