"""The slider of 01 and the quiz of 06 on the site: the same sentences and scores as in Python."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import chromium, static, still_page

from mamlkit.show.widgets.episodes import NAMES
from mamlkit.show.widgets.page import (
    NarrowObjective,
    make_quiz,
    write_objective_page,
    write_quiz_page,
)

ROOT = Path(__file__).parents[1]
browser = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def viewer():
    return make_quiz()


@contextmanager
def opened(folder, name):
    """A page with a still picture and the explorer of this name; it ends without any fault."""
    shutil.copy(ROOT / "site" / "_static" / "states.js", folder)
    page = f'<p><img src="states/{name}-0.png"><div data-states="{name}"></div>'
    page += '<script type="module" src="states.js"></script>'
    (folder / "index.html").write_text(f"<!doctype html>{page}", encoding="utf8")
    with static(folder) as host, still_page(f"{host}index.html") as (tab, faults):
        yield tab
        assert not tab.locator(f'img[src*="{name}-0.png"]').is_visible()
        assert not faults


def wait_for_caption(tab, sentence):
    """Wait until the picture's sentence is this one."""
    expected = "text => document.querySelector('figcaption')?.textContent === text"
    tab.wait_for_function(expected, arg=sentence)


@browser
def test_the_slider_says_what_the_notebook_says(tmp_path):
    explorer = NarrowObjective()
    write_objective_page(explorer, tmp_path / "states")
    with opened(tmp_path, "objective") as tab:
        slider = tab.get_by_role("slider", name="inner steps m")
        pictures = set()
        for m in range(11):
            explorer.m.value = m
            wait_for_caption(tab, explorer.summary())
            assert slider.input_value() == str(m)
            image = tab.locator("figure img")
            image.evaluate("image => image.decode()")
            size = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
            assert size == [explorer.canvas.width, explorer.canvas.height]
            pictures.add(image.get_attribute("src"))
            slider.press("ArrowRight")
        assert len(pictures) == 11


@browser
def test_the_quiz_counts_as_the_notebook_does(viewer, tmp_path):
    """By keyboard: an episode that is answered, one only looked at, one answered in part."""
    write_quiz_page(viewer, tmp_path / "states", episodes=3)
    viewer.results.clear()
    with opened(tmp_path, "quiz") as tab:
        selects = tab.get_by_role("combobox")
        assert selects.count() == 10
        reveal = tab.get_by_role("button", name="reveal")
        for seed, typed in enumerate(("0123401234", "", "000000000?")):
            viewer.seed.value, viewer.reveal.value, viewer.labels.value = seed, False, ""
            wait_for_caption(tab, f"{viewer.summary()} Episode {seed + 1} of 3.")
            for i, label in enumerate(typed):
                tab.get_by_label(f"label of query {NAMES[i]}").press(label)
            reveal.press("Enter")
            wrong = (int(viewer.task.query_y[-1]) + 1) % 5  # as good as none
            viewer.labels.value, viewer.reveal.value = typed.replace("?", str(wrong)), True
            wait_for_caption(tab, viewer.summary())
            assert selects.first.is_disabled() and reveal.is_disabled()
            tab.keyboard.press("Enter")  # another episode has the focus
            assert selects.first.input_value() == "?"
        assert "So far: you " in viewer.summary() and " of 20" in viewer.summary()
        viewer.seed.value = 0
        wait_for_caption(tab, f"{viewer.summary()} Episode 1 of 3.")  # from the start


def test_what_is_written_is_small_and_invented(viewer, tmp_path):
    write_quiz_page(viewer, tmp_path)
    write_objective_page(NarrowObjective(), tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 2 * 20 + 11
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1e6
    rounds = json.loads((tmp_path / "quiz.json").read_text("utf8"))["rounds"]
    right = sum(
        a == b for *_, labels, answers in rounds for a, b in zip(labels, answers, strict=True)
    )
    assert len(rounds) == 20 and 150 < right < 200  # neither chance nor never wrong
