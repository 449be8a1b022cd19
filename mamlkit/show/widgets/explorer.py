"""What all explorers share: controls, a picture made once, a sentence, and their still form."""

import base64
import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mamlkit.show import plots

FOLDER = Path(__file__).parent
DPI = 100
FONT, MARGIN = 11, 10  # of a caption: points, pixels
WIDE = {"style": {"description_width": "9em"}, "layout": {"width": "26em"}}  # of a control


class Canvas:
    """A matplotlib figure without pyplot, whose still parts are rendered only once.

    width, height: in inches. Draw on `figure`, then name in `moving` the artists that change;
    `render()` puts them, as they are now, on the picture of all the others.

    >>> canvas = Canvas(4, 3)
    >>> ax = canvas.figure.subplots()
    >>> canvas.moving = ax.plot([0, 1], [0, 1])
    >>> before = canvas.render()
    >>> canvas.moving[0].set_ydata([1, 0])
    >>> before.size, canvas.render() == before
    ((400, 300), False)
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        self.agg = FigureCanvasAgg(self.figure)
        self.width, self.height = self.agg.get_width_height()
        self.moving: Sequence[Artist] = []
        self._background = None

    def render(self) -> Image.Image:
        """Return the picture, in RGB."""
        if self._background is None:
            for artist in self.moving:
                artist.set_animated(True)
            self.agg.draw()
            self.figure.set_layout_engine("none")  # axes stay where they are from now on
            self._background = self.agg.copy_from_bbox(self.figure.bbox)
        self.agg.restore_region(self._background)
        for artist in sorted(self.moving, key=lambda artist: artist.get_zorder()):
            self.figure.draw_artist(artist)
        size = self.width, self.height
        pixels = Image.frombuffer("RGBA", size, self.agg.buffer_rgba(), "raw", "RGBA", 0, 1)
        return pixels.convert("RGB")


class Picture(anywidget.AnyWidget):
    """A PNG with a sentence under it; `on_click(function)` gets clicks as shares of its size.

    `ipywidgets.Image` knows neither clicks nor a text for screen readers. The picture keeps its
    height from the start, and an old one stays until the new one is there.
    """

    _esm = FOLDER / "picture.js"
    _css = FOLDER / "picture.css"
    value = traitlets.Bytes().tag(sync=True)
    sentence = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int(100).tag(sync=True)
    height = traitlets.Int(100).tag(sync=True)
    clickable = traitlets.Bool(False).tag(sync=True)

    def on_click(self, function: Callable[[float, float], None]) -> None:
        """Call `function(x, y)` at each click, x and y from 0 to 1, from the top left corner."""
        self.clickable = True
        self.on_msg(lambda _, content, __: "click" in content and function(*content["click"]))


class Explorer:
    """State, compute, draw: what a reader moves, what follows from it, what is seen.

    A subclass has `size`, of its picture in inches; `build_controls()`, which makes the widgets
    and returns their box; `build_figure(figure)`, which draws and returns the artists that move;
    `compute()`, which turns the controls' values into numbers; `move()`, which moves the artists
    to them; and `summary()`, which says in words and numbers what is seen. Setting a control's
    `.value` in Python does what moving it does.
    """

    size = 9.2, 3.9

    def __init__(self) -> None:
        controls = self.build_controls()
        with plots.style():
            self.canvas = Canvas(*self.size)
            self.canvas.moving = self.build_figure(self.canvas.figure)
        self.picture = Picture(width=self.canvas.width, height=self.canvas.height)
        self.box = widgets.VBox([controls, self.picture])
        self.refresh()

    def refresh(self) -> None:
        """Compute and draw what the controls now say."""
        self.compute()
        self.move()
        with self.picture.hold_sync():  # both in one message
            self.picture.value = encode_png(self.canvas.render(), compress_level=1)
            self.picture.sentence = self.summary()

    def watch(self, *controls: widgets.Widget) -> None:
        """Refresh whenever one of these controls changes."""
        for control in controls:
            control.observe(lambda _: self.refresh(), names="value")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the live widget, and what stands in for it where there is no kernel.

        That is a picture with its sentence written under it, since GitHub and nbconvert show one
        form of an output only; the sentence is its alternative text as well.
        """
        sentence = self.summary()
        picture = Image.open(io.BytesIO(self.picture.value))
        still = base64.b64encode(encode_png(add_caption(picture, sentence), optimize=True))
        fallbacks = {"image/png": still.decode(), "text/plain": sentence}
        return {**self.box._repr_mimebundle_(), **fallbacks}, {"image/png": {"alt": sentence}}


def add_caption(picture: Image.Image, text: str) -> Image.Image:
    """Return the picture with the text written under it."""
    lines = textwrap.wrap(text, width=int((picture.width - 2 * MARGIN) / (0.76 * FONT)))
    height = int(len(lines) * FONT * 1.9) + 2 * MARGIN
    canvas = Canvas(picture.width / DPI, height / DPI)
    place = {"ha": "left", "va": "top", "fontsize": FONT, "linespacing": 1.3}
    canvas.figure.text(MARGIN / picture.width, 1 - MARGIN / height / 2, "\n".join(lines), **place)
    page = Image.new("RGB", (picture.width, picture.height + canvas.height), "white")
    page.paste(picture, (0, 0))
    page.paste(canvas.render(), (0, picture.height))
    return page


def encode_png(picture: Image.Image, **options: Any) -> bytes:
    """Return a picture as PNG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "png", **options)
    return buffer.getvalue()


def slider(text: str, value: float, low: float, high: float, step: float = 1) -> widgets.Widget:
    """Return a labelled slider: of whole numbers where `value` is one, continuous otherwise."""
    kind = widgets.IntSlider if isinstance(value, int) else widgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=text, **WIDE)


def button(text: str, act: Callable[[], None], tooltip: str = "") -> widgets.Button:
    """Return a button as wide as its text, which calls `act()`."""
    layout = {"width": "auto", "flex": "0 0 auto"}
    widget = widgets.Button(description=text, tooltip=tooltip or text, layout=layout)
    widget.on_click(lambda _: act())
    return widget


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> pluralize(1, "point"), pluralize(3, "gradient step")
    ('1 point', '3 gradient steps')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def format_error(error: float) -> str:
    """Return an error in words: one past all bounds needs no twenty digits.

    >>> format_error(0.314), format_error(float("nan"))
    ('0.31', 'over 1000')
    """
    return f"{error:.2f}" if error < 1000 else "over 1000"
