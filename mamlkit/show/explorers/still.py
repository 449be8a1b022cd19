"""Still pictures of explorers, for notebooks read without a kernel or without JavaScript."""

import base64
import io
import textwrap

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

LIVE = "application/vnd.jupyter.widget-view+json"
FONT = 11  # points
MARGIN = 10  # pixels


def bundle(explorer):
    """The live widget, and what stands in for it where there is no kernel.

    That is a picture with its sentence written under it, since GitHub and nbconvert show one form
    of an output only; the sentence is its alternative text as well.
    """
    live = explorer.box._repr_mimebundle_()
    live, metadata = live if isinstance(live, tuple) else (live, {})
    sentence = explorer.summary()
    picture = captioned(explorer.picture.value, sentence)
    still = {"image/png": base64.b64encode(picture).decode(), "text/plain": sentence}
    return {**live, **still}, {**metadata, "image/png": {"alt": sentence}}


def captioned(png, text):
    """A PNG with the text under it."""
    picture = Image.open(io.BytesIO(png))
    lines = textwrap.wrap(text, width=max(20, int((picture.width - 2 * MARGIN) / (0.76 * FONT))))
    below = int(len(lines) * FONT * 1.9) + 2 * MARGIN
    figure = Figure(figsize=(picture.width / 100, below / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    place = {"ha": "left", "va": "top", "fontsize": FONT, "linespacing": 1.3}
    figure.text(MARGIN / picture.width, 1 - MARGIN / below / 2, "\n".join(lines), **place)
    canvas.draw()
    size = canvas.get_width_height()
    caption = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    whole = Image.new("RGB", (picture.width, picture.height + below), "white")
    whole.paste(picture, (0, 0))
    whole.paste(caption.convert("RGB"), (0, picture.height))
    buffer = io.BytesIO()
    whole.save(buffer, "png", optimize=True)
    return buffer.getvalue()
