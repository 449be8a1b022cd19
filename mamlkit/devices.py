"""Where tensors live, and the random numbers that are drawn there."""

import torch

from mamlkit import checks

LARGEST_SEED = 2**63 - 1


def resolve(device: str | torch.device = "auto") -> torch.device:
    """Turn a device or its name into a `torch.device`; "auto" is CUDA, then MPS, then the CPU.

    >>> resolve("cpu")
    device(type='cpu')
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    known = "use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device must be a name, got {checks.describe(device)}; {known}")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is unknown; {known}") from None
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {str(resolved)!r} is not here: torch finds {torch.cuda.device_count()} GPUs; "
            "use 'cpu', or 'auto'"
        )
    return resolved


def generator(seed: int, device: str | torch.device = "auto") -> torch.Generator:
    """Return a `torch.Generator` on `device`, seeded: the same numbers every time.

    >>> torch.rand(2, generator=generator(0, "cpu")).tolist() == torch.rand(
    ...     2, generator=generator(0, "cpu")).tolist()
    True
    """
    seed = checks.check_int("generator", "seed", seed, low=0, high=LARGEST_SEED)
    return torch.Generator(device=resolve(device)).manual_seed(seed)


def check_same_device(caller: str, **places: str | torch.device) -> None:
    """Raise unless all `places` (name -> device) are one device."""
    kinds = {torch.empty(0, device=place).device for place in places.values()}  # cuda is cuda:0
    if len(kinds) > 1:
        listed = ", ".join(f"{name.replace('_', ' ')} on {at}" for name, at in places.items())
        raise ValueError(
            f"{caller}: everything must be on one device, found {listed}; "
            "move one with .to(device), or pass device=... where it is made"
        )
