"""The K-shot explorer on a page without Python: what its script has to fetch."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from mamlkit import devices
from mamlkit.show import plots
from mamlkit.show.widgets.k_shot import MOST_SHOTS, KShotExplorer
from mamlkit.tasks.sinusoids import Sinusoids, Waves

SCRIPT = Path(__file__).with_name("k_shot.js")
DASHES = {"-": "", "--": "7 4", ":": "2 3", "-.": "7 3 2 3"}  # of SVG


def write_page(explorer: KShotExplorer, folder: Path, seeds: int = 50) -> None:
    """Write what `k_shot.js` needs to be this explorer where there is no Python.

    The script itself, each learner's parameters, and explorer.json: names, colours, the points of
    so many seeds, and the state as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(SCRIPT, folder)
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
