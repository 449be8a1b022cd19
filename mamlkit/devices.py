"""Where tensors live, and the random numbers that are drawn there."""

import ctypes
from functools import cache

import torch

from mamlkit import require

LARGEST_SEED = 2**63 - 1


def resolve(device="auto"):
    """Turn a device or its name into a `torch.device`; "auto" is CUDA, then MPS, then the CPU.

    >>> resolve("cpu")
    device(type='cpu')
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    known = "use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device must be a name, got {require.shown(device)}; {known}")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is unknown; {known}") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {str(found)!r} is not here: torch finds {torch.cuda.device_count()} GPUs; use "
            "'cpu', or 'auto'"
        )
    return found


def generator(seed, device="auto"):
    """A `torch.Generator` on `device`, seeded: the same numbers every time.

    >>> torch.rand(2, generator=generator(0, "cpu")).tolist() == torch.rand(
    ...     2, generator=generator(0, "cpu")).tolist()
    True
    """
    seed = require.whole("generator", "seed", seed, least=0, most=LARGEST_SEED)
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


def release_memory():
    """Return to the system what the C library keeps of memory that nothing uses any more.

    glibc's `malloc` keeps much of it, in pieces that no later tensor may fit: a process that trains
    and evaluates for hours would seem to grow. Elsewhere nothing happens.
    """
    trim = _trim()
    if trim:
        trim(0)


@cache
def _trim():
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return None
