"""The widget to draw a character on."""

import base64
import io
from pathlib import Path

import anywidget
import traitlets
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mamlkit.show.explorers.strokes import PEN, character
from mamlkit.tasks.archive import SCAN

HERE = Path(__file__).parent


class Pad(anywidget.AnyWidget):
    """A square for mouse, touch or pen, with *undo* and *clear*; or it shows a ready character.

    strokes: lists of points (x, y), as shares of the side, from the top left corner.
    label: what the pad is for, above it.

    Written with anywidget, which runs in JupyterLab, Notebook 7, VS Code and Voilà alike; what it
    needs is a hundred lines. The canvas widgets that exist (ipycanvas, ipyevents) report single
    events of the mouse, and strokes would have to be made of them in Python.

    >>> pad = Pad(label="class 0")
    >>> pad.character() is None
    True
    >>> pad.strokes = [[[0.2, 0.2], [0.8, 0.8]]]
    >>> pad.character().shape
    torch.Size([1, 28, 28])
    """

    _esm = HERE / "pad.js"
    _css = HERE / "pad.css"
    strokes = traitlets.List([]).tag(sync=True)
    image = traitlets.Unicode(None, allow_none=True).tag(sync=True)  # of a ready character
    label = traitlets.Unicode("").tag(sync=True)
    side = traitlets.Int(130).tag(sync=True)
    pen = traitlets.Float(PEN / SCAN).tag(sync=True)

    def __init__(self, **settings):
        self.ready = None
        super().__init__(**settings)

    def place(self, ready: Float[Tensor, "1 28 28"]):
        """Show a ready character, ink 1 on 0, in place of strokes."""
        self.ready = ready
        picture = Image.fromarray((255 * (1 - ready[0])).byte().numpy())
        buffer = io.BytesIO()
        picture.save(buffer, "png")
        with self.hold_sync():
            self.strokes = []
            self.image = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def on_change(self, function):
        """Call `function()` when strokes or picture change: once, also where both do together."""
        seen = []

        def heard(_):
            now = [self.strokes, self.image]
            if now != seen:
                seen[:] = now
                function()

        self.observe(heard, names=("strokes", "image"))

    def wipe(self):
        """Empty the pad."""
        with self.hold_sync():
            self.strokes, self.image = [], None

    def character(self) -> Float[Tensor, "1 28 28"] | None:
        """What is on the pad, as a network trained on Omniglot wants it; None if nothing is."""
        if self.image is not None:
            return self.ready
        return character(self.strokes) if any(self.strokes) else None
