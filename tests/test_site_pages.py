"""Every page of the site as `make site` left it, in a real browser: can all readers use it?"""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from browser import chromium, static

HTML = Path(__file__).parents[1] / "site" / "_build" / "html"
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html"))
KINDS = [  # one of each, looked at in the dark too
    "index.html", "search.html", "genindex.html", "api.html", "notebooks/07_omniglot_maml.html",
    "notebooks/06_omniglot_episodes.html", "notebooks/glossary.html",
    "notebooks/solutions/03_sinusoid_regression_solutions.html", "experiments/ACCURACY.html",
    "_modules/mamlkit/learners/maml.html",
]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(not PAGES, reason="the site is not built; `make site` builds it"),
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed"),
]
SERIOUS = """async () => {
  await window.MathJax?.startup?.promise;
  const seen = new Set();  // a word of code has its colour by its class: look at one of each
  for (const word of document.querySelectorAll("pre span, code span, .sig span")) {
    const key = `${word.className} in ${word.parentElement.className}`;
    if (seen.has(key)) word.replaceWith(...word.childNodes);
    else seen.add(key);
  }
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ target, html }) => `${id} ${target}: ${html}`));
}"""
NUMBER = """() => {
  const seen = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return width * height > 0 && getComputedStyle(element).visibility === "visible";
  };
  const stops = [...document.querySelectorAll(
    "a[href], button, input, select, summary, label[for]:not(.overlay), [tabindex]"
  )].filter(seen);
  stops.forEach((element, i) => { element.dataset.number = i; });
  return stops.length;
}"""
WIDTH = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"


@pytest.fixture(scope="module")
def tab():
    """Return a function that opens a page of the site, with a width and a colour scheme."""
    playwright = pytest.importorskip("playwright.sync_api")
    with static(HTML) as address, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(600_000)  # a busy machine is no failure

        def open_page(name, width=1280, scheme="light"):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            page.goto(f"{address}{name}")
            if name == "index.html":
                page.locator("#k-shot svg").first.wait_for()
            if page.locator("[data-states]").count():
                page.locator("figcaption").filter(has_text=".").wait_for()
            return page

        yield open_page
        browser.close()


def read(name):
    return (HTML / name).read_text("utf8")


def serious(page):
    """What axe-core holds against a page, and whether one has to scroll it sideways."""
    axe = pytest.importorskip("axe_playwright_python").__name__
    page.evaluate(files(axe).joinpath("axe.min.js").read_text("utf8"))
    faults = page.evaluate(SERIOUS)
    wide, window = page.evaluate(WIDTH)
    return [*faults, *([f"{wide} pixels wide"] if wide > window else [])]


def test_axe_finds_nothing_serious_on_a_phone(tab):
    """On any page."""
    faults = {name: found for name in PAGES if (found := serious(tab(name, width=360)))}
    assert not faults, json.dumps(faults, indent=1)


@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_nothing_serious_in_the_dark(tab, name):
    assert not serious(tab(name, scheme="dark"))


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", [
    "index.html", "notebooks/03_sinusoid_regression.html", "notebooks/06_omniglot_episodes.html"
])  # fmt: skip
def test_everything_is_reached_by_keyboard(tab, name, width):
    page = tab(name, width=width)
    count = page.evaluate(NUMBER)
    reached = set()
    for _ in range(count + 10):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.number"))
    missed = [i for i in range(count) if str(i) not in reached]
    assert count > 50 and not missed, page.evaluate(
        "missed => missed.map(i => document.querySelector(`[data-number='${i}']`).outerHTML)",
        missed,
    )
    assert reached <= {None, *map(str, range(count))}  # nothing that cannot be seen


def test_the_menu_opens_by_keyboard(tab):
    page = tab("run.html", width=360)
    assert not page.get_by_role("link", name="Solutions", exact=True).is_visible()
    page.get_by_role("button", name="Toggle site navigation sidebar").first.press("Enter")
    page.get_by_role("link", name="Solutions", exact=True).wait_for(state="visible")


def test_every_picture_is_told_in_words():
    """By more than the name of its file, which Sphinx puts where nothing is said."""
    images = [tag for name in PAGES for tag in re.findall(r"<img [^>]*>", read(name), re.DOTALL)]
    texts = [re.search(r'alt="([^"]*)"', tag)[1] for tag in images]
    assert len(texts) > 70
    assert not [text for text in texts if len(text) < 10 or text.endswith((".png", ".svg"))]


def test_the_site_is_small():
    assert sum(path.stat().st_size for path in HTML.rglob("*") if path.is_file()) < 25e6
