"""What every learner is: a module, a loss, and a way to adapt parameters to a support set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mamlkit import checks, files
from mamlkit.learners.adapt import Params
from mamlkit.tasks.batch import IGNORED, TaskBatch


class MetaParams(NamedTuple):
    """Meta-learned weights with meta-learned step sizes beside them.

    weights: the initial weights θ by name.
    lr: the step sizes α by the name of the parameter that they move.
    """

    weights: Params
    lr: Params


class Learner:
    """A way to learn from a support set, around any `nn.Module` and any loss.

    module: maps x `[points, ...]` to predictions `[points, ...]`. Its trainable parameters are
        what is meta-learned; frozen ones and buffers stay as they are. Nothing of it
        changes but the device it is on.
    loss: `(prediction, target) -> scalar`, averaged over points, such as
        `torch.nn.functional.mse_loss` or `cross_entropy`.

    A subclass says in `adapt` how parameters move; `outer_loss` and `trajectory` follow. What is
    meta-learned, here called params, is a dict of tensors, or a `MetaParams`.
    """

    estimates_gradient = False  # whether the outer gradient is an estimate of another value's

    def __init__(self, module: nn.Module, loss: Callable[..., Tensor]) -> None:
        kind = type(self).__name__
        self.module = checks.check_module(kind, "module", module, "for example SineNetwork()")
        self.loss = checks.check_callable(kind, "loss", loss, "for example torch's mse_loss")
        first_names = {id(parameter): name for name, parameter in module.named_parameters()}
        aliases = module.named_parameters(remove_duplicate=False)
        self._first_names = {alias: first_names[id(parameter)] for alias, parameter in aliases}
        _refuse_running_statistics(self)
        for name, parameter in module.named_parameters():
            if isinstance(parameter, nn.parameter.UninitializedParameter):
                raise ValueError(
                    f"{kind}: {name!r} of a lazy layer has no shape yet; call the module once on "
                    "points of the right shape before it is handed over"
                )
            if parameter.is_complex():
                raise ValueError(f"{kind}: {name!r} is complex; use its real and imaginary parts")
        if not files.flatten(self.init()):
            raise ValueError(
                f"{kind}: the module has no trainable parameter, so there is nothing to adapt; set "
                "requires_grad_(True) on some"
            )

    def settings(self) -> dict[str, Any]:
        """Return what must be equal for a run of this learner to go on, as plain values."""
        hidden = {"module", "loss", "activation_checkpointing"}  # the last changes only the cost
        own = {k: v for k, v in vars(self).items() if k not in hidden and not k.startswith("_")}
        layers = {
            name: f"{type(layer).__name__}({layer.extra_repr()})"
            for name, layer in self.module.named_modules()
        }
        loss = checks.describe_function(self.loss)
        return {"learner": type(self).__name__, "loss": loss, **own, "module": layers}

    def __repr__(self) -> str:
        settings = self.settings()
        own = ", ".join(f"{k}={v!r}" for k, v in settings.items() if k not in ("learner", "module"))
        return f"{settings['learner']}({type(self.module).__name__}, {own})"

    def init(self) -> Any:
        """Copy the module's own trainable parameters: where meta-training starts.

        Returns a dict of tensors. Tied parameters appear once.
        """
        return {
            name: parameter.detach().clone()
            for name, parameter in self.module.named_parameters()
            if parameter.requires_grad
        }

    @contextmanager
    def mode(self, *, training: bool) -> Iterator[None]:
        """Put the module in training or evaluation mode (dropout) within this context.

        After it, attributes that a forward pass set are what they were, too.
        """
        before = {layer: vars(layer).copy() for layer in self.module.modules()}
        fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # of attention; it knows no vmap
        self.module.train(training)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for layer, attributes in before.items():
                vars(layer).clear()
                vars(layer).update(attributes)

    def check_params(self, caller: str, params: Any) -> None:
        """Raise unless these are parameters of this learner: the same names and shapes."""
        hint = "start from learner.init() or from a run of the same module"
        own = self.init()
        if not isinstance(params, type(own)):
            what = f"a {type(own).__name__}, got {checks.describe(params)}"
            raise TypeError(f"{caller}: params must be {what}; {hint}")
        checks.check_float_tensors(caller, "params", params, hint)
        shapes = lambda tree: {n: tuple(value.shape) for n, value in files.flatten(tree).items()}
        wanted, actual = shapes(own), shapes(params)
        if wanted != actual:
            union = wanted | actual
            wrong = min(name for name in union if wanted.get(name) != actual.get(name))
            raise ValueError(
                f"{caller}: these parameters are not the learner's: {wrong!r} should be "
                f"{wanted.get(wrong, 'absent')}, is {actual.get(wrong, 'absent')}; {hint}"
            )

    def check_classes(self, caller: str, batch: TaskBatch) -> None:
        """Raise for tasks of other classes than a learner that is told its `ways` is for."""
        ways, labels = getattr(self, "ways", None), batch.support_y
        if ways is None or labels.is_floating_point():
            return
        classes = labels[labels != IGNORED].unique().tolist()
        if classes and classes != [*range(ways)]:
            kind = type(self).__name__
            raise ValueError(
                f"{caller}: {kind}(..., ways={ways}) needs labels 0 to {ways - 1} in the support "
                f"sets, these have {classes[0]} to {classes[-1]}, {len(classes)} in all; number "
                f"classes from 0, and make one {kind} for each number of ways: all share params"
            )

    def predict(self, adapted: Params, x: Tensor) -> Tensor:
        """Return the module's output for x `[points, ...]` with these parameters."""
        return self.call(adapted, x)

    def call(self, params: Params, *inputs: Any, part: str = "") -> Any:
        """Return what the module makes of inputs with these parameters.

        Buffers are as the module has them, in every call: what a forward pass makes of them is
        gone after it, and does not go from task to task.

        params: by their names in the whole module. part: a submodule that is called in its place,
            such as "body".
        """
        module = self.module.get_submodule(part)
        if part:
            names = self._first_names.items()  # a tied parameter's own may be another part's
            own = {a: n for a, n in names if a.startswith(f"{part}.") and n in params}
            params = {alias.removeprefix(f"{part}."): params[name] for alias, name in own.items()}
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        return functional_call(module, {**buffers, **params}, inputs)

    def task_loss(self, params: Params, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of these parameters on one set of points, a scalar."""
        return self.loss(self.predict(params, x), y)

    def stage(self, progress: float) -> tuple["Learner", dict[str, Tensor]]:
        """Return who trains when this share of a run is done (0 to 1), and with which extras.

        Extras are tensors that change as training goes on, passed to `outer_loss` as keywords;
        they get no gradient. Here: this learner throughout, and none.
        """
        return self, {}

    def adapt(self, params: Any, support: tuple[Tensor, Tensor]) -> Any:
        """Return the parameters adapted to one task's support set `(x, y)`, differentiable."""
        raise NotImplementedError

    def trajectory(self, params: Any, support: tuple[Tensor, Tensor], steps: int) -> Iterator[Any]:
        """Yield the adapted parameters after 0, 1, ... `steps` steps of adaptation.

        Here: the same at every count, for learners that take no steps.
        """
        adapted = self.adapt(params, support)
        yield from [adapted] * (steps + 1)

    def outer_loss(self, params: Any, task: TaskBatch) -> Tensor:
        """Return the loss on a task's query set after adapting to its support set.

        One task's share of the meta-objective (Finn et al. 2017, equation 1), a scalar.
        """
        return self.task_loss(self.adapt(params, task.support), *task.query)


def _refuse_running_statistics(learner: Learner) -> None:
    for name, layer in learner.module.named_modules():
        # torchvision's FrozenBatchNorm2d has a mean that does not run, and no flag.
        runs = hasattr(layer, "track_running_stats")
        if runs and getattr(layer, "running_mean", None) is not None:
            kind = type(layer).__name__
            raise ValueError(
                f"{type(learner).__name__}: {kind} '{name}' keeps running statistics, which would "
                "mix the tasks and leak from one to the next. Use "
                f"{kind}({layer.num_features}, track_running_stats=False) for the statistics of "
                "each batch, as the paper does (torch.func.replace_all_batch_norm_modules_(module) "
                "makes that of all layers whose flag is still True), or nn.GroupNorm"
            )
