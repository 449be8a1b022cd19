"""Omniglot: 1,623 handwritten characters of 50 alphabets, drawn once each by 20 people.

Lake, Salakhutdinov and Tenenbaum 2015, Science 350(6266). MIT licence.
"""

import json
from pathlib import Path
from typing import NamedTuple

import safetensors
from jaxtyping import UInt8
from safetensors.torch import save
from torch import Tensor

from mamlkit import files, require
from mamlkit.tasks.archive import SIZE, SPLITS, data_folder, decode, digest, find, fingerprint


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
        found = Characters(*decode(find(source, folder, download), source))
        _write_cache(cached, found)
    return found


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
    try:
        found = Characters(images, tuple(labels["alphabets"]), tuple(labels["names"]))
    except (KeyError, TypeError):
        return None
    whole = digest(found.images) == source.pixels and fingerprint(*found[1:]) == source.names
    return found if whole else None


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
