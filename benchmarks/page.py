"""`make site && python -m benchmarks.page`: the site's explorers, from hand to picture, in ms.

200 moves of the K-shot explorer's sliders at random, and 200 strokes on the query pad of *draw your
own*, on the built site, in headless Chromium with no Python behind it: from the slider's event, or
the pen's going up, until the frame that shows the new picture is painted (*picture*), and what of
that is computing and drawing (*script*); the rest is waiting for the screen, which shows sixty
frames a second. page.json keeps the figures.
"""

import random
from itertools import count
from pathlib import Path
from statistics import median

import click

from benchmarks.records import ROOT, load_average, provenance, write

RESULTS = Path(__file__).parent / "page.json"
COMMAND = "python -m benchmarks.page"
MOVES, WARM = 200, 10
SITE = ROOT / "site" / "_build" / "html"
SIDES = ("x", "width"), ("y", "height")
SHOWN = {"K-shot, MAML": ["MAML"], "K-shot, all five": None}
# Times what the page does at an event: the capturing listener comes before all others, the bubbling
# one after. The task after a frame's callbacks begins when the frame has been painted.
WATCH = """(kind) => {
  window.times = [];
  let begun;
  addEventListener(kind, () => (begun = performance.now()), true);
  addEventListener(kind, () => {
    const script = performance.now() - begun;
    requestAnimationFrame(() => {
      const {port1, port2} = new MessageChannel();
      port1.onmessage = () => times.push([script, performance.now() - begun]);
      port2.postMessage(null);
    });
  });
}"""
MOVE = """([nth, share]) => {
  const slider = document.querySelectorAll('#k-shot input[type=range]')[nth];
  slider.value = Number(slider.min) + share * (slider.max - slider.min);
  slider.dispatchEvent(new Event('input', {bubbles: true}));
}"""


def summary(warm, times):
    """Return what page.json keeps of the times."""
    times = sorted(times)
    return {
        "first": round(max(warm), 1),
        "median": round(median(times), 1),
        "95th percentile": round(times[int(0.95 * len(times))], 1),
        "moves": len(times),
    }


def tick(tab, shown):
    """Leave ticked only the learners named in `shown`; all, if it is None."""
    for box in tab.locator("#k-shot label:has(input[type=checkbox])").all():
        box.locator("input").set_checked(shown is None or box.inner_text().strip() in shown)


def measure(tab, act, event):
    """Return the figures of script, and until the picture, of many calls of `act`."""
    tab.evaluate(WATCH, event)
    for number in range(1, WARM + MOVES + 1):
        act()
        tab.wait_for_function("(number) => times.length === number", arg=number)
    script, picture = zip(*tab.evaluate("times"), strict=True)
    figures = {"script": script, "picture": picture}
    return {name: summary(times[:WARM], times[WARM:]) for name, times in figures.items()}


def k_shot(tab, rng, shown):
    """Time moves of sliders, with some learners."""
    tick(tab, shown)

    def move():
        tab.wait_for_timeout(rng.uniform(0, 17))  # nobody moves in step with the screen
        tab.evaluate(MOVE, [rng.randrange(6), rng.random()])

    return measure(tab, move, "input")


def drawing(tab, rng):
    """Time strokes on the query pad."""
    tab.get_by_text("fill in an example").click()
    pad = tab.locator(".mamlkit-pad canvas").last
    clear = tab.get_by_label("clear query")
    pad.scroll_into_view_if_needed()
    box, strokes = pad.bounding_box(), count(0)

    def move():
        x, y = (box[start] + rng.random() * box[side] for start, side in SIDES)
        tab.mouse.move(x, y, steps=4)

    def stroke():
        if next(strokes) % 4 == 0:
            clear.press("Enter")
        move()
        tab.mouse.down()
        move()
        tab.mouse.up()

    return measure(tab, stroke, "pointerup")


@click.command()
def main():
    """Measure and keep."""
    if not (SITE / "index.html").exists():
        raise click.ClickException(f"{SITE} is missing: run `make site` first")
    from tests.browser import static, still_page

    load, rng, rows = load_average(), random.Random(0), {}
    with static(SITE) as host:
        for name, shown in SHOWN.items():
            with still_page(f"{host}index.html") as (tab, _):
                tab.locator("#k-shot [role=status]").wait_for()
                rows[name] = k_shot(tab, rng, shown)
        with still_page(f"{host}draw.html") as (tab, _):
            tab.locator("#draw [role=status]").wait_for()
            rows["draw your own"] = drawing(tab, rng)
    write(RESULTS, {"milliseconds": rows, "run": provenance(load, COMMAND)})
    for name, row in rows.items():
        click.echo(f"{name:30s} {row}")


if __name__ == "__main__":
    main()
