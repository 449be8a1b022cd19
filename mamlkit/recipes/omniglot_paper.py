"""Experiment 2 as published: Finn et al. 2017, section 5.2 and appendix A.1, all layers adapting.

Where the paper's words leave a choice, the released code (github.com/cbfinn/maml) decides: batch
norm has a shift and no gain, the shift is meta-learned and stays in the inner loop, and the head
starts from N(0, 1). It sums the cross-entropy over the ways and averages over the shots, so its
step of 0.4 with 5 ways, and of 0.1 with 20, is a step of 2.0 on the mean. Two departures: no
convolution has a bias, which batch norm would take out again, and zeros are padded evenly. The
paper's own split is lost: Vinyals' takes its place, tested on turned characters as in that code.
"""

from functools import partial

import torch
from torch.nn.functional import cross_entropy

from mamlkit.learners.maml import MAML
from mamlkit.models.networks import OmniglotNetwork
from mamlkit.recipes.omniglot import DATA, SETTINGS, test_tasks
from mamlkit.recipes.recipe import Recipe
from mamlkit.tasks.fewshot import FewShot
from mamlkit.tasks.omniglot import omniglot, vinyals_split

STEPS = {5: (1, 3), 20: (5, 5)}  # ways: inner steps in training, and in the test
TASKS_PER_BATCH = {5: 32, 20: 16}
HEADS = {"paper": "normal", "paper-small-head": "uniform"}  # a recipe's last name: its first head


class ReleasedMAML(MAML):
    """MAML as in the released code: the norms' shifts are meta-learned, and do not adapt."""

    def is_adapted(self, name: str, step: int = 0) -> bool:
        """Say whether a parameter moves in the inner loop: a convolution's or the head's."""
        return "product" in name or "head" in name


def network(ways: int, head: str = "normal") -> OmniglotNetwork:
    """Return the network: four convolutions of stride 2 with 64 filters, batch norm, the mean."""
    return OmniglotNetwork(ways, norm="batch-shift", head=head)


def learner(ways: int, head: str = "normal", **changes: int) -> ReleasedMAML:
    """Return the learner in training, with changed arguments."""
    options = {"lr": 2.0, "steps": STEPS[ways][0], **changes}
    return ReleasedMAML(network(ways, head), cross_entropy, **options)


def tasks(ways: int, split: str, part: str) -> FewShot:
    """Return the episodes of a split, "vinyals" or "main": its "training" or its "test" part.

    Each class is turned as a whole, but not in the test of the main split. Vinyals' split has a
    "validation" part, too.
    """
    if split == "main" and part == "test":
        return test_tasks(ways)
    if split == "main":
        images = omniglot("background").images
    else:
        images = vinyals_split()[("training", "validation", "test").index(part)].images
    return FewShot(images, ways, rotations=True, device="cpu")


def _recipe(ways: int, shots: int, last: str, split: str) -> Recipe:
    steps = STEPS[ways][1]
    return Recipe(
        source=f"Finn et al. 2017, section 5.2, appendix A.1 and the released code; {split} split"
        + (", with torch's own initial head" if last != "paper" else ""),
        learner=partial(learner, ways, HEADS[last]),
        test_learner=partial(learner, ways, HEADS[last], steps=steps),
        tasks=partial(tasks, ways, split, "training"),
        test_tasks=partial(tasks, ways, split, "test"),
        training={
            "iterations": 60_000,
            "shots": shots,
            "queries": shots,
            "tasks_per_batch": TASKS_PER_BATCH[ways],
            "optimizer": partial(torch.optim.Adam, lr=1e-3),
        },
        testing={"shots": shots, "queries": shots, "tasks": 1_000, "steps": 10},
        data=DATA,
        percent=True,
    )


OMNIGLOT_PAPER = {
    f"omniglot-{ways}way-{shots}shot-{last}-{split}": _recipe(ways, shots, last, split)
    for split in ("vinyals", "main")
    for last in HEADS
    for ways, shots in SETTINGS
}
