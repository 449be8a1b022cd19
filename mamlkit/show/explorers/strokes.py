"""From a pen's strokes to a picture like Omniglot's: centred, scaled, thickened, averaged."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from mamlkit import require
from mamlkit.tasks.archive import SCAN, shrink

# Of 800 scans of the background split: the larger side of the ink, pen width and middle, in pixels.
SIDE, PEN, MIDDLE = 67, 5, 51
MOST = 3.0  # a dot stays a dot: nothing is enlarged more than this


def character(strokes) -> Float[Tensor, "1 28 28"]:
    """A drawing as a network trained on Omniglot wants it, ink 1 on 0.

    strokes: lists of points (x, y), as shares of the pad's side, y downwards. They are moved to
    where Omniglot's drawings are in the mean and scaled to their size, drawn with their pen on 105
    pixels, and averaged over areas to 28 as they are.

    Raises ValueError if there is no point, or one that is not finite.

    >>> character([[(0.2, 0.2), (0.8, 0.8)]]).shape
    torch.Size([1, 28, 28])
    """
    try:
        found = [np.asarray(stroke, dtype=float) for stroke in strokes]
        strokes = [points.reshape(-1, 2) for points in found if points.size]
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"character: strokes must be lists of points (x, y), got {require.shown(strokes)}"
        ) from None
    if not strokes:
        raise ValueError("character: there is no stroke; draw at least a dot")
    points = np.concatenate(strokes)
    if not np.isfinite(points).all():
        raise ValueError("character: a point of the strokes is not a finite number")
    low, high = points.min(0), points.max(0)
    reach = SCAN * (high - low).max()
    scale = SCAN * min((SIDE - PEN) / max(reach, 1e-9), MOST)
    page = Image.new("L", (SCAN, SCAN))
    draw = ImageDraw.Draw(page)
    for stroke in strokes:
        # Rounded, so that a last digit does not tip a pixel.
        at = (MIDDLE + scale * (stroke - (low + high) / 2)).round(3)
        draw.line([tuple(p) for p in at], fill=255, width=PEN, joint="curve")
        for x, y in at:  # round ends, and dots
            draw.ellipse([x - PEN / 2, y - PEN / 2, x + PEN / 2, y + PEN / 2], fill=255)
    return torch.from_numpy(shrink(np.array(page)[None] > 127)).float() / 255
