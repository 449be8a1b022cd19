"""Characters, each drawn several times, from Omniglot or invented."""

import hashlib
import json
from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor


class Characters(NamedTuple):
    """Drawings of characters, all of one size.

    images: `[characters, drawings, 1, height, width]`, ink 255 on a background of 0.
    alphabets, names: the alphabet and the name of each character.
    """

    images: UInt8[Tensor, "characters drawings 1 height width"]
    alphabets: tuple[str, ...]
    names: tuple[str, ...]

    def of(self, *alphabets: str) -> "Characters":
        """Return only the characters of the alphabets named."""
        if unknown := sorted(set(alphabets) - set(self.alphabets)):
            known = ", ".join(sorted(set(self.alphabets)))
            raise ValueError(f"Characters: no alphabet called {unknown[0]!r}; there are: {known}")
        return self.pick([i for i, a in enumerate(self.alphabets) if a in alphabets])

    def without(self, *alphabets: str) -> "Characters":
        """Return all characters but those of the alphabets named."""
        return self.of(*set(self.alphabets) - set(self.of(*alphabets).alphabets))

    def pick(self, positions: list[int]) -> "Characters":
        """Return only the characters at these positions, in this order."""
        columns = (tuple(column[i] for i in positions) for column in self[1:])
        return Characters(self.images[positions], *columns)

    def checksums(self) -> tuple[str, str]:
        """Return the SHA-256 of the pixels and of the names."""
        parts = self.images.contiguous().numpy().tobytes(), json.dumps(self[1:]).encode()
        return tuple(hashlib.sha256(part).hexdigest() for part in parts)
