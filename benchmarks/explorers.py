"""`python -m benchmarks.explorers`: from moving a control to the new picture, in milliseconds.

200 moves of the K-shot explorer's sliders at random, and of the pads of *draw your own*, first in
Python (compute, draw, encode), then in headless Chromium on JupyterLab (from the key press to the
new picture on screen). The first moves, in which inner steps are recorded, are left out and
reported by themselves. explorers.json keeps the figures.
"""

import json
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import torch

from benchmarks.__main__ import run as made_with
from mamlkit import files, glyphs, pretrained
from mamlkit.show.explorers.drawing import DrawYourOwn
from mamlkit.show.explorers.k_shot import KShotExplorer
from mamlkit.show.explorers.starts import sine_learners

RESULTS = Path(__file__).parent / "explorers.json"
MOVES, WARM = 200, 10
COMMAND = {"command": "python -m benchmarks.explorers"}
PRESS = """async ([nth, key]) => {
  const handle = document.querySelectorAll('.widget-slider .noUi-handle')[nth];
  const image = document.querySelector('figure.mamlkit-picture img');
  handle.focus();
  const begun = performance.now();
  const shown = new Promise((done, fail) => {
    // The frame after the next begins when this picture has been painted.
    const painted = () => requestAnimationFrame(() => requestAnimationFrame(() => done()));
    image.addEventListener('load', painted, {once: true});
    setTimeout(() => fail(new Error('no new picture in five seconds')), 5000);
  });
  const options = {key, code: key, bubbles: true, cancelable: true};
  handle.dispatchEvent(new KeyboardEvent('keydown', options));
  await shown;
  return performance.now() - begun;
}"""


def timed(act):
    """Milliseconds that `act()` takes."""
    begun = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - begun)


def k_shot(shown, draw):
    """Times of moves in Python, and of the first."""
    explorer = KShotExplorer(sine_learners(), shown=shown)
    names = "k", "steps", "lr", "amplitude", "phase", "noise"
    sliders = [getattr(explorer, name) for name in names]

    def move():
        slider = draw.choice(sliders)
        value = slider.value
        while value == slider.value:  # the same value would redraw nothing
            found = draw.uniform(slider.min, slider.max)
            value = 10**found if slider is explorer.lr else type(value)(found)
        slider.value = value

    warm = [timed(move) for _ in range(WARM)]
    return warm, [timed(move) for _ in range(MOVES)]


def drawing(draw):
    """Times of strokes on the query pad in Python."""
    learner, params = pretrained.load("omniglot-5way-1shot", device="cpu")
    explorer = DrawYourOwn(learner, params, glyphs(20).images)
    explorer.fill()
    point = lambda: (round(draw.random(), 3), round(draw.random(), 3))

    def stroke():
        explorer.query.strokes = [*explorer.query.strokes[-3:], [point(), point(), point()]]

    warm = [timed(stroke) for _ in range(WARM)]
    return warm, [timed(stroke) for _ in range(MOVES)]


def browser(draw):
    """Times of key presses on sliders in JupyterLab."""
    from playwright.sync_api import sync_playwright

    from tests.browser import NOTEBOOKS, Page, chromium, lab

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(NOTEBOOKS / "pages" / "k_shot_explorer.ipynb", folder)
        with sync_playwright() as engine, lab(folder) as server:
            found = engine.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = Page(found, server, "k_shot_explorer.ipynb")
            page.run_all()
            page.figure()
            page.page.wait_for_timeout(2_000)
            right = dict.fromkeys(range(6), True)

            def press():
                """One step with a slider, to the right and back by turns: never at its end."""
                nth = draw.randrange(6)
                key = "ArrowRight" if right[nth] else "ArrowLeft"
                right[nth] = not right[nth]
                return page.page.evaluate(PRESS, [nth, key])

            warm = [press() for _ in range(WARM)]
            times = [press() for _ in range(MOVES)]
            found.close()
    return warm, times


def summary(warm, times):
    """What is kept of the times."""
    times = sorted(times)
    return {
        "first": round(max(warm), 1) if warm else None,
        "median": round(median(times), 1),
        "95th percentile": round(times[int(0.95 * len(times))], 1),
        "moves": len(times),
    }


@click.command()
def main():
    """Measure and keep."""
    load, draw = os.getloadavg()[0], random.Random(0)
    torch.set_num_threads(2)
    found = {
        "K-shot, MAML and pretrained": k_shot(("MAML", "pretrained"), draw),
        "K-shot, all five": k_shot(None, draw),
        "draw your own": drawing(draw),
        "K-shot in the browser": browser(draw),
    }
    rows = {name: summary(*times) for name, times in found.items()}
    facts = {"milliseconds": rows, "run": made_with(load) | COMMAND}
    files.write_whole(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())
    for name, row in rows.items():
        click.echo(f"{name:30s} {row}")


if __name__ == "__main__":
    main()
