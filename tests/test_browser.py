"""The explorers in JupyterLab, in a real browser: keyboard, mouse, screenshots."""

import shutil
from pathlib import Path

import pytest
from browser import NOTEBOOKS, Page, chromium, lab
from nbconvert import HTMLExporter

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium here: apt install chromium, or any Chrome"
)
SHOTS = Path(__file__).parents[1] / "screenshots"  # ignored by git; look at them


@pytest.fixture(scope="module")
def browser():
    SHOTS.mkdir(exist_ok=True)
    with playwright.sync_playwright() as engine:
        chrome = engine.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield chrome
        chrome.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(path, folder)
    with lab(folder) as address_and_token:
        yield address_and_token


@pytest.fixture
def opened(browser, server):
    pages = []

    def opened(name):
        pages.append(Page(browser, server, name))
        assert pages[-1].run_all() == []
        return pages[-1]

    yield opened
    for page in pages:
        page.page.close()


def test_every_slider_of_the_k_shot_explorer_moves_by_keyboard(opened):
    page = opened("04_k_shot_explorer.ipynb")
    page.figure()
    sliders = page.page.locator(".jp-OutputArea").locator(".widget-slider").all()
    labels = [slider.locator(".widget-label").text_content() for slider in sliders[:6]]
    assert all(labels)
    before = page.seen()
    for slider in sliders[:6]:
        slider.locator(".noUi-handle").focus()
        page.page.keyboard.press("ArrowRight")
        before = page.changed(before)
    box = page.page.locator(".widget-checkbox input").first
    box.focus()
    page.page.keyboard.press("Space")
    before = page.changed(before)
    page.figure().screenshot(path=SHOTS / "k_shot.png")
    assert page.errors == []


def test_a_click_on_the_plot_adds_a_point(opened):
    page = opened("04_k_shot_explorer.ipynb")
    before = page.seen()
    size = page.figure().locator("img").bounding_box()
    at = {"x": 0.3 * size["width"], "y": 0.4 * size["height"]}
    page.figure().locator("img").click(position=at)
    sentence, _ = page.changed(before)
    assert "1 of them added by hand" in sentence
    assert page.errors == []


def test_an_episode_is_revealed_by_keyboard(opened, omniglot):
    page = opened("06_omniglot_episodes.ipynb")
    before = page.seen()
    page.page.locator(".widget-slider .noUi-handle").nth(0).focus()
    page.page.keyboard.press("ArrowLeft")
    before = page.changed(before)
    assert "Press reveal" in before[0]
    page.page.get_by_label("your labels").fill("0123012301")
    page.page.locator(".widget-toggle-button").focus()
    page.page.keyboard.press("Space")
    sentence, _ = page.changed(before)
    assert "of its ten answers are right" in sentence and "You: " in sentence
    page.page.screenshot(path=SHOTS / "episodes.png")
    assert page.errors == []


@pytest.mark.parametrize("name", ["01_learning_to_learn", "04_k_shot_explorer", "08_draw_your_own"])
def test_a_saved_notebook_shows_stills_without_javascript(browser, tmp_path, name):
    page, _ = HTMLExporter().from_filename(NOTEBOOKS / f"{name}.ipynb")
    (tmp_path / "page.html").write_text(page, encoding="utf8")
    context = browser.new_context(java_script_enabled=False)
    try:
        tab = context.new_page()
        tab.goto((tmp_path / "page.html").as_uri())
        assert tab.locator(".mamlkit-picture").count() == 0  # nothing live is needed
        stills = tab.locator(".jp-OutputArea-output img").all()
        assert stills
        for still in stills:
            box = still.bounding_box()
            assert box["width"] > 300 and box["height"] > 150
        tab.screenshot(path=SHOTS / f"{name}_still.png", full_page=True)
    finally:
        context.close()


def draw(page, pad, points):
    """One stroke with the mouse; points as shares of the pad's side."""
    canvas = page.page.locator(".mamlkit-pad canvas").nth(pad)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    mouse, at = (
        page.page.mouse,
        lambda p: (box["x"] + p[0] * box["width"], box["y"] + p[1] * box["height"]),
    )
    mouse.move(*at(points[0]))
    mouse.down()
    for point in points[1:]:
        mouse.move(*at(point), steps=6)
    mouse.up()


CLEAR = [  # five characters that nobody takes for another
    [[(0.2, 0.2), (0.8, 0.8)], [(0.2, 0.8), (0.8, 0.2)]],
    [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]],
    [[(0.5, 0.1), (0.5, 0.9)]],
    [[(0.2, 0.3), (0.8, 0.3)], [(0.2, 0.7), (0.8, 0.7)]],
    [[(0.1, 0.8), (0.3, 0.2), (0.5, 0.8), (0.7, 0.2), (0.9, 0.8)]],
]


def test_characters_drawn_with_the_mouse_are_told_apart(opened):
    page = opened("08_draw_your_own.ipynb")
    for way, strokes in enumerate(CLEAR):
        for stroke in strokes:
            draw(page, way, stroke)
    for way, strokes in enumerate(CLEAR):
        page.page.locator(".mamlkit-pad").nth(5).get_by_text("clear").click()
        for stroke in strokes:
            draw(page, 5, [(0.9 * x + 0.03, 0.9 * y + 0.06) for x, y in stroke])
        page.page.wait_for_function(
            "w => document.querySelector('figure.mamlkit-picture figcaption').innerText"
            ".includes(`the query is class ${w}`)",
            arg=way,
            timeout=600_000,
        )
    page.page.screenshot(path=SHOTS / "draw.png")
    assert page.errors == []


def test_only_the_pointer_that_began_draws(opened):
    """A second finger and the right button change nothing; a click leaves a dot that is seen."""
    page = opened("08_draw_your_own.ipynb")
    pad = page.page.locator(".mamlkit-pad").nth(0)
    canvas = pad.locator("canvas")
    canvas.scroll_into_view_if_needed()
    pad.get_by_text("clear").click()
    strokes = lambda: canvas.get_attribute("aria-label").split(": ")[1]
    assert strokes() == "0 strokes" and _ink(canvas) == 0
    canvas.click(button="right")
    assert strokes() == "0 strokes"
    canvas.click(position={"x": 40, "y": 40})
    assert strokes() == "1 stroke" and _ink(canvas) > 10
    fire = "(canvas, [kind, id]) => canvas.dispatchEvent(new PointerEvent(kind, {pointerId: id}))"
    box = canvas.bounding_box()
    page.page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.page.mouse.down()
    for kind in ("pointerdown", "pointermove", "pointerup"):
        canvas.evaluate(fire, [kind, 77])
    assert strokes() == "1 stroke"  # the second is still being drawn
    page.page.mouse.move(box["x"] + 80, box["y"] + 20, steps=4)
    page.page.mouse.up()
    assert strokes() == "2 strokes"
    assert page.errors == []


def _ink(canvas):
    """How many pixels of the pad are dark."""
    return canvas.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        ".filter((value, i) => i % 4 === 0 && value < 128).length"
    )
