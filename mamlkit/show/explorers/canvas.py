"""A figure that is drawn once and then only where it moves."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mamlkit.show import plots

DPI = 100


class Canvas:
    """A matplotlib figure without pyplot, whose still parts are kept as pixels.

    size: width and height in inches. Draw on `figure`, then name in `moving` the artists that
    change; `png()` puts them, as they are now, on the picture of all the others.

    >>> canvas = Canvas(4, 3)
    >>> ax = canvas.figure.subplots()
    >>> canvas.moving = ax.plot([0, 1], [0, 1])
    >>> before = canvas.png()
    >>> canvas.moving[0].set_ydata([1, 0])
    >>> before[:4], canvas.png() == before
    (b'\\x89PNG', False)
    """

    def __init__(self, width, height):
        with plots.style():
            self.figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        self.agg = FigureCanvasAgg(self.figure)
        self.width, self.height = self.agg.get_width_height()
        self.moving = []
        self._background = None

    def png(self):
        """The picture as PNG bytes."""
        if self._background is None:
            self._draw_still_parts()
        self.agg.restore_region(self._background)
        for artist in sorted(self.moving, key=lambda artist: artist.get_zorder()):
            self.figure.draw_artist(artist)
        size = self.width, self.height
        pixels = Image.frombuffer("RGBA", size, self.agg.buffer_rgba(), "raw", "RGBA", 0, 1)
        buffer = io.BytesIO()
        pixels.convert("RGB").save(buffer, "png", compress_level=1)
        return buffer.getvalue()

    def _draw_still_parts(self):
        for artist in self.moving:
            artist.set_animated(True)
        self.figure.set_layout_engine("constrained")
        self.agg.draw()
        self.figure.set_layout_engine("none")  # axes stay where they are from now on
        self._background = self.agg.copy_from_bbox(self.figure.bbox)
