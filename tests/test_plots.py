"""Figures show what they are given."""

import matplotlib.pyplot as plt
import torch

from mamlkit import Run
from mamlkit.show import plots


def test_validation_is_drawn_in_percent_against_seconds():
    run = Run({}, {"loss": torch.zeros(2), "validation": torch.tensor([[1, 5.0, 0.5], [2, 9, 1]])})
    ax = plots.panels()
    line = plots.validation(ax, run)
    assert line.get_xydata().tolist() == [[5, 50], [9, 100]]
    plt.close(ax.figure)


def test_wrong_answers_are_marked_and_named():
    images, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 0, 1, 1, 2, 2])
    ax = plots.panels()
    plots.episode(ax, images, labels, 3, title="queries", answers=torch.tensor([0, 2, 1, 1, 2, 0]))
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert len(crosses) == 2 and sorted(text.get_text() for text in ax.texts) == ["0", "2"]
    plt.close(ax.figure)
    ax = plots.panels()
    plots.episode(ax, images, labels, 3, title="queries", answers=labels)
    assert not ax.lines and not ax.texts
    plt.close(ax.figure)
