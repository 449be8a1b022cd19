"""Explorers on pages without Python: what their scripts have to fetch."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Num
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from mamlkit import devices, pretrained
from mamlkit.recipes import omniglot
from mamlkit.show import plots
from mamlkit.show.widgets.episodes import NAMES, SCORE, TOTAL, EpisodeViewer
from mamlkit.show.widgets.explorer import Explorer, encode_png
from mamlkit.show.widgets.k_shot import MOST_SHOTS, KShotExplorer
from mamlkit.show.widgets.objective import ObjectiveExplorer
from mamlkit.tasks.glyphs import glyphs
from mamlkit.tasks.sinusoids import Sinusoids, Waves

HERE = Path(__file__).parent
WEIGHTS = "omniglot-20way-1shot.safetensors"
DASHES = {"-": "", "--": "7 4", ":": "2 3", "-.": "7 3 2 3"}  # of SVG


def write_page(explorer: KShotExplorer, folder: Path, seeds: int = 50) -> None:
    """Write what `k_shot.js` needs to be this explorer where there is no Python.

    The scripts, each learner's parameters, and explorer.json: names, colours, the points of
    so many seeds, and the state as it is.
    """
    _copy_scripts(folder, "k_shot.js", "page.js")
    learners, points = [], []
    for name, (_, params) in explorer.learners.items():
        look = plots.ROLES[name]
        dash = DASHES.get(look["linestyle"], "8 2 2 2 2 2")
        learners.append({"name": name, "color": look["color"], "dash": dash})
        tensors = {key: value.contiguous() for key, value in params.items()}
        save_file(tensors, folder / f"{name}.safetensors")
    flat = Waves(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))  # its y are the noise alone
    noisy = Sinusoids(noise=1.0, device="cpu")
    for seed in range(seeds):
        task = noisy.points(flat, MOST_SHOTS, 1, devices.generator(seed, "cpu")).task(0)
        points.append([task.support_x[:, 0].tolist(), task.support_y[:, 0].tolist()])
    page = {"learners": learners, "points": points, "state": explorer.state()}
    (folder / "explorer.json").write_text(json.dumps(page), encoding="utf8")


def write_drawing_page(images: Num[Tensor, "classes examples 1 28 28"], folder: Path) -> None:
    """Write what `drawing.js` needs to be `DrawYourOwn` where there is no Python.

    The scripts, the weights that ship, and examples.safetensors: the ready characters, bytes or
    floats.
    """
    _copy_scripts(folder, "drawing.js", "page.js", "pad.js", "pad.css")
    shutil.copy(pretrained.FOLDER / WEIGHTS, folder)
    images = images if images.is_floating_point() else images.float() / 255
    save_file({"examples": images.contiguous()}, folder / "examples.safetensors")


class NarrowObjective(ObjectiveExplorer):
    """The meta-objective in a picture that a phone can show."""

    size = 4.8, 4.2

    def build_figure(self, figure: Figure) -> list[Artist]:
        """Draw with the legend above."""
        artists = super().build_figure(figure)
        figure.axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=9)
        return artists


class Quiz(EpisodeViewer):
    """Five ways and one shot, in a picture that a phone can show."""

    size = 4.8, 4.6
    most_ways, most_shots, columns = 5, 1, 5


def make_quiz() -> Quiz:
    """Return the site's quiz: invented characters, and the network that ships."""
    params = pretrained.load("omniglot-5way-1shot", device="cpu")[1]
    return Quiz({"invented": glyphs(25, seed=9).images}, omniglot.learner, params)


def write_objective_page(explorer: ObjectiveExplorer, folder: Path) -> None:
    """Write what `states.js` needs to be this explorer: its picture and sentence at each m."""
    states = []
    for m in range(explorer.m.max + 1):
        explorer.m.value = m
        states.append(_write_state(explorer, folder, f"objective-{m}"))
    _write_states(explorer, folder, "objective", label=explorer.m.description, states=states)


def write_quiz_page(viewer: EpisodeViewer, folder: Path, episodes: int = 20) -> None:
    """Write what `states.js` needs to ask the viewer's first episodes and to count.

    Of each: its picture and sentence before and after *reveal*, the labels, the model's answers.
    The images become part of the pages: invented ones may.
    """
    rounds = []
    for seed in range(episodes):
        viewer.seed.value, viewer.reveal.value, viewer.labels.value = seed, False, ""
        question = _write_state(viewer, folder, f"quiz-{seed}")
        viewer.reveal.value = True
        revealed = _write_state(viewer, folder, f"quiz-{seed}-revealed")
        labels, answers = viewer.task.query_y.tolist(), viewer.after.argmax(1).tolist()
        rounds.append([question, revealed, labels, answers])
    texts = {"score": SCORE, "total": TOTAL, "ways": viewer.ways.value, "names": list(NAMES)}
    _write_states(viewer, folder, "quiz", rounds=rounds, **texts)


def _write_state(explorer: Explorer, folder: Path, name: str) -> dict[str, str]:
    """Write the explorer's picture and return its name and sentence.

    In 64 colours, chosen for the farthest: the most frequent ones would be greys.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture = explorer.canvas.render().quantize(64, Image.Quantize.MAXCOVERAGE)
    (folder / f"{name}.png").write_bytes(encode_png(picture, optimize=True))
    return {"picture": f"{name}.png", "sentence": explorer.summary()}


def _write_states(explorer: Explorer, folder: Path, name: str, **page: Any) -> None:
    _copy_scripts(folder, "states.js", "page.js", "picture.js", "picture.css")
    page |= {"width": explorer.canvas.width, "height": explorer.canvas.height}
    (folder / f"{name}.json").write_text(json.dumps(page), encoding="utf8")


def _copy_scripts(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(HERE / name, folder)
