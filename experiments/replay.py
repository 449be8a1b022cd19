"""`python -m experiments.replay`: whether drawings on a pad fare as well as Omniglot's own.

Omniglot's scans of the evaluation split, thinned to lines one pixel wide, are drawn again as
strokes on a pad: moved, scaled and thickened as a reader's are. The shipped 5-way network answers
the same 1-shot episodes twice, with the drawings as they are and as they come from the pad.
"""

import io
import zipfile

import click
import numpy as np
import torch
from PIL import Image
from skimage.morphology import skeletonize

from mamlkit import pretrained
from mamlkit.show.widgets.pad import character
from mamlkit.tasks.omniglot import SCAN, SPLITS, find, shrink

PEOPLE, WAYS, QUERIES = 20, 5, 5


def strokes_of(scan):
    """Return strokes along the middle lines of a scan `[105, 105]` of ink, as shares of its side.

    Each pixel of the thinned scan is joined to its neighbours to the right and below.
    """
    thin = skeletonize(scan)
    pixels = set(map(tuple, np.argwhere(thin)))
    share = lambda row, column: ((column + 0.5) / SCAN, (row + 0.5) / SCAN)
    strokes = []
    for row, column in sorted(pixels):
        around = [(row + a, column + b) for a, b in ((0, 1), (1, -1), (1, 0), (1, 1))]
        near = [pixel for pixel in around if pixel in pixels]
        strokes += [[share(row, column), share(*pixel)] for pixel in near] or [[share(row, column)]]
    return strokes


def replayed(episodes, seed=0):
    """Return `(own, pad)`: the share of right answers in each episode, `[episodes]` tensors."""
    learner, params = pretrained.load("omniglot-5way-1shot", device="cpu")
    rng = np.random.default_rng(seed)
    path = find(SPLITS["evaluation"], folder=None, download=False)
    with zipfile.ZipFile(path) as archive:
        pictures = sorted(name for name in archive.namelist() if name.endswith(".png"))
        folders = sorted({name.rsplit("/", 1)[0] for name in pictures})
        scores = []
        for _ in range(episodes):
            chosen = rng.choice(len(folders), WAYS, replace=False)
            people = rng.choice(PEOPLE, 1 + QUERIES, replace=False)
            scans = [[_scan(archive, _of(pictures, folders[c])[p]) for p in people] for c in chosen]
            forms = [_own, _by_pad]
            scores.append([_score(learner, params, scans, form) for form in forms])
    return torch.tensor(scores).T


def _of(pictures, folder):
    return [name for name in pictures if name.startswith(folder + "/")]


def _scan(archive, name):
    return np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L")) < 128


def _own(scan):
    return torch.from_numpy(shrink(scan[None])).float() / 255


def _by_pad(scan):
    return character(strokes_of(scan))


def _score(learner, params, scans, form):
    x = torch.stack([torch.stack([form(scan) for scan in scans_of]) for scans_of in scans])
    labels = torch.arange(WAYS)
    adapted = learner.adapt(params, (x[:, 0], labels))
    with torch.no_grad():
        answers = learner.predict(adapted, x[:, 1:].flatten(0, 1)).argmax(1)
    return (answers == labels.repeat_interleave(QUERIES)).float().mean().item()


@click.command()
@click.option("--episodes", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(episodes, seed):
    """Answer EPISODES 5-way 1-shot episodes with 5 queries a class, drawn and drawn again."""
    torch.set_num_threads(1)
    own, pad = replayed(episodes, seed)
    for name, score in (("as they are", own), ("through the pad", pad), ("difference", own - pad)):
        interval = 1.96 * score.std() / episodes**0.5
        click.echo(f"{name:16s} {100 * score.mean():.2f} ± {100 * interval:.2f} %")


if __name__ == "__main__":
    main()
