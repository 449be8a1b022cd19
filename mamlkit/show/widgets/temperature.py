"""How sure a comparison is of itself, under a slider for the temperature (notebook 10)."""

import ipywidgets as widgets
import torch
from jaxtyping import Float, Int
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from mamlkit.show import plots
from mamlkit.show.widgets.explorer import WIDE, Explorer, slider

LOOKS = {"cosine": "pretrained", "euclidean": "MAML"}  # a similarity's role in the figures


class TemperatureExplorer(Explorer):
    """Softmax probabilities of similarities over τ, and the loss on many queries.

    query, prototypes: embedded, of several tasks. labels: the queries' classes, from 0.

    State: `distance` and the slider `log_tau`. Compute: `probability` of each class for each query,
    and `loss`. Draw: `picture`, a PNG and a sentence; its bars are the first task's first query.

    >>> prototypes = torch.eye(3).expand(2, 3, 3)
    >>> explorer = TemperatureExplorer(prototypes, prototypes, torch.arange(3).expand(2, 3))
    >>> before = explorer.loss
    >>> explorer.log_tau.value = -1.0
    >>> explorer.loss < before
    True
    """

    size = 9.2, 3.3

    def __init__(
        self,
        query: Float[Tensor, "tasks queries features"],
        prototypes: Float[Tensor, "tasks ways features"],
        labels: Int[Tensor, "tasks queries"],
    ) -> None:
        self.labels = labels
        self.similarities = {
            "cosine": normalize(query, dim=-1) @ normalize(prototypes, dim=-1).mT,
            "euclidean": -(torch.cdist(query, prototypes) ** 2),
        }
        super().__init__()

    def build_controls(self) -> widgets.Widget:
        """Return the choice of a similarity above the slider."""
        options = list(self.similarities)
        self.distance = widgets.Dropdown(options=options, description="similarity", **WIDE)
        self.log_tau = slider("log₁₀ of τ", 0.0, -2.0, 3.0, 0.05)
        self.watch(self.distance, self.log_tau)
        return widgets.VBox([self.distance, self.log_tau])

    def loss_at(self, distance: str, log_tau: float) -> float:
        """Return the mean loss of all queries."""
        scores = self.similarities[distance] / 10**log_tau
        return float(cross_entropy(scores.flatten(0, 1), self.labels.flatten()))

    def compute(self) -> None:
        """Compute all probabilities, and the loss."""
        similarity = self.similarities[self.distance.value]
        self.probability = (similarity / 10**self.log_tau.value).softmax(-1)
        self.loss = self.loss_at(self.distance.value, self.log_tau.value)

    def summary(self) -> str:
        """Return what the picture shows, in words and numbers."""
        right = self.probability.gather(-1, self.labels[..., None]).mean()
        correct = (self.probability.argmax(-1) == self.labels).float().mean()
        return (
            f"With {self.distance.value} similarity and τ = {10**self.log_tau.value:.3g} the right "
            f"class gets {100 * right:.0f} % on average, the loss is {self.loss:.2f}, and "
            f"{100 * correct:.1f} % of the answers are right."
        )

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw bars for one query, and the loss over τ of each similarity."""
        bars, curve = figure.subplots(1, 2, width_ratios=[2, 3])
        ways = self.similarities["cosine"].shape[-1]
        colors = ["#999999"] * ways
        colors[self.labels[0, 0]] = "#000000"
        self._bars = list(bars.bar(range(ways), [0] * ways, color=colors))
        bars.set(ylim=(0, 1), xlabel="class (black: the right one)", ylabel="probability")
        bars.set_xticks(range(ways))
        logs = torch.linspace(-2, 3, 51).tolist()
        for name, look in LOOKS.items():
            losses = [self.loss_at(name, log) for log in logs]
            curve.plot(
                [10**log for log in logs], losses, label=name, **plots.role(look, marker=None)
            )
        (self._here,) = curve.plot([1], [1], "ko", markersize=9, label="here")
        curve.set(xscale="log", ylim=(0, 2.2), xlabel="temperature τ", ylabel="query loss")
        curve.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return [*self._bars, self._here]

    def move(self) -> None:
        """Move bars and dot to what was computed."""
        for bar, height in zip(self._bars, self.probability[0, 0].tolist(), strict=True):
            bar.set_height(height)
        self._here.set_data([10**self.log_tau.value], [min(self.loss, 2.2)])
