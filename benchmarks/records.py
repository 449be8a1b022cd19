"""Records of measurements: how they came about, their numbers in JSON, their tables in Markdown."""

import datetime
import json
import os
import platform
import re
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch

from mamlkit import files

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
VERSIONS = "mamlkit", "torch", "numpy", "jax", "jaxlib", "optax", "higher", "parallel-metalearn"
MODULES = {"parallel-metalearn": "metalearn"}  # the module's name, where it is not the package's


def load_average():
    """Return how many processes kept this machine busy over the last minute."""
    return os.getloadavg()[0]


def provenance(load, command):
    """Return what numbers were measured on, and how.

    load: `load_average()` before measuring. command: what measures them again.
    """
    return {
        "command": command,
        "commit": _commit(),
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cpu": _cpu(),
            "vectors": torch.backends.cpu.get_cpu_capability(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "system": platform.platform(),
            "load_before": load,
        },
        "settings": {k: v for k, v in os.environ.items() if k.startswith(("OMP_", "MKL_", "XLA_"))},
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in VERSIONS if find_spec(MODULES.get(name, name))},
    }


def _commit():
    """Return the commit of this checkout, marked where it was changed; None without git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu():
    """Return Linux's name of the processor, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
        return next(s.split(":")[1].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def read(path, default=None):
    """Return the content of a JSON file, or `default` where there is none."""
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else default


def write(path, content):
    """Write `content` as JSON, whole or not at all."""
    files.atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())


def upsert(path, row, key):
    """Put a row among those of a JSON file, in the place of one with the same key; return all."""
    rows = sorted([*(r for r in read(path, []) if key(r) != key(row)), row], key=key)
    write(path, rows)
    return rows


def marks(name):
    """Return the comments between which a page shows the table of that name."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def fill(page, tables):
    """Return a page's text with each of `tables`, name -> Markdown, between its marks.

    A table whose marks the page does not have is left out.

    >>> print(fill("<!-- a:begin -->old<!-- a:end -->", {"a": "new", "b": "no marks"}))
    <!-- a:begin -->
    new
    <!-- a:end -->
    """
    for name, table in tables.items():
        begin, end = marks(name)
        section = f"{begin}\n{table}\n{end}"
        page = re.sub(f"{begin}.*?{end}", lambda _, new=section: new, page, flags=re.DOTALL)
    return page


def refill(path, tables):
    """Fill the tables of a file anew; leave the file alone where nothing changes."""
    page = path.read_text(encoding="utf8")
    filled = fill(page, tables)
    if filled != page:
        path.write_text(filled, encoding="utf8")
