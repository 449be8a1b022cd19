"""Draw five characters, and the model tells which of them the sixth is (notebook 08)."""

import ipywidgets as widgets
import torch
from matplotlib.colors import to_rgb

from mamlkit import devices, require
from mamlkit.show import plots
from mamlkit.show.explorers.canvas import Canvas
from mamlkit.show.explorers.explorer import Explorer, slider
from mamlkit.show.explorers.pad import Pad
from mamlkit.show.explorers.words import counted

WAYS = 5
MOST_SHOTS = 3
MOST_STEPS = 5
COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"  # of the classes
MARKERS = "osD^v"


class DrawYourOwn(Explorer):
    """Five pads for classes of the reader's own, one for a query; a trained learner adapts live.

    learner, params: of 5 ways, such as `pretrained.load("omniglot-5way-1shot")`.
    images: `[classes, examples, 1, 28, 28]` ready characters, bytes or floats, for whoever cannot
        draw or would rather read; names: of their classes, for the picker.
    seed: of the examples that the buttons choose.

    State: the `pads` (a list of five lists, one pad for each shot), the pad `query`, the sliders
    `shots` and `steps`. Compute: `probabilities` `[steps + 1, 5]`, before adaptation and after each
    step, or None while a class has no drawing. Draw: `picture`, a PNG and a sentence.

    Raises ValueError for a learner of another number of ways.

    >>> from mamlkit import glyphs, pretrained
    >>> learner, params = pretrained.load("omniglot-5way-1shot", device="cpu")
    >>> explorer = DrawYourOwn(learner, params, glyphs(5, drawings=4).images)
    >>> explorer.example.click()
    >>> explorer.probabilities.shape
    torch.Size([6, 5])
    """

    def __init__(self, learner, params, images, *, names=None, seed=0):
        ways = learner.module.head.out_features
        if ways != WAYS:
            raise ValueError(f"DrawYourOwn: the learner tells {ways} classes apart; give one of 5")
        if len(images) < WAYS or images.shape[1] < 2:
            raise ValueError(
                f"DrawYourOwn: images are {tuple(images.shape)}; at least 5 classes of 2 examples "
                "are needed to show an example"
            )
        self.learner, self.params = learner, params
        self.images = images if images.is_floating_point() else images.float() / 255
        names = names or [f"character {i}" for i in range(len(images))]
        self.names = [f"{i}: {name}" for i, name in enumerate(names)]
        self.seed = require.whole("DrawYourOwn", "seed", seed, least=0)
        self._draws = devices.generator(self.seed, "cpu")
        self._busy = False
        super().__init__()

    # State

    def build_controls(self):
        """The pads, the sliders and the picker, as a box."""
        self.shots = slider("drawings K", 1, 1, MOST_SHOTS)
        self.steps = slider("gradient steps", 1, 0, MOST_STEPS)
        self.pads = [[Pad(label=_label(way, 0))] for way in range(WAYS)]
        self.query = Pad(label="query: which is it?")
        self._rows = widgets.VBox()
        self.shots.observe(lambda _: self._lay_out(), names="value")
        for pad in [*(pads[0] for pads in self.pads), self.query]:
            pad.on_change(self.refresh)
        self._lay_out_rows()
        self.watch(self.steps)
        sliders = widgets.HBox([self.shots, self.steps])
        return widgets.VBox([self._picker(), sliders, self._rows])

    def _picker(self):
        style = {"style": {"description_width": "initial"}}
        where = [f"class {way}" for way in range(WAYS)] + ["query"]
        self.choice = widgets.Dropdown(options=self.names, description="ready character", **style)
        self.target = widgets.Dropdown(options=where, description="on pad", **style)
        button = lambda text: widgets.Button(
            description=text, layout=widgets.Layout(width="auto", flex="0 0 auto"), tooltip=text
        )
        self.put, self.clear = button("put it there"), button("clear all")
        self.example = button("fill in an example")
        self.put.on_click(lambda _: self.put_ready(self.names.index(self.choice.value)))
        self.example.on_click(lambda _: self.fill())
        self.clear.on_click(lambda _: self.wipe())
        row = [self.example, self.clear, self.choice, self.target, self.put]
        return widgets.HBox(row, layout=widgets.Layout(flex_flow="row wrap"))

    def _lay_out(self):
        for way, pads in enumerate(self.pads):
            while len(pads) < self.shots.value:
                pads.append(Pad(label=_label(way, len(pads))))
                pads[-1].on_change(self.refresh)
        self._lay_out_rows()
        self.refresh()

    def _lay_out_rows(self):
        rows = [[pads[shot] for pads in self.pads] for shot in range(self.shots.value)]
        rows[0].append(self.query)
        self._rows.children = [widgets.HBox(row) for row in rows]

    def refresh(self):
        """Compute and draw what the pads now hold, unless several are being filled."""
        if not self._busy:
            super().refresh()

    def _all_at_once(self, act):
        self._busy = True
        try:
            act()
        finally:
            self._busy = False
        self.refresh()

    def put_ready(self, chosen):
        """Put a random drawing of a ready character on the chosen pad: the first that is empty."""
        name = self.target.value
        pad = self.query
        if name != "query":
            pads = self.pads[int(name.split()[1])][: self.shots.value]
            pad = next((pad for pad in pads if pad.character() is None), pads[0])
        example = int(torch.randint(self.images.shape[1], (), generator=self._draws))
        self._all_at_once(lambda: pad.place(self.images[chosen, example]))

    def fill(self):
        """Fill all pads with ready characters, the query with another drawing of one of them."""
        self._all_at_once(self._fill)

    def _fill(self):
        rand = lambda n: torch.randperm(n, generator=self._draws)
        classes, shots, answer = rand(len(self.images))[:WAYS], self.shots.value, int(rand(WAYS)[0])
        for way, chosen in enumerate(classes):
            examples = rand(self.images.shape[1])
            for shot, pad in enumerate(self.pads[way][:shots]):
                pad.place(self.images[chosen, examples[1 + shot % (len(examples) - 1)]])
            for hidden in self.pads[way][shots:]:
                hidden.wipe()
            if way == answer:
                self.query.place(self.images[chosen, examples[0]])

    def wipe(self):
        """Empty all pads."""
        every = [*(pad for pads in self.pads for pad in pads), self.query]
        self._all_at_once(lambda: [pad.wipe() for pad in every])

    # Compute

    def compute(self):
        """Adapt to what is drawn, if every class has a drawing, and look at the query."""
        drawn = [
            [c for pad in pads[: self.shots.value] if (c := pad.character()) is not None]
            for pads in self.pads
        ]
        self.drawn, self.asked = drawn, self.query.character()
        self.empty = [way for way in range(WAYS) if not drawn[way]]
        self.probabilities = None
        if self.empty or self.asked is None:
            return
        x = torch.stack([image for images in drawn for image in images])
        y = torch.tensor([way for way, images in enumerate(drawn) for _ in images])
        # Where classes have different numbers of drawings each counts for less in the larger.
        support, query = _balanced(x, y), self.asked[None]
        with torch.no_grad():
            path = self.learner.trajectory(self.params, support, MOST_STEPS)
            scores = [self.learner.predict(adapted, query)[0] for adapted in path]
        self.probabilities = torch.stack(scores).softmax(-1)

    def summary(self):
        """What the picture shows, in words and numbers."""
        if self.empty:
            which = ", ".join(str(way) for way in self.empty)
            return f"Draw a character for each class. Still empty: {which}."
        if self.asked is None:
            return "All classes have a drawing. Draw one of them again on the query pad."
        steps = self.steps.value
        now, after = self.probabilities[steps], "Before adaptation, with no drawing seen,"
        if steps:
            after = f"After {counted(steps, 'gradient step')} on the drawings:"
        if torch.allclose(now, now[:1], atol=0.005):
            return f"{after} every class has {100 * now[0]:.0f} %: the model cannot tell."
        best = int(now.argmax())
        others = [f"class {w} {100 * p:.0f} %" for w, p in enumerate(now) if w != best]
        return (
            f"{after} the query is class {best}, with {100 * now[best]:.0f} %; {', '.join(others)}."
        )

    # Draw

    def build_figure(self):
        """Thumbnails as the model sees them, bars for now, lines over the steps."""
        with plots.style():
            return self._figure(Canvas(9.2, 3.6))

    def _figure(self, canvas):
        above, below = canvas.figure.subfigures(2, 1, height_ratios=[1, 2.4])
        self._thumbs = []
        for i, ax in enumerate(above.subplots(1, WAYS + 1)):
            text = "query" if i == WAYS else f"class {i}"
            ax.set_title(text, fontsize=10)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set(visible=True, color="0.7", linewidth=0.8)
            blank = torch.zeros(28, 28)
            self._thumbs.append(ax.imshow(blank, cmap="gray_r", vmin=0, vmax=1))
        left, right = below.subplots(1, 2, width_ratios=[1, 1])
        self._bars = left.bar(range(WAYS), [0] * WAYS, color=[to_rgb(c) for c in COLOURS])
        left.set(ylim=(0, 105), xlabel="class", ylabel="probability (%)")
        right.set(xlim=(-0.2, MOST_STEPS + 0.2), ylim=(-3, 105))
        right.set(xlabel="gradient steps", ylabel="probability (%)")
        self._lines = [
            right.plot(range(MOST_STEPS + 1), [0] * (MOST_STEPS + 1), color=c, marker=m)[0]
            for c, m in zip(COLOURS, MARKERS, strict=True)
        ]
        self._now = right.axvline(1, color="black", linewidth=1, alpha=0.5)
        canvas.moving = [*self._thumbs, *self._bars, *self._lines, self._now]
        return canvas

    def move(self):
        """Show the drawings' means and the probabilities, if there are any yet."""
        for way, thumb in enumerate(self._thumbs[:WAYS]):
            images = self.drawn[way]
            thumb.set_data(torch.stack(images).mean(0)[0] if images else torch.zeros(28, 28))
        self._thumbs[WAYS].set_data(torch.zeros(28, 28) if self.asked is None else self.asked[0])
        known = self.probabilities is not None
        shares = 100 * self.probabilities if known else torch.zeros(MOST_STEPS + 1, WAYS)
        for way, (bar, line) in enumerate(zip(self._bars, self._lines, strict=True)):
            bar.set_height(float(shares[self.steps.value, way]))
            line.set_ydata(shares[:, way])
            line.set_visible(known)
        self._now.set_xdata([self.steps.value] * 2)


def _label(way, shot):
    return f"class {way}" if shot == 0 else f"class {way}, drawing {shot + 1}"


def _balanced(x, y):
    """The same examples, repeated so that each class has about as many."""
    most = int(y.bincount().max())
    index = torch.cat(
        [torch.where(y == way)[0].repeat(most)[:most] for way in range(int(y.max()) + 1)]
    )
    return x[index], y[index]
