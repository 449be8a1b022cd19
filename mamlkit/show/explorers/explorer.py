"""What all explorers share: controls, a picture made once, a sentence, in that order."""

import ipywidgets as widgets

from mamlkit.show.explorers import still
from mamlkit.show.explorers.picture import Picture

LABEL = {"description_width": "9em"}


class Explorer:
    """State, compute, draw: what a reader moves, what follows from it, what is seen.

    A subclass has `build_controls()`, which makes the widgets and returns their box;
    `build_figure()`, which returns a `Canvas`; `compute()`, which turns the controls' values into
    numbers; `move()`, which moves the artists to them; and `summary()`, which says in words and
    numbers what is seen. Setting a control's `.value` in Python does what moving it does.
    """

    def __init__(self):
        controls = self.build_controls()
        self.canvas = self.build_figure()
        size = {"width": self.canvas.width, "height": self.canvas.height}
        self.picture = Picture(**size)
        self.box = widgets.VBox([controls, self.picture])
        self.refresh()

    def refresh(self):
        """Compute and draw what the controls now say."""
        self.compute()
        self.draw()

    def draw(self):
        """Move the artists to what was computed; render the picture and the sentence."""
        self.move()
        with self.picture.hold_sync():  # both in one message
            self.picture.value = self.canvas.png()
            self.picture.sentence = self.summary()

    def watch(self, *controls):
        """Refresh whenever one of these controls changes; returns them."""
        for control in controls:
            control.observe(lambda _: self.refresh(), names="value")
        return controls

    def _repr_mimebundle_(self, **_):
        return still.bundle(self)


def slider(text, value, least, most, step=1):
    """A labelled slider: of whole numbers where `value` is one, continuous otherwise."""
    kind = widgets.IntSlider if isinstance(value, int) else widgets.FloatSlider
    return kind(
        value=value, min=least, max=most, step=step, description=text, style=LABEL, layout=wide()
    )


def wide():
    """The layout of a control with its label."""
    return widgets.Layout(width="26em")
