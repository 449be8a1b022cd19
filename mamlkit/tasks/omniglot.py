"""Omniglot: 1,623 characters, each drawn by 20 people (Lake et al. 2015; MIT licence)."""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import torch
from PIL import Image
from safetensors.torch import save as to_bytes

from mamlkit import checks, devices, files
from mamlkit.tasks.characters import Characters

SIZE, DRAWINGS = 28, 20  # pixels on a side, drawings of a character
SCAN = 105  # pixels on a side of the original scans
QUARTERS = np.eye(SIZE).repeat(15, axis=1).reshape(SIZE, SCAN, 4).sum(2)  # of a scan's in a pixel
LARGEST_FILE = 100_000  # bytes of a drawing at most, unpacked; Omniglot's have a few hundred
FolderPath = str | Path | None


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
VINYALS = {  # SHA-256 of the lists
    "train": "984522c194c30fb678ce53304a160a42faf5403ad4f9a67010f32dd3a35738e0",
    "val": "11f99e54faee3e26f53d3231c1cceac5bf7b8730e9be31cb6dab256551dc0c1a",
    "test": "845264cc5c156180828ccf17915668b17ee21424d0170df6e7d81676aa5d1204",
}


def omniglot(
    split: str, *, folder: FolderPath = None, cache: FolderPath = None, download: bool = True
) -> Characters:
    """Return the characters of one split of Omniglot: the same pixels on every machine.

    split: "background" (964 characters of 30 alphabets, for training) or "evaluation" (659 of 20
        others, for testing), sorted by alphabet and name, drawings by person.
    folder: where `omniglot-py/images_<split>.zip` lies. Default: `$MAMLKIT_DATA`, then `data/`
        of this checkout (or `~/.cache/mamlkit` where mamlkit was installed without one).
    cache: where the decoded tensor is kept for next time. Default: `data/` as above.
    download: fetch the archive through torchvision where it is missing.

    Raises FileNotFoundError (no archive and no network), ValueError (unknown split, damaged
    archive, wrong pixels); none leaves a half-written file. Where the cache cannot be written, it
    warns.
    """
    source = SPLITS[checks.check_choice("omniglot", "split", split, tuple(SPLITS))]
    download = checks.check_bool("omniglot", "download", download)
    for name, path in (("folder", folder), ("cache", cache)):
        if path is not None:
            checks.check_path("omniglot", name, path)
    cached = Path(cache or data_folder(), f"{source.archive}_{SIZE}.safetensors")
    characters = _read_cache(cached)
    if characters is None or characters.checksums() != source[2:]:
        characters = decode(find(source, folder, download), source)
        _write_cache(cached, characters)
    return characters


def without_validation(characters: Characters) -> tuple[Characters, Characters]:
    """Return `(training, validation)`: every sixth alphabet is held out to choose recipes by.

    Of the background split: Balinese, Early Aramaic, Inuktitut, Mkhedruli and Tifinagh. Nothing
    should ever be chosen by looking at the evaluation split.
    """
    what = 'Characters, such as omniglot("background")'
    checks.check_has("without_validation", "characters", characters, what, "alphabets", "of")
    alphabets = sorted(set(characters.alphabets))
    if len(alphabets) < 6:
        raise ValueError(f"without_validation: {len(alphabets)} alphabets are too few, needs six")
    return characters.without(*alphabets[5::6]), characters.of(*alphabets[5::6])


def shuffled_split(
    seed: int = 0, *, train: int = 1_200, **keywords: Any
) -> tuple[Characters, Characters]:
    """Return `(training, test)`: all characters shuffled by a seed and cut, like Finn et al. 2017.

    Alphabets then have characters on both sides, so a test is easier than with `omniglot`'s own
    splits: never compare the two. `train`: how many are for training. The rest goes to `omniglot`.
    """
    characters = _both_splits(**keywords)
    count = len(characters.names)
    train = checks.check_int("shuffled_split", "train", train, low=1, high=count - 1)
    order = torch.randperm(count, generator=devices.generator(seed, "cpu")).tolist()
    return characters.pick(order[:train]), characters.pick(order[train:])


def vinyals_split(**keywords: Any) -> tuple[Characters, Characters, Characters]:
    """Return `(training, validation, test)` of Vinyals et al. 2016, as Snell et al. 2017 list it.

    1,028, 172 and 423 characters. The lists lie in `omniglot-py/splits/vinyals/`, found or fetched
    as archives are by `omniglot`, to which the keywords go. They name a character four times,
    `rot000` to `rot270`, each a class. Here it comes once, upright: `FewShot(rotations=True)` turns
    it, but never shows two rotations of one character in the same episode.
    """
    characters = _both_splits(**keywords)
    options = keywords.get("folder"), keywords.get("download", True)
    classes = map("/".join, zip(*characters[1:], strict=True))
    position = {f"{name}/rot000": i for i, name in enumerate(classes)}
    parts = []
    for part, sha256 in VINYALS.items():
        path = find(f"splits/vinyals/{part}.txt", *options)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"omniglot: {path} is damaged; delete it and fetch it again")
        lines = content.decode("utf8").split()[::4]  # after each rot000 come the other three
        parts.append(characters.pick([position[line] for line in lines]))
    return tuple(parts)


def _both_splits(**keywords: Any) -> Characters:
    images, alphabets, names = zip(*(omniglot(s, **keywords) for s in SPLITS), strict=True)
    return Characters(torch.cat(images), sum(alphabets, ()), sum(names, ()))


def data_folder() -> Path:
    """Return the folder `data/` of this checkout, or `~/.cache/mamlkit` outside one."""
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        return root / "data"
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    with contextlib.suppress(RuntimeError):  # nobody's home
        return Path(home).expanduser() / "mamlkit"
    return Path(tempfile.gettempdir(), "mamlkit")


def find(source: Source | str, folder: FolderPath, download: bool) -> Path:
    """Return the path of an archive (or of a file by its name), fetched if need be and allowed."""
    name = source if isinstance(source, str) else f"{source.archive}.zip"
    folders = [folder] if folder else [os.environ.get("MAMLKIT_DATA"), data_folder()]
    paths = [Path(folder, "omniglot-py", name) for folder in folders if folder]
    for path in paths:
        if path.is_file():
            return path
    lists = "jakesnell/prototypical-networks/master/data/omniglot"
    repository = lists if path.suffix == ".txt" else "brendenlake/omniglot/master/python"
    url = f"https://raw.githubusercontent.com/{repository}/{name}"
    try:
        if not download:
            raise OSError("not allowed: download=False")
        from torchvision.datasets import Omniglot, utils

        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            utils.download_url(url, scratch, path.name, Omniglot.zips_md5.get(path.stem))
            return Path(scratch, path.name).replace(path)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"omniglot: no {path.name}; looked for {' and '.join(map(str, paths))}; downloading "
            f"failed ({error}); put it there (from {url}), set MAMLKIT_DATA to a folder that holds "
            "omniglot-py/, or use mamlkit.glyphs(), which needs no data"
        ) from error


def decode(archive: Path, source: Source) -> Characters:
    """Return the characters of an archive; ValueError if it holds anything else."""
    try:
        with zipfile.ZipFile(archive) as unpacked:
            entries = sorted(n.split("/") for n in unpacked.namelist() if n.endswith(".png"))
            count = source.characters * DRAWINGS
            if len(entries) != count:
                raise ValueError(f"it should hold {count} drawings, found {len(entries)}")
            images = np.stack([_read_drawing(unpacked, "/".join(entry)) for entry in entries])
        images = torch.from_numpy(images).view(source.characters, DRAWINGS, 1, SIZE, SIZE)
        _, alphabets, names, _ = zip(*entries[::DRAWINGS], strict=True)
        characters = Characters(images, alphabets, names)
        if (hashes := characters.checksums()) != source[2:]:
            raise ValueError(f"its pixels and names hash to {hashes}, not {source[2:]}")
        return characters
    except Exception as error:  # zipfile and Pillow raise a dozen kinds for damaged files
        raise ValueError(
            f"omniglot: {archive} is damaged ({str(error) or type(error).__name__}); delete it "
            "and fetch it again, or see data/README.md for where it comes from"
        ) from error


def _read_drawing(unpacked: zipfile.ZipFile, entry: str) -> np.ndarray:
    with unpacked.open(entry) as file:  # what unpacks to more is cut off, and then no picture
        picture = Image.open(io.BytesIO(file.read(LARGEST_FILE)), formats=["PNG"])
    return shrink(np.asarray(picture.convert("L")) < 128)


def shrink(scans: np.ndarray) -> np.ndarray:
    """Average `[..., 105, 105]` ink (0 or 1) over areas to `[..., 28, 28]` bytes, exactly.

    A pixel covers 15 quarters of the scan's each way: its ink is a whole number out of 15 * 15.
    """
    ink = QUARTERS @ scans.astype(np.float64) @ QUARTERS.T
    return np.floor(ink * (255 / 225) + 0.5).astype(np.uint8)


def _read_cache(path: Path) -> Characters | None:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = map(tuple, json.loads(file.metadata()["characters"]))
            return Characters(file.get_tensor("images"), *names)
    except (safetensors.SafetensorError, OSError, LookupError, TypeError, ValueError):
        return None  # missing, or not ours: it is made again


def _write_cache(path: Path, characters: Characters) -> None:
    metadata = {"characters": json.dumps(characters[1:])}
    content = to_bytes({"images": characters.images}, metadata)
    try:
        files.atomic_write(path, content)
    except OSError as error:
        warnings.warn(
            f"omniglot: could not write the {len(content) / 1e6:.0f} MB cache {path} "
            f"({error.strerror or error}), so the archive is read anew each time; free some space "
            "or pass cache=... a writable folder",
            stacklevel=3,
        )
