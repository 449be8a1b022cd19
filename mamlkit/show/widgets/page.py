"""Explorers on pages without Python: what their scripts have to fetch."""

import json
import shutil
from pathlib import Path

import torch
from jaxtyping import Num
from safetensors.torch import save_file
from torch import Tensor

from mamlkit import devices, pretrained
from mamlkit.show import plots
from mamlkit.show.widgets.k_shot import MOST_SHOTS, KShotExplorer
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


def _copy_scripts(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(HERE / name, folder)
