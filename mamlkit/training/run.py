"""What meta-training returns."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Run:
    """What `fit` returns.

    params: the meta-trained parameters, a dict of tensors without gradients.
    history: `{"loss": [iterations]}`, the mean query loss after adaptation, on the CPU, NaN where a
        batch was skipped; with `validate` also `{"validation": [times, 3]}`, rows of iterations
        done, seconds of training until then, and what `validate` returned.
    seconds: of training, compilation and all earlier parts of a resumed run included.
    warmup: seconds of the first iteration in this process, compilation included.
    compiled: whether the meta-step was to be compiled.
    stopped: whether it ended early, by a notebook's *stop* button.
    """

    params: dict[str, Tensor]
    history: dict[str, Tensor] = field(repr=False)
    seconds: float = 0.0
    warmup: float = 0.0
    compiled: bool = False
    stopped: bool = False

    @property
    def iterations(self):
        """How many batches of tasks were seen."""
        return len(self.history["loss"])
