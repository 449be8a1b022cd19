"""Files that are written whole or not at all, and fingerprints of what is in them."""

import hashlib
import os
import tempfile
from pathlib import Path

import torch


def write_whole(path, content):
    """Write bytes to `path` whole or not at all: to a temporary file, flushed, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(scratch).chmod(0o666 & ~umask)  # mkstemp's own mode would shut other users out
        Path(scratch).replace(path)
        _flush_folder(path.parent)  # or a power cut could undo the renaming
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _flush_folder(folder):
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def digest(tensors) -> str:
    """SHA-256 of a dict of tensors: names, types, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
