"""Images from a folder of folders, one folder a class."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.datasets import ImageFolder

from mamlkit import checks


class ImageClasses(NamedTuple):
    """The images of several classes, as many of each as there are.

    images: of each class `[examples, channels, size, size]`, for `FewShot`. names: of the classes.
    """

    images: list[UInt8[Tensor, "examples channels size size"]]
    names: list[str]

    def split(self, *held_out: str) -> tuple["ImageClasses", "ImageClasses"]:
        """Return `(training, test)`: the classes named here are for the test."""
        if unknown := sorted(set(held_out) - set(self.names)):
            raise ValueError(f"split: no class {unknown[0]!r}; there are: {', '.join(self.names)}")
        parts = [], []
        for images, name in zip(*self, strict=True):
            parts[name in held_out].append((images, name))
        return tuple(ImageClasses(*map(list, zip(*part, strict=True))) for part in parts if part)


def image_folder(
    root: str | Path, *, size: int = 84, grey: bool = False, least: int = 2
) -> ImageClasses:
    """Read `root/class/picture`, each picture cropped to a square in its middle and resized.

    size: pixels on a side. grey: one channel in place of three; pictures of both kinds become one.
    least: classes with fewer pictures than that are refused.

    Pictures are turned upright as their EXIF says, and stand on white where they are transparent.
    torchvision's `ImageFolder` says which files are pictures, by their ending. Raises ValueError
    for a picture that cannot be read or has more than 8 bits a channel, or a class with too few,
    FileNotFoundError for a folder without classes.
    """
    size = checks.check_int("image_folder", "size", size, low=1)
    least = checks.check_int("image_folder", "least", least, low=1)
    grey = checks.check_bool("image_folder", "grey", grey)
    root = checks.check_path("image_folder", "root", root)
    if not any(path.is_dir() for path in root.glob("*")):
        raise FileNotFoundError(
            f"image_folder: no folders in {str(root)!r}; it needs one for each class, with its "
            "pictures inside"
        )
    folder = ImageFolder(root, allow_empty=True)  # what is empty is named below
    images = [[] for _ in folder.classes]
    for path, label in folder.samples:
        try:
            with Image.open(path) as picture:
                picture = _plain(picture).convert("L" if grey else "RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"image_folder: {path} cannot be read as a picture of 8 bits a channel ({error}); "
                "repair, convert or delete it"
            ) from error
        images[label].append(_square(picture, size))
    few = [name for name, own in zip(folder.classes, images, strict=True) if len(own) < least]
    if few:
        raise ValueError(
            f"image_folder: class {few[0]!r} has fewer than {least} pictures (classes like it: "
            f"{len(few)}); a task needs shots and queries of each class; add some, or take it away"
        )
    return ImageClasses([torch.stack(own) for own in images], folder.classes)


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode[0] in "IF":  # more bits, which Pillow would cut off
        raise ValueError(f"its mode is {picture.mode}")
    picture = ImageOps.exif_transpose(picture)
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture


def _square(picture: Image.Image, size: int) -> UInt8[Tensor, "channels size size"]:
    side, (width, height) = min(picture.size), picture.size
    left, top = (width - side) // 2, (height - side) // 2
    box = left, top, left + side, top + side
    pixels = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box=box))
    return torch.from_numpy(pixels.copy()).view(size, size, -1).movedim(-1, 0)
