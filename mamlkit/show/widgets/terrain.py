"""The meta-objective of real networks on a plane, under a slider for its steps (notebook 05)."""

import ipywidgets as widgets
import torch
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from torch import Tensor
from torch.func import vmap

from mamlkit import checks
from mamlkit.learners.maml import MAML
from mamlkit.show import landscape, plots
from mamlkit.show.landscape import Plane
from mamlkit.show.widgets.explorer import Explorer, format_error, pluralize, slider
from mamlkit.tasks.batch import TaskBatch

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
    >>> grid = torch.linspace(-1, 1, 5)
    >>> planes = {"MAML": Plane(start, one, other)}
    >>> explorer = TerrainExplorer(maml, planes, tasks, us=grid, vs=grid)
    >>> explorer.surfaces["MAML"].shape
    torch.Size([11, 5, 5])
    """

    def __init__(
        self, learner: MAML, planes: dict[str, Plane], tasks: TaskBatch, *, us: Tensor, vs: Tensor
    ) -> None:
        self.us, self.vs, self.planes = us, vs, planes
        self.surfaces, self._at_origin = {}, {}
        for name, plane in planes.items():
            checks.check_choice("TerrainExplorer", "a plane's name", name, tuple(plots.ROLES))
            rows = [_losses_after_steps(learner, plane, tasks, us, v) for v in vs]
            self.surfaces[name] = torch.stack(rows, 1)
            origin = torch.zeros(1)
            self._at_origin[name] = _losses_after_steps(learner, plane, tasks, origin, 0.0)[:, 0]
        super().__init__()

    def build_controls(self) -> widgets.Widget:
        """Return the slider."""
        self.m = slider("inner steps m", 0, 0, MOST_STEPS)
        self.watch(self.m)
        return self.m

    def compute(self) -> None:
        """Find where the surface of this m is lowest, and how high it is at θ."""
        m = self.m.value
        self.here = {name: float(values[m]) for name, values in self._at_origin.items()}
        self.lowest, self._place = {}, {}
        for name, surfaces in self.surfaces.items():
            index = int(surfaces[m].nan_to_num(torch.inf).argmin())
            row, column = divmod(index, len(self.us))
            self.lowest[name] = float(surfaces[m, row, column])
            self._place[name] = float(self.us[column]), float(self.vs[row])

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        m = self.m.value
        parts = [
            f"{name}'s θ has {format_error(self.here[name])}, the lowest place on its map "
            f"{format_error(self.lowest[name])}"
            for name in self.planes
        ]
        steps = pluralize(m, "gradient step") if m else "no gradient step"
        return f"Mean error over the tasks after {steps} from each place: {'; '.join(parts)}."

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw a map for each plane and each m, all but one of them hidden later."""
        axes = figure.subplots(1, len(self.planes), squeeze=False)[0]
        self._maps, self._stars, dots = [], {}, []
        for ax, (name, surfaces) in zip(axes, self.surfaces.items(), strict=True):
            for m, surface in enumerate(surfaces.nan_to_num(1e6).clamp(max=1e6)):
                # Everything that `contours` puts on the axis belongs to this m.
                before = set(ax.get_children())
                filled = landscape.contours(ax, self.us, self.vs, surface, levels=LEVELS)
                self._maps += [(m, artist) for artist in ax.get_children() if artist not in before]
            look = {"edgecolors": "black", "zorder": 7}
            dots.append(ax.scatter([0], [0], color="white", s=70, label="θ", **look))
            (self._stars[name],) = ax.plot(
                [0], [0], "*", color=plots.ROLES[name]["color"], markersize=15, zorder=8,
                markeredgecolor="black", label="lowest on the map",
            )  # fmt: skip
            ax.set_title(name)
        landscape.scale(axes, filled)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
        return [*(artist for _, artist in self._maps), *dots, *self._stars.values()]

    def move(self) -> None:
        """Show the maps of this m."""
        for m, artist in self._maps:
            artist.set_visible(m == self.m.value)
        for name, star in self._stars.items():
            star.set_data(*([value] for value in self._place[name]))


def _losses_after_steps(
    learner: MAML, plane: Plane, tasks: TaskBatch, us: Tensor, v: float | Tensor
) -> Float[Tensor, "counts us"]:
    def losses(u: Tensor, task: TaskBatch) -> Float[Tensor, " counts"]:
        path = learner.trajectory(plane.at(u, v), task.support, MOST_STEPS)
        return torch.stack([learner.task_loss(theta, *task.query) for theta in path])

    mean_losses = lambda u: vmap(losses, (None, 0))(u, tasks).mean(0)
    with torch.no_grad():
        return vmap(mean_losses)(us).T
