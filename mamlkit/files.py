"""Files that are written whole or not at all, and names and checksums of tensors in them."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten


def atomic_write(path: Path, content: bytes) -> None:
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
        with contextlib.suppress(OSError):  # some file systems have no modes
            Path(scratch).chmod(0o666 & ~umask)  # mkstemp's own mode would shut other users out
        Path(scratch).replace(path)
        with contextlib.suppress(OSError):  # and some cannot flush a folder
            _flush_folder(path.parent)  # or a power cut could undo the renaming
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def check_writable(caller: str, folder: str | Path) -> Path:
    """Make a folder, and raise OSError unless a file can be written there: before the work."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1_000))
    except OSError as error:
        raise OSError(
            f"{caller}: nothing can be written to {folder} ({error.strerror or error}); choose "
            "another folder, or make room there"
        ) from None
    return Path(folder)


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def checksum(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a dict of tensors: names, types, shapes and values."""
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.flatten().view(torch.uint8).numpy())
    return sha256.hexdigest()


def flatten(tree: Any, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of nested dicts and NamedTuples by name, levels joined with "/".

    >>> flatten({"weights": {"a": torch.zeros(1)}, "lr": {"a": torch.ones(1)}})
    {'weights/a': tensor([0.]), 'lr/a': tensor([1.])}
    """
    if isinstance(tree, Tensor):
        return {prefix: tree}
    items = (tree._asdict() if hasattr(tree, "_asdict") else tree).items()
    join = lambda key: f"{prefix}/{key}" if prefix else str(key)
    return {name: leaf for key, value in items for name, leaf in flatten(value, join(key)).items()}


def unflatten(flat: dict[str, Tensor], like: Any) -> Any:
    """Return the tensors that `flatten` named in the structure of `like`, whose names they have.

    >>> unflatten({"a/b": torch.ones(1)}, like={"a": {"b": torch.zeros(1)}})
    {'a': {'b': tensor([1.])}}
    """
    names = flatten(like)
    if names.keys() != flat.keys():
        wrong = min(names.keys() ^ flat.keys())
        raise ValueError(
            f"unflatten: {wrong!r} is in only one of the two; they must have the same names"
        )
    return tree_unflatten([flat[name] for name in names], tree_flatten(like)[1])
