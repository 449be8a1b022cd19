"""Learning by remembering: a recurrent network reads labelled examples (Santoro et al. 2016)."""

from typing import Any

from torch import Tensor

from mamlkit.learners.base import Learner


class RecurrentLearner(Learner):
    """Adapt by remembering: h_t = f(h_{t-1}, x_t, y_{t-1}), and the scores of x_t from h_t.

    Santoro et al. 2016 (PMLR 48), section 2, after Hochreiter et al. 2001: the label comes one step
    after its example, so the state h must bind the two and hold them until the class comes again.
    The order of what is read matters. The learner's points are steps of a sequence, as `Sequences`
    draws them, with y_{t-1} behind x_t.

    module: maps `(x, state)` to `(scores, state)`, x `[steps, inputs]` and scores
        `[steps, outputs]`, with None for the state before the first step, such as `LSTMReader`.
        With an `nn.LSTM` or `nn.GRU` inside, tasks are gone through one by one, slower and equal.
    loss: as for `Learner`.

    >>> import torch
    >>> from mamlkit import LSTMReader, Sequences
    >>> tasks = Sequences(torch.randn(8, 12, 3), ways=5, device="cpu")
    >>> learner = RecurrentLearner(LSTMReader(8, 16, 5), torch.nn.functional.cross_entropy)
    >>> task = tasks.sample(1, 1, 9).task(0)
    >>> learner.predict(learner.adapt(learner.init(), task.support), task.query_x).shape
    torch.Size([50, 5])
    """

    def read(self, params: Any, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the scores at each step of x, and the state after the last."""
        return self.call(params, x, state)

    def adapt(self, params: Any, support: tuple[Tensor, Tensor]) -> dict[str, Any]:
        """Return the parameters, and the state once the support's steps are read, if there are any.

        The labels of a support set stand in its x, one step late; its y is not looked at.
        """
        x, _ = support
        state = self.read(params, x)[1] if len(x) else None
        return {"params": params, "state": state}

    def predict(self, adapted: dict[str, Any], x: Tensor) -> Tensor:
        """Return the scores at each step of x, read in order from the state on."""
        return self.read(adapted["params"], x, adapted["state"])[0]
