"""The explorer of the site is that of the notebooks: same state, same sentence, same numbers."""

import json
import random
import shutil
from pathlib import Path

import pytest
from browser import chromium, run_node, static, still_page

from mamlkit.show.widgets.k_shot import KShotExplorer
from mamlkit.show.widgets.page import write_page
from mamlkit.show.widgets.starts import sine_learners

ROOT = Path(__file__).parents[1]
NODE = shutil.which("node")
PROGRAM = """
import { readFileSync } from "node:fs";
import { compute, summary } from "./k_shot.js";
import { parseSafetensors } from "./page.js";
const { learners, points } = JSON.parse(readFileSync("explorer.json"));
for (const learner of learners) {
  const { buffer, byteOffset, byteLength } = readFileSync(`${learner.name}.safetensors`);
  learner.weights = parseSafetensors(buffer.slice(byteOffset, byteOffset + byteLength));
}
const answers = JSON.parse(readFileSync("states.json")).map((state) => {
  const found = compute(state, learners, points);
  const each = Object.entries(found.found);
  const last = Object.fromEntries(each.map(([name, { fits }]) => [name, [...fits[state.steps]]]));
  return { sentence: summary(state, found), seen: found.seen, fits: last };
});
console.log(JSON.stringify(answers));
"""


@pytest.fixture
def explorer(monkeypatch):
    made = KShotExplorer(sine_learners())
    monkeypatch.setattr(made, "refresh", lambda: None)  # not at every move
    return made


def wander(explorer, dice):
    """Move every control somewhere, as a reader might."""
    explorer.k.value = dice.randint(0, 20)
    explorer.steps.value = dice.randint(0, 20)
    explorer.lr.value = 10 ** dice.choice([-4, -3, -2.5, -2])
    explorer.amplitude.value = round(dice.uniform(0.1, 8), 1)
    explorer.phase.value = round(dice.uniform(0, 6.28), 2)
    explorer.noise.value = dice.choice([0.0, 0.0, 0.5, 1.25])
    explorer.seed = dice.randrange(50)
    explorer.added = [(dice.uniform(-5, 5), dice.uniform(-9, 9)) for _ in range(dice.randrange(3))]
    for tick in explorer.ticks.values():
        tick.value = dice.random() < 0.7
    explorer.compute()


@pytest.mark.skipif(NODE is None, reason="node is not installed; it runs the page's script")
def test_the_page_says_what_the_notebook_says(explorer, tmp_path):
    """Over 50 random states: the sentence, the points, and the curves to 1e-4."""
    write_page(explorer, tmp_path)
    dice, states, expected = random.Random(0), [], []
    for _ in range(50):
        wander(explorer, dice)
        states.append(explorer.state())
        fits = {name: fit.flatten().tolist() for name, fit in explorer.curves.items()}
        expected.append((explorer.summary(), explorer.support_x.flatten().tolist(), fits))
    (tmp_path / "states.json").write_text(json.dumps(states))
    answers = run_node(PROGRAM, tmp_path)
    assert len(answers) == 50
    for answer, (sentence, xs, fits) in zip(answers, expected, strict=True):
        assert answer["sentence"] == sentence
        assert [x for x, _ in answer["seen"]] == pytest.approx(xs, abs=1e-5)
        assert answer["fits"].keys() == fits.keys()
        for name, fit in fits.items():
            largest = max(1.0, *map(abs, fit))
            assert answer["fits"][name] == pytest.approx(fit, rel=1e-4, abs=1e-4 * largest)


@pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")
def test_the_page_lives_without_python(explorer, tmp_path):
    """By keyboard and mouse, in a real browser, with no request to another host."""
    write_page(explorer, tmp_path / "k_shot")
    shutil.copy(ROOT / "site" / "_static" / "live.js", tmp_path)
    (tmp_path / "explorer.png").write_bytes(explorer.picture.value)
    page = '<img src="explorer.png"><div id="k-shot"></div><script type="module" src="live.js">'
    (tmp_path / "index.html").write_text(f"<!doctype html>{page}</script>", encoding="utf8")
    with static(tmp_path) as host, still_page(f"{host}index.html") as (tab, faults):
        sentence = tab.locator("[role=status]")
        sentence.wait_for()
        explorer.compute()
        assert sentence.inner_text() == explorer.summary()
        tab.focus("input[type=range]")
        tab.keyboard.press("ArrowRight")
        explorer.k.value += 1
        explorer.compute()
        assert sentence.inner_text() == explorer.summary()
        tab.locator("svg").click(position={"x": 200, "y": 100})
        assert "1 of them added by hand" in sentence.inner_text()
        tab.locator("input[type=range]").nth(1).press("ArrowRight")
        assert "after 2 gradient steps" in sentence.inner_text()
        assert not faults
