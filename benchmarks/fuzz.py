"""`python -m benchmarks.fuzz`: ten thousand damaged checkpoints and ten thousand damaged archives.

Each is a good file with bytes flipped, cut off, doubled, or overwritten at random places. Reading
it must give an error with a sentence (ValueError) or exactly the data of the good file, and must
leave nothing behind outside its folder. fuzz.json keeps how often which happened.
"""

import io
import json
import os
import random
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import click
import torch
from PIL import Image

from benchmarks.__main__ import run as made_with
from mamlkit import files
from mamlkit.tasks import archive as archives
from mamlkit.training import checkpoint as checkpoints

RESULTS = Path(__file__).parent / "fuzz.json"


def mutated(content, draw):
    """The bytes, damaged in one of five ways."""
    content, kind = bytearray(content), draw.randrange(5)
    places = [draw.randrange(len(content)) for _ in range(draw.choice([1, 1, 2, 8, 64]))]
    if kind == 0:  # bits
        for place in places:
            content[place] ^= 1 << draw.randrange(8)
    elif kind == 1:  # bytes
        for place in places:
            content[place] = draw.randrange(256)
    elif kind == 2:  # cut off
        del content[places[0] :]
    elif kind == 3:  # a piece twice
        first = places[0]
        content[first:first] = content[first : first + draw.randrange(1, 200)]
    else:  # the head, where lengths and names are
        for place in places:
            content[place % min(400, len(content))] = draw.randrange(256)
    return bytes(content)


def checkpoint(folder):
    """A good checkpoint's bytes, and the function that reads damaged ones."""
    torch.manual_seed(0)
    tensors = {"params": {"w": torch.randn(40, 3)}, "random": {"tasks": torch.arange(16)}}
    facts = {"iteration": 7, "seconds": 1.5, "optimizer": {}, "schedule": None, "compiled": False}
    checkpoints.write(folder, checkpoints.Checkpoint(tensors, facts), keep=1)
    (path,) = checkpoints.newest_first(folder)

    def read(content):
        path.write_bytes(content)
        return checkpoints.read(path)

    def same(found):
        pairs = [(found.tensors[a][b], t) for a, part in tensors.items() for b, t in part.items()]
        return found.facts == facts and all(torch.equal(a, b) for a, b in pairs)

    return path.read_bytes(), read, same


def archive(folder):
    """A small archive like Omniglot's, and the function that decodes damaged ones."""
    torch.manual_seed(0)
    drawn = 255 * (torch.rand(2, archives.DRAWINGS, 105, 105) > 0.1).byte()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for c, scans in enumerate(drawn):
            for d, scan in enumerate(scans):
                picture = io.BytesIO()
                Image.fromarray(scan.numpy()).convert("1").save(picture, "png")
                name = f"images_small/Runes/character{c + 1:02d}/{c:04d}_{d + 1:02d}.png"
                made.writestr(name, picture.getvalue())
    path = Path(folder) / "images_small.zip"
    path.write_bytes(buffer.getvalue())
    ink = archives.shrink((drawn == 0).numpy())
    images = torch.from_numpy(ink)[:, :, None]
    names = ("Runes", "Runes"), ("character01", "character02")
    labels = archives.fingerprint(*names)
    source = archives.Source("images_small", 2, archives.digest(images), labels)

    def read(content):
        path.write_bytes(content)
        return archives.decode(path, source)

    same = lambda found: torch.equal(found[0], images) and found[1:] == names
    return buffer.getvalue(), read, same


def tried(kind, build, mutations, draw):
    """How often each outcome came; raises for one that must not be."""
    outcomes = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "inside")
        folder.mkdir()
        good, read, same = build(folder)
        if not same(read(good)):
            raise click.ClickException(f"{kind}: the good file is not read as it should be")
        listing = sorted(path.name for path in folder.iterdir())
        for _ in range(mutations):
            content = mutated(good, draw)
            try:
                found = read(content)
            except ValueError:
                outcomes["error"] += 1
            else:
                outcomes["the exact data" if same(found) else "WRONG DATA"] += 1
            if (
                sorted(path.name for path in folder.iterdir()) != listing
                or len(list(Path(name).iterdir())) != 1
            ):
                outcomes["FILES LEFT"] += 1
    return dict(outcomes)


@click.command()
@click.option("--mutations", default=10_000, show_default=True)
def main(mutations):
    """Damage, read, count."""
    load, draw = os.getloadavg()[0], random.Random(0)
    kinds = {"checkpoint": checkpoint, "archive": archive}
    rows = {kind: tried(kind, build, mutations, draw) for kind, build in kinds.items()}
    facts = {"outcomes": rows, "run": made_with(load) | {"command": "python -m benchmarks.fuzz"}}
    files.write_whole(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())
    for kind, row in rows.items():
        click.echo(f"{kind}: {row}")


if __name__ == "__main__":
    main()
