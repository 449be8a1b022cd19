"""`make site && python -m benchmarks.page`: the site's explorer, from slider to picture, in ms.

200 moves of sliders at random on the built site, in headless Chromium with no Python behind it:
from the slider's event until the frame that shows the new picture is painted (*picture*), and what
of that is computing and drawing (*script*); the rest is waiting for the screen, which shows sixty
frames a second. explorers.json keeps the figures, under "page".
"""

import random
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import click

from benchmarks.explorers import MOVES, RESULTS, WARM, summary
from benchmarks.records import ROOT, load_average, provenance, read, write

COMMAND = "python -m benchmarks.page"
SITE = ROOT / "site" / "_build" / "html"
SHOWN = {"K-shot, MAML": ["MAML"], "K-shot, all five": None}
# The task after a frame's callbacks begins when the frame has been painted.
MOVE = """([nth, share]) => new Promise((done) => {
  const slider = document.querySelectorAll('#k-shot input[type=range]')[nth];
  const {min, max} = slider;
  slider.value = Number(min) + share * (max - min);
  const begun = performance.now();
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  const script = performance.now() - begun;
  requestAnimationFrame(() => {
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => done([script, performance.now() - begun]);
    port2.postMessage(null);
  });
})"""


class Silent(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_):
        """Say nothing."""


def tick(tab, shown):
    """Leave ticked only the learners named in `shown`; all, if it is None."""
    for box in tab.locator("#k-shot label:has(input[type=checkbox])").all():
        box.locator("input").set_checked(shown is None or box.inner_text().strip() in shown)


def move_sliders(tab, rng):
    """Return the milliseconds of script, and until the picture, that each of many moves takes."""
    pairs = []
    for _ in range(WARM + MOVES):
        tab.wait_for_timeout(rng.uniform(0, 17))  # nobody moves in step with the screen
        pairs.append(tab.evaluate(MOVE, [rng.randrange(6), rng.random()]))
    return [(times[:WARM], times[WARM:]) for times in zip(*pairs, strict=True)]


def measure():
    """Return name -> figures of the built site."""
    from playwright.sync_api import sync_playwright

    from tests.browser import chromium

    rng, rows = random.Random(0), {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        tab.locator("#k-shot [role=status]").wait_for()
        for name, shown in SHOWN.items():
            tick(tab, shown)
            script, picture = move_sliders(tab, rng)
            rows[name] = {"script": summary(*script), "picture": summary(*picture)}
        browser.close()
    server.shutdown()
    return rows


@click.command()
def main():
    """Measure and keep."""
    if not (SITE / "index.html").exists():
        raise click.ClickException(f"{SITE} is missing: run `make site` first")
    load = load_average()
    rows = measure()
    page = {"milliseconds": rows, "run": provenance(load, COMMAND)}
    write(RESULTS, {**read(RESULTS, {}), "page": page})
    for name, row in rows.items():
        click.echo(f"{name:30s} {row}")


if __name__ == "__main__":
    main()
