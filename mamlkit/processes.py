"""Several processes that train together: which of them this is, and what all of them add up to.

`torchrun` starts them, `begin` connects them. Every process draws the same task batch and takes its
share of the tasks; gradients are added up; so the numbers are those of one process, to rounding.
"""

import os
import sys

import torch
from torch import distributed

TRAINING = "WORLD_SIZE"  # what torchrun sets


def begin(device="auto"):
    """Connect the processes that torchrun started; does nothing where there is only one.

    Each takes a GPU of its own where there is one for each (NCCL), the CPU otherwise (gloo).
    Returns the device for this process.
    """
    if int(os.environ.get(TRAINING, 1)) == 1:
        return device
    local = int(os.environ["LOCAL_RANK"])
    wanted = str(device)
    gpus = wanted in ("auto", "cuda") and torch.cuda.device_count() > local
    store, number, total = next(distributed.rendezvous("env://"))
    # After a restart the addresses of the processes that died may still be in torchrun's store.
    store = distributed.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    where = {"store": store, "rank": number, "world_size": total}
    distributed.init_process_group("nccl" if gpus else "gloo", **where)
    if gpus:
        torch.cuda.set_device(local)
        return f"cuda:{local}"
    return "cpu" if wanted == "auto" else wanted


def end():
    """Disconnect."""
    if together():
        distributed.destroy_process_group()


def leave():
    """End the process, its work done, where there are several; do nothing where there is one.

    A thread of gloo that lets go of its last tensor while the interpreter shuts down aborts the
    process, and torchrun calls the finished job failed (seen once in some thirty runs;
    pytorch/pytorch#179291). So the interpreter does not shut down: what `atexit` would do is left.
    """
    if together():
        end()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def together():
    """Whether there are several processes."""
    return distributed.is_available() and distributed.is_initialized()


def count():
    """How many processes there are.

    >>> count(), rank(), first()
    (1, 0, True)
    """
    return distributed.get_world_size() if together() else 1


def rank():
    """The number of this one, from 0."""
    return distributed.get_rank() if together() else 0


def first():
    """Whether this is the one that writes files and shows progress."""
    return rank() == 0


def mine(tensor):
    """This process's share of what is one a task, in dealing order."""
    return tensor[rank() :: count()]


def gathered(mine, total):
    """All processes' shares, `[their tasks, ...]` tensors on the CPU, as one of `total` tasks."""
    if not together():
        return mine
    size = -(-total // count())  # every process sends as many, the last ones a row of zeros more
    padded = mine.new_zeros(size, *mine.shape[1:])
    padded[: len(mine)] = mine
    at = _device()
    parts = [torch.empty_like(padded, device=at) for _ in range(count())]
    distributed.all_gather(parts, padded.to(at))
    return torch.stack(parts, 1).flatten(0, 1)[:total].cpu()


def added(tensors):
    """A list of tensors, each added up over all processes, in place."""
    if together():
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
    return tensors


def agreed(number):
    """The first process's number, for all."""
    if not together():
        return number
    told = torch.tensor(float(number), dtype=torch.float64, device=_device())
    distributed.broadcast(told, 0)
    return type(number)(told.item())


def wait():
    """Wait until all are here."""
    if together():
        agreed(0)


def _device():
    nccl = distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")
