"""Several processes that train together: which of them this is, and sums over all of them.

`torchrun` starts them, `init` connects them. Every process draws the same task batch and takes its
shard of the tasks; gradients are added up; so the numbers are those of one process, to rounding.
"""

import os
import sys

import torch
import torch.distributed as dist
from torch import Tensor


def init(device: str = "auto") -> str:
    """Connect the processes that torchrun started; do nothing where there is only one.

    Each takes a GPU of its own where there is one for each (NCCL), the CPU otherwise (gloo).
    Returns the device for this process.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:  # torchrun sets it
        return device
    local = int(os.environ["LOCAL_RANK"])
    use_gpu = device in ("auto", "cuda") and torch.cuda.device_count() > local
    store, number, total = next(dist.rendezvous("env://"))
    # After a restart the addresses of the processes that died may still be in torchrun's store.
    store = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    where = {"store": store, "rank": number, "world_size": total}
    dist.init_process_group("nccl" if use_gpu else "gloo", **where)
    if use_gpu:
        torch.cuda.set_device(local)
        return f"cuda:{local}"
    return "cpu" if device == "auto" else device


def shutdown() -> None:
    """Disconnect."""
    if is_distributed():
        dist.destroy_process_group()


def exit_process() -> None:
    """End the process, its work done, where there are several; do nothing where there is one.

    A thread of gloo that lets go of its last tensor while the interpreter shuts down aborts the
    process, and torchrun calls the finished job failed (seen once in some thirty runs;
    pytorch/pytorch#179291). So the interpreter does not shut down: what `atexit` would do is left.
    """
    if is_distributed():
        shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def is_distributed() -> bool:
    """Say whether there are several processes."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Return how many processes there are.

    >>> world_size(), rank(), is_main_process()
    (1, 0, True)
    """
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if is_distributed() else 0


def is_main_process() -> bool:
    """Say whether this is the process that writes files and shows progress."""
    return rank() == 0


def shard(tensor: Tensor) -> Tensor:
    """Return this process's share of a tensor with one row a task, as cards are dealt."""
    return tensor[rank() :: world_size()] if is_distributed() else tensor


def all_gather(rows: Tensor, total: int) -> Tensor:
    """Return the shards of all processes, tensors on the CPU, as one of `total` rows."""
    if not is_distributed():
        return rows
    size = -(-total // world_size())  # every process sends as many, the last ones a row more
    padded = rows.new_zeros(size, *rows.shape[1:])
    padded[: len(rows)] = rows
    device = _device()
    parts = [torch.empty_like(padded, device=device) for _ in range(world_size())]
    dist.all_gather(parts, padded.to(device))
    return torch.stack(parts, 1).flatten(0, 1)[:total].cpu()


def all_reduce(tensors: list[Tensor]) -> list[Tensor]:
    """Add up each tensor of a list over all processes, in place; return the list."""
    if is_distributed():
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
    return tensors


def broadcast(number: float) -> float:
    """Return the first process's number, to all."""
    if not is_distributed():
        return number
    value = torch.tensor(float(number), dtype=torch.float64, device=_device())
    dist.broadcast(value, 0)
    return type(number)(value.item())


def barrier() -> None:
    """Wait until all processes are here."""
    if is_distributed():
        broadcast(0)


def _device() -> torch.device:
    nccl = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")
