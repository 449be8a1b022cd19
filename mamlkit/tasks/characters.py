"""Omniglot: 1,623 handwritten characters of 50 alphabets, drawn once each by 20 people.

Lake, Salakhutdinov and Tenenbaum 2015, Science 350(6266). MIT licence.
"""

import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import safetensors
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from safetensors.torch import save
from torch import Tensor

from mamlkit import files, require

SIZE = 28
DRAWINGS = 20
SCAN = 105  # pixels on a side of the original scans


class Source(NamedTuple):
    """One of Omniglot's two archives, and the SHA-256 of the pixels it must decode to."""

    archive: str
    characters: int
    pixels: str


SPLITS = {
    "background": Source(
        "images_background",
        964,
        "9f627773624bbd206ae724e64944b8523594e54960e588ee5dac931f443e60ce",
    ),
    "evaluation": Source(
        "images_evaluation",
        659,
        "d46ed91e2994cc0300bea899585332a5c50382517d0a289f035bc99599a35c6f",
    ),
}


class Characters(NamedTuple):
    """Drawings of characters, all of one size.

    images: `[characters, drawings, 1, height, width]`, ink 255 on a background of 0.
    alphabets, names: the alphabet and the name of each character.
    """

    images: UInt8[Tensor, "characters drawings 1 height width"]
    alphabets: tuple[str, ...]
    names: tuple[str, ...]

    def of(self, *alphabets):
        """Only the characters of the alphabets named."""
        unknown = sorted(set(alphabets) - set(self.alphabets))
        if unknown:
            known = ", ".join(sorted(set(self.alphabets)))
            raise ValueError(f"Characters: no alphabet called {unknown[0]!r}; there are: {known}")
        return self.pick([i for i, a in enumerate(self.alphabets) if a in alphabets])

    def without(self, *alphabets):
        """All characters but those of the alphabets named, for a validation split of one's own."""
        kept = set(self.alphabets) - set(self.of(*alphabets).alphabets)
        return self.pick([i for i, a in enumerate(self.alphabets) if a in kept])

    def pick(self, chosen):
        """Only the characters of these positions, in this order."""
        return Characters(
            self.images[chosen],
            tuple(self.alphabets[i] for i in chosen),
            tuple(self.names[i] for i in chosen),
        )


def characters(split, *, folder=None, cache=None, download=True) -> Characters:
    """The characters of one split of Omniglot, as one tensor with names.

    split: "background" (964 characters of 30 alphabets, for training) or "evaluation" (659 of 20
        others, for testing). No alphabet is in both.
    folder: where `omniglot-py/images_<split>.zip` lies. Default: `$MAMLKIT_DATA`, then `data/`
        of this checkout (or `~/.cache/mamlkit` where mamlkit was installed without one).
    cache: where the decoded tensor is kept for next time. Default: `data/` as above.
    download: fetch the archive through torchvision where it is missing.

    The scans of 105x105 are averaged over areas to 28x28, in whole numbers, so every machine gets
    the same pixels, and their SHA-256 is checked. Characters are sorted by alphabet and name,
    drawings by the number of the person who drew them.

    Raises FileNotFoundError (no archive and no network), ValueError (unknown split, damaged
    archive, wrong pixels) or OSError (no room for the cache); none leaves a half-written file.

    >>> letters = characters("evaluation")  # doctest: +SKIP
    >>> letters.images.shape                # doctest: +SKIP
    torch.Size([659, 20, 1, 28, 28])
    """
    source = SPLITS[require.choice("characters", "split", split, tuple(SPLITS))]
    cached = Path(cache or data_folder()) / f"{source.archive}_{SIZE}.safetensors"
    found = _read_cache(cached, source)
    if found is None:
        found = _decode(_find(source, folder, download), source)
        _write_cache(cached, found)
    return found


def data_folder():
    """The folder `data/` of this checkout, or `~/.cache/mamlkit` outside one."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / "data"
    return Path.home() / ".cache" / "mamlkit"


def digest(images) -> str:
    """SHA-256 of the pixels."""
    return hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()


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


def _find(source, folder, download):
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


def _decode(archive, source):
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
    except (zipfile.BadZipFile, zlib.error, UnidentifiedImageError, EOFError, OSError) as error:
        raise _damaged(archive, error) from error
    except (ValueError, IndexError) as error:
        raise _damaged(archive, f"its content is not Omniglot's: {error}") from error
    images = torch.from_numpy(images).unsqueeze(2)
    if digest(images) != source.pixels:
        raise _damaged(archive, f"its pixels hash to {digest(images)}, not {source.pixels}")
    return Characters(images, tuple(a for a, _ in order), tuple(n for _, n in order))


def _character(unpacked, by_person):
    _expect(next(iter(by_person.values())), "20 drawings", len(by_person), DRAWINGS)
    scans = []
    for person in sorted(by_person):
        picture = Image.open(io.BytesIO(unpacked.read(by_person[person])))
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


def _read_cache(path, source):
    """The cached characters, or None where there are none or their pixels are not Omniglot's."""
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            images = file.get_tensor("images")
            labels = json.loads(file.metadata()["characters"])
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, OSError):
        return None
    if digest(images) != source.pixels:
        return None
    return Characters(images, tuple(labels["alphabets"]), tuple(labels["names"]))


def _write_cache(path, found):
    labels = json.dumps({"alphabets": found.alphabets, "names": found.names})
    content = save({"images": found.images}, metadata={"characters": labels})
    try:
        files.write_whole(path, content)
    except OSError as error:
        raise OSError(
            f"characters: could not write the {len(content) / 1e6:.0f} MB cache {path} "
            f"({error.strerror or error}); free some space or pass cache=... a writable folder"
        ) from error
