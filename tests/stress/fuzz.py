"""`python -m tests.stress fuzz`: ten thousand damaged checkpoints, ten thousand damaged archives.

Each is a good file with bytes flipped, cut off, doubled, or overwritten at random places. Reading
it must give an error with a sentence (ValueError) or exactly the data of the good file, and must
leave nothing behind outside its folder. results/fuzz.json keeps how often which happened.
"""

import io
import random
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import click
import torch
from PIL import Image

from benchmarks.records import load_average, provenance, write
from mamlkit.tasks import omniglot
from mamlkit.training import checkpoint as checkpoints

RESULTS = Path(__file__).parent / "results" / "fuzz.json"


def damage(content, rng):
    """Return the bytes, damaged in one of five ways."""
    content, kind = bytearray(content), rng.randrange(5)
    positions = [rng.randrange(len(content)) for _ in range(rng.choice([1, 1, 2, 8, 64]))]
    if kind == 0:  # bits
        for position in positions:
            content[position] ^= 1 << rng.randrange(8)
    elif kind == 1:  # bytes
        for position in positions:
            content[position] = rng.randrange(256)
    elif kind == 2:  # cut off
        del content[positions[0] :]
    elif kind == 3:  # a piece twice
        first = positions[0]
        content[first:first] = content[first : first + rng.randrange(1, 200)]
    else:  # the head, where lengths and names are
        for position in positions:
            content[position % min(400, len(content))] = rng.randrange(256)
    return bytes(content)


def checkpoint(folder):
    """Return a good checkpoint's bytes, what reads damaged ones, and what compares."""
    torch.manual_seed(0)
    tensors = {"params": {"w": torch.randn(40, 3)}, "random": {"tasks": torch.arange(16)}}
    metadata = {"iteration": 7, "seconds": 1.5, "optimizer": {}, "schedule": None}
    metadata["compiled"] = False
    checkpoints.write(folder, checkpoints.Checkpoint(tensors, metadata), keep_last=1)
    (path,) = checkpoints.newest_first(folder)

    def read(content):
        path.write_bytes(content)
        return checkpoints.read(path)

    def same(other):
        pairs = [(other.tensors[a][b], t) for a, part in tensors.items() for b, t in part.items()]
        return other.metadata == metadata and all(torch.equal(a, b) for a, b in pairs)

    return path.read_bytes(), read, same


def archive(folder):
    """Return the bytes of an archive like Omniglot's, what decodes damaged ones, what compares."""
    torch.manual_seed(0)
    pixels = 255 * (torch.rand(2, 20, omniglot.SCAN, omniglot.SCAN) > 0.1).byte()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for c, scans in enumerate(pixels):
            for d, scan in enumerate(scans):
                picture = io.BytesIO()
                Image.fromarray(scan.numpy()).convert("1").save(picture, "png")
                name = f"images_small/Runes/character{c + 1:02d}/{c:04d}_{d + 1:02d}.png"
                file.writestr(name, picture.getvalue())
    path = Path(folder) / "images_small.zip"
    path.write_bytes(buffer.getvalue())
    ink = omniglot.shrink((pixels == 0).numpy())
    images = torch.from_numpy(ink)[:, :, None]
    names = ("Runes", "Runes"), ("character01", "character02")
    characters = omniglot.Characters(images, *names)
    source = omniglot.Source("images_small", 2, *characters.checksums())

    def read(content):
        path.write_bytes(content)
        return omniglot.decode(path, source)

    same = lambda other: torch.equal(other.images, images) and other[1:] == names
    return buffer.getvalue(), read, same


def count_outcomes(kind, build, mutations, rng):
    """Return how often each outcome came; raise where the good file is not read as it should be."""
    outcomes = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "inside")
        folder.mkdir()
        good, read, same = build(folder)
        if not same(read(good)):
            raise click.ClickException(f"{kind}: the good file is not read as it should be")
        listing = sorted(path.name for path in folder.iterdir())
        for _ in range(mutations):
            content = damage(good, rng)
            try:
                data = read(content)
            except ValueError:
                outcomes["error"] += 1
            else:
                outcomes["the exact data" if same(data) else "WRONG DATA"] += 1
            if (
                sorted(path.name for path in folder.iterdir()) != listing
                or len(list(Path(name).iterdir())) != 1
            ):
                outcomes["FILES LEFT"] += 1
    return dict(outcomes)


@click.command()
@click.option("--mutations", default=10_000, show_default=True)
def main(mutations):
    """Damage files, read them, count how it ends."""
    load, rng = load_average(), random.Random(0)
    rows = {
        kind: count_outcomes(kind, build, mutations, rng)
        for kind, build in {"checkpoint": checkpoint, "archive": archive}.items()
    }
    for kind, row in rows.items():
        click.echo(f"{kind}: {row}")
    if wrong := {key for row in rows.values() for key in row} - {"error", "the exact data"}:
        raise click.ClickException(f"there were {', '.join(sorted(wrong))}")
    write(RESULTS, {"outcomes": rows, "run": provenance(load, "python -m tests.stress fuzz")})
