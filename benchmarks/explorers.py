"""`python -m benchmarks.explorers`: from moving a control to the new picture, in milliseconds.

200 moves of the K-shot explorer's sliders at random, and of the pads of *draw your own*, first in
Python (compute, draw, encode), then in headless Chromium on JupyterLab (from the key press to the
new picture on screen). The first moves, in which everything is set up, are left out and
reported by themselves. explorers.json keeps the figures.
"""

import random
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import torch

from benchmarks.records import load_average, provenance, read, write
from mamlkit import glyphs, pretrained
from mamlkit.show.widgets.drawing import DrawYourOwn
from mamlkit.show.widgets.k_shot import KShotExplorer
from mamlkit.show.widgets.starts import sine_learners

RESULTS = Path(__file__).parent / "explorers.json"
COMMAND = "python -m benchmarks.explorers"
MOVES, WARM = 200, 10
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


def milliseconds(act):
    """Return the milliseconds that each of many calls of `act` takes, and of the first ones."""
    times = []
    for _ in range(WARM + MOVES):
        start = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - start))
    return times[:WARM], times[WARM:]


def k_shot(shown, rng):
    """Time moves of the K-shot explorer in Python."""
    explorer = KShotExplorer(sine_learners(), shown=shown)
    names = "k", "steps", "lr", "amplitude", "phase", "noise"
    sliders = [getattr(explorer, name) for name in names]

    def move():
        slider = rng.choice(sliders)
        value = slider.value
        while value == slider.value:  # the same value would redraw nothing
            number = rng.uniform(slider.min, slider.max)
            value = 10**number if slider is explorer.lr else type(value)(number)
        slider.value = value

    return milliseconds(move)


def drawing(rng):
    """Time strokes on the query pad in Python."""
    learner, params = pretrained.load("omniglot-5way-1shot", device="cpu")
    explorer = DrawYourOwn(learner, params, glyphs(20).images)
    explorer.fill()
    point = lambda: (round(rng.random(), 3), round(rng.random(), 3))

    def stroke():
        explorer.query.strokes = [*explorer.query.strokes[-3:], [point(), point(), point()]]

    return milliseconds(stroke)


def browser(rng):
    """Time key presses on sliders in JupyterLab."""
    from playwright.sync_api import sync_playwright

    from tests.browser import NOTEBOOKS, Page, chromium, lab

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(NOTEBOOKS / "pages" / "k_shot_explorer.ipynb", folder)
        with sync_playwright() as engine, lab(folder) as server:
            chrome = engine.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            page = Page(chrome, server, "k_shot_explorer.ipynb")
            page.run_all()
            page.figure()
            page.page.wait_for_timeout(2_000)
            right = dict.fromkeys(range(6), True)

            def press():
                """Move a slider by one step, to the right and back by turns: never at its end."""
                nth = rng.randrange(6)
                key = "ArrowRight" if right[nth] else "ArrowLeft"
                right[nth] = not right[nth]
                return page.page.evaluate(PRESS, [nth, key])

            warm = [press() for _ in range(WARM)]
            times = [press() for _ in range(MOVES)]
            chrome.close()
    return warm, times


def summary(warm, times):
    """Return what explorers.json keeps of the times."""
    times = sorted(times)
    return {
        "first": round(max(warm), 1),
        "median": round(median(times), 1),
        "95th percentile": round(times[int(0.95 * len(times))], 1),
        "moves": len(times),
    }


@click.command()
def main():
    """Measure and keep."""
    load, rng = load_average(), random.Random(0)
    torch.set_num_threads(2)
    times = {
        "K-shot, MAML and pretrained": k_shot(("MAML", "pretrained"), rng),
        "K-shot, all five": k_shot(None, rng),
        "draw your own": drawing(rng),
        "K-shot in the browser": browser(rng),
    }
    rows = {name: summary(*pair) for name, pair in times.items()}
    explorers = {"milliseconds": rows, "run": provenance(load, COMMAND)}
    write(RESULTS, {**read(RESULTS, {}), **explorers})
    for name, row in rows.items():
        click.echo(f"{name:30s} {row}")


if __name__ == "__main__":
    main()
