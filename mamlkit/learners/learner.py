"""What every learner is: a module, a loss, and a way to adapt parameters to a support set."""

from contextlib import contextmanager

from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from mamlkit import require


class Learner:
    """A way to learn from a support set, around any `nn.Module` and any loss.

    module: maps x `[points, ...]` to predictions `[points, ...]`. Its trainable parameters are
        what is meta-learned; frozen ones and buffers stay as they are. Nothing of it
        changes but the device it is on.
    loss: `(prediction, target) -> scalar`, averaged over points, such as
        `torch.nn.functional.mse_loss` or `cross_entropy`.

    A subclass says in `adapt` and `trajectory` how parameters move; `outer_loss` follows.
    """

    def __init__(self, module, loss):
        kind = type(self).__name__
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{kind}: module must be an nn.Module, got {require.shown(module)}; for example "
                "SineNetwork()"
            )
        self.module = module
        self.loss = require.function(kind, "loss", loss, "for example torch's mse_loss")
        _refuse_running_statistics(self)
        if not self.init():
            raise ValueError(
                f"{type(self).__name__}: the module has no trainable parameter, so there is "
                "nothing to adapt; set requires_grad_(True) on some"
            )

    def init(self):
        """The module's own trainable parameters, copied: where meta-training starts.

        Returns a dict of tensors. Tied parameters appear once.
        """
        return {
            name: parameter.detach().clone()
            for name, parameter in self.module.named_parameters()
            if parameter.requires_grad
        }

    @contextmanager
    def mode(self, *, training):
        """Within this context the module is in training or in evaluation mode (dropout)."""
        before = {layer: layer.training for layer in self.module.modules()}
        self.module.train(training)
        try:
            yield
        finally:
            for layer, mode in before.items():
                layer.training = mode

    def check(self, caller, params):
        """Raise unless these are parameters of this learner: the same names and shapes."""
        hint = "start from learner.init() or from a run of the same module"
        if not isinstance(params, dict):
            raise TypeError(f"{caller}: params must be a dict, got {require.shown(params)}; {hint}")
        require.descendable(caller, "params", params, hint)
        own = {name: tuple(value.shape) for name, value in self.init().items()}
        found = {name: tuple(value.shape) for name, value in params.items()}
        if own != found:
            wrong = sorted(name for name in own | found if own.get(name) != found.get(name))
            raise ValueError(
                f"{caller}: these parameters are not the learner's: {wrong[0]!r} should be "
                f"{own.get(wrong[0], 'absent')}, is {found.get(wrong[0], 'absent')}; {hint}"
            )

    def predict(self, adapted, x):
        """The module's output for x `[points, ...]` with these parameters."""
        return functional_call(self.module, adapted, (x,))

    def task_loss(self, params, x, y):
        """The loss of these parameters on one set of points: what the inner loop descends."""
        return self.loss(self.predict(params, x), y)

    def at(self, progress):
        """Who trains when this share of a run is done (0 to 1), and numbers that change with it.

        Returns `(learner, extras)`. `outer_loss` finds the tensors of `extras` among its
        parameters; they get no gradient. Here: this learner throughout, and no extras.
        """
        return self, {}

    def trajectory(self, params, support, steps):
        """Yield the parameters after 0, 1, ... `steps` steps of adaptation, without gradients."""
        raise NotImplementedError

    def adapt(self, params, support):
        """The parameters adapted to one task's support set `(x, y)`, differentiable."""
        raise NotImplementedError

    def outer_loss(self, params, task):
        """The loss on the query set after adapting to the support set: one task's share of the
        meta-objective (Finn et al. 2017, equation 1)."""
        return self.task_loss(self.adapt(params, task.support), *task.query)


def _refuse_running_statistics(learner):
    for name, layer in learner.module.named_modules():
        if isinstance(layer, _NormBase) and layer.track_running_stats:
            kind = type(layer).__name__
            raise ValueError(
                f"{type(learner).__name__}: {kind} '{name}' keeps running statistics, which would "
                "mix the tasks and leak from one to the next. Use "
                f"{kind}({layer.num_features}, track_running_stats=False) for the statistics of "
                "each batch, as the paper does, or nn.GroupNorm, which needs no batch"
            )
