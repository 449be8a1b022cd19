"""Omniglot's two archives: where they are, and what exactly is in them. They are not trusted."""

import hashlib
import io
import json
import lzma
import os
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

SIZE = 28
DRAWINGS = 20
SCAN = 105  # pixels on a side of the original scans


class Source(NamedTuple):
    """One of Omniglot's two archives, and the SHA-256 of pixels and of names in it."""

    archive: str
    characters: int
    pixels: str
    names: str


SPLITS = {
    "background": Source(
        "images_background",
        964,
        "9f627773624bbd206ae724e64944b8523594e54960e588ee5dac931f443e60ce",
        "21f1a80d84e56e78204d03747451038709ad39b3781fccf4bbd37ce5ff51417e",
    ),
    "evaluation": Source(
        "images_evaluation",
        659,
        "d46ed91e2994cc0300bea899585332a5c50382517d0a289f035bc99599a35c6f",
        "d96fea4b9b8f3291f6743cd1037c63e46fe58fd72fbf29f0cdea25f69dc3c985",
    ),
}


ENTRY = 100_000  # bytes of a drawing at most, unpacked; Omniglot's have a few hundred
BROKEN = (  # what zipfile and Pillow raise for files that are not what they say
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, UnidentifiedImageError, EOFError,
    OSError, NotImplementedError, RuntimeError, SyntaxError, OverflowError, KeyError,
    Image.DecompressionBombError,
)  # fmt: skip


def data_folder():
    """The folder `data/` of this checkout, or `~/.cache/mamlkit` outside one."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / "data"
    return Path.home() / ".cache" / "mamlkit"


def find(source, folder, download):
    """The path of an archive, which is fetched if need be and allowed."""
    name = f"omniglot-py/{source.archive}.zip"
    places = [folder] if folder else [os.environ.get("MAMLKIT_DATA"), data_folder()]
    places = [Path(place) for place in places if place]
    for place in places:
        if (place / name).is_file():
            return place / name
    looked = " and ".join(str(place / name) for place in places)
    remedy = (
        f"put {source.archive}.zip there (from https://github.com/brendenlake/omniglot), set "
        "MAMLKIT_DATA to a folder that holds omniglot-py/, or use mamlkit.glyphs(), which needs "
        "no data"
    )
    if not download:
        raise FileNotFoundError(f"characters: no Omniglot; looked for {looked}; {remedy}")
    try:
        return _download(source, places[-1] / name)
    except (URLError, RuntimeError, ConnectionError, TimeoutError) as error:
        raise FileNotFoundError(
            f"characters: no Omniglot; looked for {looked}, and downloading failed ({error}); "
            f"{remedy}"
        ) from error


def _download(source, target):
    from torchvision.datasets import Omniglot
    from torchvision.datasets.utils import download_url

    url = f"{Omniglot.download_url_prefix}/{source.archive}.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        download_url(url, scratch, target.name, Omniglot.zips_md5[source.archive])
        (Path(scratch) / target.name).replace(target)
    return target


def decode(archive, source):
    """`(images, alphabets, names)` of an archive that holds exactly what it should.

    Raises ValueError for any other: damaged, of other pixels or names, or made to do harm.
    """
    try:
        with zipfile.ZipFile(archive) as unpacked:
            entries = [e for e in unpacked.namelist() if e.endswith(".png")]
            drawings = {}
            for entry in entries:
                _, alphabet, name, picture = entry.split("/")
                person = int(Path(picture).stem.split("_")[1])
                drawings.setdefault((alphabet, name), {})[person] = entry
            order = sorted(drawings)
            _expect(archive, f"{source.characters} characters", len(order), source.characters)
            images = np.stack([_character(unpacked, drawings[key]) for key in order])
    except BROKEN as error:
        raise _damaged(archive, str(error) or type(error).__name__) from error
    except (ValueError, IndexError) as error:
        raise _damaged(archive, f"its content is not Omniglot's: {error}") from error
    images = torch.from_numpy(images).unsqueeze(2)
    if digest(images) != source.pixels:
        raise _damaged(archive, f"its pixels hash to {digest(images)}, not {source.pixels}")
    alphabets, names = tuple(a for a, _ in order), tuple(n for _, n in order)
    if fingerprint(alphabets, names) != source.names:
        raise _damaged(archive, "its alphabets or characters have other names")
    return images, alphabets, names


def digest(images) -> str:
    """SHA-256 of the pixels."""
    return hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()


def fingerprint(alphabets, names) -> str:
    """SHA-256 of the names."""
    return hashlib.sha256(json.dumps([alphabets, names]).encode()).hexdigest()


def shrink(scans) -> np.ndarray:
    """Average `[..., 105, 105]` ink (0 or 1) over areas to `[..., 28, 28]` bytes, exactly.

    A pixel of the result covers 3.75 of the scan's: 15 quarters each way, so its ink is a whole
    number out of 15 * 15, and rounding is the same on every machine.
    """
    quarters = np.arange(4 * SCAN) // 15
    weights = np.zeros((SIZE, SCAN))
    np.add.at(weights, (quarters, np.arange(4 * SCAN) // 4), 1)
    ink = weights @ scans.astype(np.float64) @ weights.T
    return np.floor(ink * (255 / 225) + 0.5).astype(np.uint8)


def _character(unpacked, by_person):
    _expect(next(iter(by_person.values())), "20 drawings", len(by_person), DRAWINGS)
    scans = []
    for person in sorted(by_person):
        with unpacked.open(by_person[person]) as file:
            content = file.read(ENTRY + 1)
        if len(content) > ENTRY:
            raise ValueError(f"{by_person[person]} unpacks to more than {ENTRY} bytes")
        picture = Image.open(io.BytesIO(content), formats=["PNG"])
        _expect(by_person[person], "105x105 pixels", picture.size, (SCAN, SCAN))
        scans.append(np.asarray(picture.convert("L")) < 128)
    return shrink(np.stack(scans))


def _expect(where, what, found, wanted):
    if found != wanted:
        raise ValueError(f"{where} should hold {what}, found {found}")


def _damaged(archive, reason):
    return ValueError(
        f"characters: {archive} is damaged ({reason}); delete it and fetch it again, or see "
        "data/README.md for where it comes from"
    )
