"""The widget that shows an explorer's picture and sentence, and reports clicks."""

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Picture(anywidget.AnyWidget):
    """A PNG with a sentence under it; `on_click(function)` gets clicks as shares of its size.

    `ipywidgets.Image` knows neither clicks nor a text for screen readers. The picture keeps its
    height from the start, and an old one stays until the new one is there.
    """

    _esm = HERE / "picture.js"
    _css = HERE / "picture.css"
    value = traitlets.Bytes().tag(sync=True)
    sentence = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int(100).tag(sync=True)
    height = traitlets.Int(100).tag(sync=True)
    clickable = traitlets.Bool(False).tag(sync=True)

    def on_click(self, function):
        """Call `function(x, y)` at each click, x and y from 0 to 1, from the top left corner."""
        self.clickable = True
        self.on_msg(lambda _, content, __: "click" in content and function(*content["click"]))
