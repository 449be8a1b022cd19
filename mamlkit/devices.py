"""Where tensors live, and the random numbers that are drawn there."""

import torch

from mamlkit import require

LARGEST_SEED = 2**63 - 1


def resolve(device="auto"):
    """Turn a device or its name into a `torch.device`; "auto" is CUDA, then MPS, then the CPU.

    >>> resolve("cpu")
    device(type='cpu')
    """
    if isinstance(device, torch.device):
        return device
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device {device!r} is unknown; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"
        ) from None


def generator(seed, device="auto"):
    """A `torch.Generator` on `device`, seeded: the same numbers every time.

    >>> torch.rand(2, generator=generator(0, "cpu")).tolist() == torch.rand(
    ...     2, generator=generator(0, "cpu")).tolist()
    True
    """
    seed = require.whole("generator", "seed", seed, least=0, hint="any whole number up to 2**63")
    if seed > LARGEST_SEED:
        raise ValueError(f"generator: seed must be at most 2**63 - 1, got {seed}")
    return torch.Generator(device=resolve(device)).manual_seed(seed)


def same(caller, **places):
    """Raise unless all `places` (name -> device) are one device."""
    kinds = {torch.empty(0, device=place).device for place in places.values()}  # cuda is cuda:0
    if len(kinds) > 1:
        found = ", ".join(f"{name.replace('_', ' ')} on {at}" for name, at in places.items())
        raise ValueError(
            f"{caller}: everything must be on one device, found {found}; "
            "move one with .to(device), or pass device=... where it is made"
        )
