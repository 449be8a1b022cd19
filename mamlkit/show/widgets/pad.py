"""The widget to draw a character on, and what a network sees of the drawing."""

import base64
from collections.abc import Callable, Iterable
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from mamlkit import checks
from mamlkit.show.widgets.explorer import FOLDER, encode_png
from mamlkit.tasks.omniglot import SCAN, shrink

# Of 800 scans of the background split: the larger side of the ink, pen width and middle, in pixels.
SIDE, PEN, MIDDLE = 67, 5, 51
MOST = 3.0  # a dot stays a dot: nothing is enlarged more than this


class Pad(anywidget.AnyWidget):
    """A square for mouse, touch or pen, with *undo* and *clear*; or it shows a ready character.

    strokes: lists of points (x, y), as shares of the side, from the top left corner.
    label: what the pad is for, above it.

    Written with anywidget, which runs in JupyterLab, Notebook 7 and VS Code alike; what it
    needs is a hundred lines. The canvas widgets that exist (ipycanvas, ipyevents) report single
    events of the mouse, and strokes would have to be made of them in Python.

    >>> pad = Pad(label="class 0")
    >>> pad.character() is None
    True
    >>> pad.strokes = [[[0.2, 0.2], [0.8, 0.8]]]
    >>> pad.character().shape
    torch.Size([1, 28, 28])
    """

    _esm = FOLDER / "pad.js"
    _css = FOLDER / "pad.css"
    strokes = traitlets.List([]).tag(sync=True)
    image = traitlets.Unicode(None, allow_none=True).tag(sync=True)  # of a ready character
    label = traitlets.Unicode("").tag(sync=True)
    pen = traitlets.Float(PEN / SCAN).tag(sync=True)
    ready = None

    def place(self, ready: Float[Tensor, "1 28 28"]) -> None:
        """Show a ready character, ink 1 on 0, in place of strokes."""
        self.ready = ready
        png = encode_png(Image.fromarray((255 * (1 - ready[0])).byte().numpy()))
        self._show([], "data:image/png;base64," + base64.b64encode(png).decode())

    def wipe(self) -> None:
        """Empty the pad."""
        self._show([], None)

    def _show(self, strokes: list, image: str | None) -> None:
        with self.hold_sync(), self.hold_trait_notifications():  # one message, one call
            self.strokes, self.image = strokes, image

    def on_change(self, function: Callable[[], None]) -> None:
        """Call `function()` when strokes or picture change: once, also where both do together."""
        seen = []

        def notify(_: Any) -> None:
            now = [self.strokes, self.image]
            if now != seen:
                seen[:] = now
                function()

        self.observe(notify, names=("strokes", "image"))

    def character(self) -> Float[Tensor, "1 28 28"] | None:
        """Return what is on the pad, as a network trained on Omniglot wants it; None if nothing."""
        if self.image is not None:
            return self.ready
        return character(self.strokes) if any(self.strokes) else None


def character(strokes: Iterable[Iterable[tuple[float, float]]]) -> Float[Tensor, "1 28 28"]:
    """Return a drawing as a network trained on Omniglot wants it, ink 1 on 0.

    strokes: lists of points (x, y), as shares of the pad's side, y downwards. They are moved to
    where Omniglot's drawings are in the mean and scaled to their size, drawn with their pen on 105
    pixels, and averaged over areas to 28 as they are.

    Raises ValueError if there is no point, or one that is not finite.

    >>> character([[(0.2, 0.2), (0.8, 0.8)]]).shape
    torch.Size([1, 28, 28])
    """
    try:
        arrays = [np.asarray(stroke, dtype=float) for stroke in strokes]
        arrays = [points.reshape(-1, 2) for points in arrays if points.size]
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"character: strokes must be lists of points (x, y), got {checks.describe(strokes)}"
        ) from None
    if not arrays:
        raise ValueError("character: there is no stroke; draw at least a dot")
    points = np.concatenate(arrays)
    if not np.isfinite(points).all():
        raise ValueError("character: a point of the strokes is not a finite number")
    low, high = points.min(0), points.max(0)
    reach = SCAN * (high - low).max()
    scale = SCAN * min((SIDE - PEN) / max(reach, 1e-9), MOST)
    page = Image.new("L", (SCAN, SCAN))
    draw = ImageDraw.Draw(page)
    for stroke in arrays:
        # Rounded, so that a last digit does not tip a pixel.
        pixels = (MIDDLE + scale * (stroke - (low + high) / 2)).round(3)
        draw.line([tuple(pixel) for pixel in pixels], fill=255, width=PEN, joint="curve")
        for x, y in pixels:  # round ends, and dots
            draw.ellipse([x - PEN / 2, y - PEN / 2, x + PEN / 2, y + PEN / 2], fill=255)
    return torch.from_numpy(shrink(np.array(page)[None] > 127)).float() / 255
