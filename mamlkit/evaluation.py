"""How good a learner is: its error or accuracy on new tasks, step by step, with an interval."""

from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mamlkit import devices, processes, require
from mamlkit.learners.batching import at_once, over_tasks
from mamlkit.tasks.fewshot import accuracy

CHUNK = 50  # tasks drawn at once: memory does not grow with the number of tasks
NUMBERS = 400_000  # in the inputs of tasks computed at once on a CPU: more fall out of its cache


@dataclass
class Evaluation:
    """The metric of every task at every number of adaptation steps.

    values: `[tasks, steps + 1]`, column s after s steps; column 0 is before any adaptation.
    """

    values: Float[Tensor, "tasks curve"] = field(repr=False)

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

    def at(self, step, percent=False):
        """The mean and its interval after `step` steps, as text.

        >>> Evaluation(torch.tensor([[1.0, 0.4], [3.0, 0.6]])).at(1)
        '0.50 ± 0.20'
        """
        mean, interval = self.mean[step].item(), self.interval[step].item()
        return (
            f"{100 * mean:.1f}% ± {100 * interval:.1f}"
            if percent
            else f"{mean:.2f} ± {interval:.2f}"
        )


def evaluate(
    learner,
    params,
    distribution,
    *,
    shots,
    queries,
    tasks=600,
    steps=10,
    seed=0,
    metric=None,
    transductive=True,
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

    Dropout is off. Under `torchrun` all processes must call it; each adapts to its share of the
    tasks, and all get the whole result. Raises ValueError for parameters that are not the
    learner's, and for tasks with values that are not finite or on another device than params.

    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> sines = Sinusoids(device="cpu")
    >>> evaluate(maml, maml.init(), sines, shots=5, queries=10, tasks=20, steps=3).mean.shape
    torch.Size([4])
    """
    tasks = require.whole("evaluate", "tasks", tasks, least=2, hint="an interval needs several")
    steps = require.whole("evaluate", "steps", steps, least=0)
    require.having("evaluate", "learner", learner, "a Learner, such as MAML(...)", "check")
    require.having("evaluate", "distribution", distribution, "a task distribution", "sample")
    if metric is not None:
        require.function("evaluate", "metric", metric, "one of (prediction, target), or None")
    learner.check("evaluate", params)
    at = next(iter(params.values())).device
    source = getattr(distribution, "device", at)
    devices.same("evaluate", the_tasks=source, the_parameters=at)
    generator = devices.generator(seed, source)
    predict = _together if transductive else _apart

    def curve(task):
        measure = metric or (learner.loss if task.query_y.is_floating_point() else accuracy)
        return torch.stack(
            [
                measure(predict(learner, adapted, task), task.query_y)
                for adapted in learner.trajectory(params, task.support, steps)
            ]
        )

    values = None  # filled in place: results kept in small pieces would hold the memory around them
    with torch.no_grad(), learner.mode(training=False):
        for first in range(0, tasks, CHUNK):
            asked = min(CHUNK, tasks - first)
            batch = distribution.sample(asked, shots, queries, generator=generator)
            for name, tensor in batch._asdict().items():
                require.finite("evaluate", name, tensor, hint="clean the data first")
            drawn = len(batch.support_x)
            if drawn != asked:
                raise ValueError(
                    f"evaluate: the distribution drew {drawn} tasks where {asked} were asked for; "
                    "its sample(tasks, ...) must return as many"
                )
            if processes.together():
                batch = type(batch)(*map(processes.mine, batch))
            parts = batch.split(at_once(batch, NUMBERS) if at.type == "cpu" else CHUNK)
            found = [over_tasks(curve, learner.module, part).cpu() for part in parts]
            mine = torch.cat(found) if found else torch.zeros(0, steps + 1)
            rows = processes.gathered(mine, drawn)
            values = rows.new_zeros(tasks, *rows.shape[1:]) if values is None else values
            values[first : first + drawn] = rows
    devices.release_memory()
    return Evaluation(values)


def _together(learner, adapted, task):
    return learner.predict(adapted, task.query_x)


def _apart(learner, adapted, task):
    one = partial(_beside_support, learner, adapted, task.support_x)
    return torch.stack([one(query) for query in task.query_x])


def _beside_support(learner, adapted, support_x, query):
    return learner.predict(adapted, torch.cat([support_x, query[None]]))[-1]
