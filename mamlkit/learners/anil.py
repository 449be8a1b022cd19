"""Inner loops that move a part of the network: its head, or all but its head."""

from collections.abc import Callable

from torch import Tensor, nn

from mamlkit.learners.maml import MAML


class ANIL(MAML):
    """Almost no inner loop: only the head adapts; the body is meta-learned and stays.

    Raghu et al. 2020 (arXiv:1909.09157), equation 2.

    head: what the names of the head's parameters begin with. Other arguments as for `MAML`.

    Raises ValueError when no parameter, or every one, belongs to the head.

    >>> import torch
    >>> from mamlkit import SineNetwork
    >>> anil = ANIL(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> [name for name in anil.init() if anil.is_adapted(name)]
    ['head.weight', 'head.bias']
    """

    head_adapts, body_adapts = True, False

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[..., Tensor],
        *,
        lr: float,
        steps: int = 1,
        head: str = "head",
        activation_checkpointing: int = 0,
    ) -> None:
        self.head = head
        options = {"steps": steps, "activation_checkpointing": activation_checkpointing}
        super().__init__(module, loss, lr=lr, **options)
        names = list(self.init())
        inside = [name for name in names if self._in_head(name)]
        if not inside or len(inside) == len(names):
            raise ValueError(
                f"{type(self).__name__}: {len(inside)} of {len(names)} parameters belong to the "
                f"head {head!r}; name a layer that divides them, such as "
                f"head={names[-1].rsplit('.', 1)[0]!r}"
            )

    def _in_head(self, name: str) -> bool:
        return name == self.head or name.startswith(f"{self.head}.")

    def is_adapted(self, name: str, step: int = 0) -> bool:
        """Say whether the parameter of this name takes part in the inner loop."""
        return self.head_adapts if self._in_head(name) else self.body_adapts


class BOIL(ANIL):
    """Body only update in inner loop: ANIL's mirror, the head stays.

    Oh et al. 2021 (arXiv:2008.08882), section 3. Arguments as for `ANIL`.
    """

    head_adapts, body_adapts = False, True
