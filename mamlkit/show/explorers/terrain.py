"""The meta-objective of real networks on a plane, under a slider for its steps (notebook 05)."""

import torch
from torch.func import vmap

from mamlkit import require
from mamlkit.show import landscape, plots
from mamlkit.show.explorers.canvas import Canvas
from mamlkit.show.explorers.explorer import Explorer, slider
from mamlkit.show.explorers.words import counted, told

MOST_STEPS = 10
LEVELS = 0.1, 0.2, 0.4, 0.7, 1, 2, 4, 8, 16


class TerrainExplorer(Explorer):
    """The mean loss *after m gradient steps*, as a function of where they start.

    learner: whose inner loop steps. planes: role -> `Plane`, whose origin is θ.
    tasks: a TaskBatch; each start adapts to the support sets and is judged on the query sets.
    us, vs: the grid on the plane, coordinates along its axes.

    State: the slider `m`. Compute: `surfaces`, role -> `[m + 1, vs, us]`, all computed when it is
    made; `here` and `lowest`, role -> the value at θ and the least on the map. Draw: `picture`.

    >>> from mamlkit import MAML, SineNetwork, Sinusoids
    >>> from mamlkit.show.landscape import Plane
    >>> maml = MAML(SineNetwork(), torch.nn.functional.mse_loss, lr=0.01)
    >>> start, one, other = (MAML(SineNetwork(), maml.loss, lr=0.01).init() for _ in range(3))
    >>> tasks = Sinusoids(device="cpu").sample(4, shots=5, queries=20)
    >>> at = torch.linspace(-1, 1, 5)
    >>> explorer = TerrainExplorer(maml, {"MAML": Plane(start, one, other)}, tasks, us=at, vs=at)
    >>> explorer.surfaces["MAML"].shape
    torch.Size([11, 5, 5])
    """

    def __init__(self, learner, planes, tasks, *, us, vs):
        for name in planes:
            require.choice("TerrainExplorer", "a plane's name", name, tuple(plots.ROLES))
        self.us, self.vs = us, vs
        self.planes = planes
        self.surfaces = {
            name: self._after_steps(learner, plane, tasks) for name, plane in planes.items()
        }
        zero = torch.zeros(1)
        self._at_origin = {
            name: self._grid(learner, plane, tasks, zero, zero[0])[:, 0]
            for name, plane in planes.items()
        }
        super().__init__()

    def _after_steps(self, learner, plane, tasks):
        rows = [self._grid(learner, plane, tasks, self.us, v) for v in self.vs]
        return torch.stack(rows, 1)

    def _grid(self, learner, plane, tasks, us, v):
        """The mean loss after 0, 1, ... steps from each (u, v), `[steps + 1, us]`."""

        def start(u, support_x, support_y, query_x, query_y):
            path = learner.trajectory(plane.at(u, v), (support_x, support_y), MOST_STEPS)
            return torch.stack([learner.task_loss(theta, query_x, query_y) for theta in path])

        over_tasks = vmap(start, (None, 0, 0, 0, 0))
        with torch.no_grad():
            return vmap(lambda u: over_tasks(u, *tasks).mean(0))(us).T

    def build_controls(self):
        """The slider."""
        self.m = slider("inner steps m", 0, 0, MOST_STEPS)
        self.watch(self.m)
        return self.m

    def compute(self):
        """Where the surface of this m is lowest, and how high it is at θ."""
        m = self.m.value
        self.here = {name: float(values[m]) for name, values in self._at_origin.items()}
        self.lowest, self._place = {}, {}
        for name, surfaces in self.surfaces.items():
            index = int(surfaces[m].nan_to_num(torch.inf).argmin())
            row, column = divmod(index, len(self.us))
            self.lowest[name] = float(surfaces[m].flatten()[index])
            self._place[name] = float(self.us[column]), float(self.vs[row])

    def summary(self):
        """What the picture shows, in words and numbers."""
        m = self.m.value
        parts = [
            f"{name}'s θ has {told(self.here[name])}, the lowest place on its map "
            f"{told(self.lowest[name])}"
            for name in self.planes
        ]
        steps = counted(m, "gradient step") if m else "no gradient step"
        return f"Mean error over the tasks after {steps} from each place: {'; '.join(parts)}."

    def build_figure(self):
        """A map for each plane and each m, all but one hidden."""
        with plots.style():
            return self._figure(Canvas(9.2, 3.9))

    def _figure(self, canvas):
        axes = canvas.figure.subplots(1, len(self.planes), squeeze=False)[0]
        self._maps, self._stars, dots = [], {}, []
        for ax, (name, surfaces) in zip(axes, self.surfaces.items(), strict=True):
            for m, surface in enumerate(surfaces):
                surface = surface.nan_to_num(1e6).clamp(max=1e6)
                # Everything that `contours` puts on the axis belongs to this m.
                before = set(ax.get_children())
                filled = landscape.contours(ax, self.us, self.vs, surface, levels=LEVELS)
                made = [artist for artist in ax.get_children() if artist not in before]
                self._maps += [(m, artist) for artist in made]
            look = {"edgecolors": "black", "zorder": 7}
            dots.append(ax.scatter([0], [0], color="white", s=70, label="θ", **look))
            (star,) = ax.plot(
                [0], [0], "*", color=plots.ROLES[name]["color"], markersize=15, zorder=8,
                markeredgecolor="black", label="lowest on the map",
            )  # fmt: skip
            self._stars[name] = star
            ax.set_title(name)
        bar = canvas.figure.colorbar(filled, ax=list(axes), label="mean squared error", pad=0.02)
        bar.set_ticks(LEVELS, labels=[f"{level:g}" for level in LEVELS])
        handles, labels = axes[0].get_legend_handles_labels()
        canvas.figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
        canvas.moving = [*(artist for _, artist in self._maps), *dots, *self._stars.values()]
        return canvas

    def move(self):
        """Show the maps of this m."""
        for m, artist in self._maps:
            artist.set_visible(m == self.m.value)
        for name, star in self._stars.items():
            star.set_data(*([value] for value in self._place[name]))
