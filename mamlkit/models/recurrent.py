"""A plain recurrent network that keeps its state, written so that `vmap` batches it."""

from jaxtyping import Float
from torch import Tensor, nn, stack

from mamlkit import checks

State = tuple[Float[Tensor, " hidden"], Float[Tensor, " hidden"]]


class LSTMReader(nn.Module):
    """A long short-term memory with a linear head (Hochreiter and Schmidhuber 1997).

    `nn.LSTM` computes the same, but has no batching rule: `vmap` would go through it task by task.

    inputs, hidden, outputs: numbers that come in, are remembered, and go out at each step.

    >>> import torch
    >>> scores, state = LSTMReader(8, 16, 5)(torch.zeros(50, 8))
    >>> scores.shape, state[0].shape
    (torch.Size([50, 5]), torch.Size([16]))
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        sizes = {"inputs": inputs, "hidden": hidden, "outputs": outputs}
        for name, size in sizes.items():
            checks.check_int("LSTMReader", name, size, low=1)
        super().__init__()
        self.hidden = hidden
        self.read, self.recall = nn.Linear(inputs, 4 * hidden), nn.Linear(hidden, 4 * hidden)
        self.head = nn.Linear(hidden, outputs)
        nn.init.ones_(self.read.bias[:hidden].data)  # of the gate that forgets: remember at first

    def forward(
        self, x: Float[Tensor, "steps inputs"], state: State | None = None
    ) -> tuple[Float[Tensor, "steps outputs"], State]:
        """Return what is answered at each step, and the state after the last."""
        h, c = state or (x.new_zeros(self.hidden), x.new_zeros(self.hidden))
        answers = []
        for read in self.read(x).unbind(0):
            forget, write, show, new = (read + self.recall(h)).chunk(4)
            c = forget.sigmoid() * c + write.sigmoid() * new.tanh()
            h = show.sigmoid() * c.tanh()
            answers.append(h)
        return self.head(stack(answers)), (h, c)
