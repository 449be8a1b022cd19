"""Draw-your-own of the site answers as the notebook's does: same strokes, pixels, features."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from browser import chromium, run_node, static, still_page

from experiments.replay import strokes_of
from mamlkit import glyphs, pretrained
from mamlkit.show.widgets.drawing import WAYS, DrawYourOwn
from mamlkit.show.widgets.pad import character
from mamlkit.show.widgets.page import WEIGHTS, write_drawing_page

ROOT = Path(__file__).parents[1]
EPISODES, QUERIES = 40, 5
PROGRAM = """
import { readFileSync } from "node:fs";
import { character, features, readNetwork, scores, summary } from "./drawing.js";
import { parseSafetensors } from "./page.js";
const read = (name) => {
  const { buffer, byteOffset, byteLength } = readFileSync(name);
  return parseSafetensors(buffer.slice(byteOffset, byteOffset + byteLength));
};
const network = readNetwork(read("WEIGHTS"));
const look = (strokes) => features(network, character(strokes));
const { data } = read("examples.safetensors").examples;
const images = Array.from({ length: 20 }, (_, i) => data.slice(784 * i, 784 * (i + 1)));
const seen = images.map((image) => features(network, image));
const classes = seen.slice(0, 5);
const episodes = JSON.parse(readFileSync("episodes.json"));
const answers = episodes.map(([support, queries]) => {
  const drawings = support.map(look);
  return queries.map(look).map((query) => {
    const values = scores(network, drawings, query);
    const sentence = summary(drawings, query, values);
    return { best: values.indexOf(Math.max(...values)), sentence };
  });
});
const pixels = episodes[0][0].map((strokes) => [...character(strokes)]);
console.log(JSON.stringify({
  features: seen.map((one) => [...one]),
  scores: scores(network, classes, seen[6]),
  answers,
  pixels,
  empty: [summary([seen[0], null, null, seen[1], null]), summary(classes)],
}));
""".replace("WEIGHTS", WEIGHTS)


@pytest.fixture(scope="module")
def model():
    return pretrained.load("omniglot-5way-1shot", device="cpu")


@pytest.fixture(scope="module")
def images():
    return glyphs(10, drawings=4, seed=3).images


def draw_episodes():
    """Drawings of invented characters, as strokes on pads: of each class one, and queries."""
    scans = glyphs(100, drawings=6, size=105, seed=7).images[:, :, 0] > 127
    generator, episodes = torch.Generator().manual_seed(0), []
    for _ in range(EPISODES):
        classes = torch.randperm(100, generator=generator)[:WAYS]
        support = [strokes_of(scans[index, 0].numpy()) for index in classes]
        queries = [strokes_of(scans[index, 1 + q].numpy()) for q, index in enumerate(classes)]
        episodes.append((support, queries))
    return episodes


@pytest.fixture(scope="module")
def page(model, images, tmp_path_factory):
    """What the page's scripts make of images, and of the strokes of all episodes."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed; it runs the page's script")
    folder, episodes = tmp_path_factory.mktemp("page"), draw_episodes()
    write_drawing_page(images, folder)
    (folder / "episodes.json").write_text(json.dumps(episodes))
    return {**run_node(PROGRAM, folder), "episodes": episodes}


def test_the_page_computes_the_features_and_scores_that_torch_does(page, model, images):
    learner, params = model
    x = images.flatten(0, 1)[:20].float() / 255
    body = {n.removeprefix("body."): w for n, w in params.weights.items()}
    expected = torch.func.functional_call(learner.module.body, body, x)
    error = (torch.tensor(page["features"]) - expected).norm() / expected.norm()
    assert error < 1e-4
    adapted = learner.adapt(params, (x[:5], torch.arange(5)))
    expected = learner.predict(adapted, x[6:7])[0].detach()
    torch.testing.assert_close(torch.tensor(page["scores"]), expected, rtol=1e-4, atol=1e-3)


def test_the_page_sees_the_pixels_that_the_notebook_sees(page):
    """Up to a pixel of the scan here and there: Pillow rounds in ways of its own."""
    for strokes, pixels in zip(page["episodes"][0][0], page["pixels"], strict=True):
        difference = (torch.tensor(pixels).view(1, 28, 28) - character(strokes)).abs()
        assert difference.mean() < 0.005


def test_the_page_answers_as_the_notebook_does(page, model):
    """200 drawings that the network was not trained on: the same answer to at least 198."""
    learner, params = model
    same = 0
    for (support, queries), answers in zip(page["episodes"], page["answers"], strict=True):
        x = torch.stack([character(strokes) for strokes in support])
        adapted = learner.adapt(params, (x, torch.arange(WAYS)))
        query_x = torch.stack([character(strokes) for strokes in queries])
        expected = learner.predict(adapted, query_x).argmax(1).tolist()
        same += sum(a["best"] == e for a, e in zip(answers, expected, strict=True))
    assert EPISODES * QUERIES == 200 and same >= 198


def test_the_page_says_what_the_notebook_says(page, model):
    explorer = DrawYourOwn(*model, glyphs(5, drawings=2).images)
    assert page["empty"][0] == explorer.summary().replace("0, 1, 2, 3, 4", "1, 2, 4")
    explorer.fill()
    explorer.query.wipe()
    assert page["empty"][1] == explorer.summary()
    explorer.wipe()
    support, queries = page["episodes"][0]
    for pads, strokes in zip(explorer.pads, support, strict=True):
        pads[0].strokes = strokes
    explorer.query.strokes = queries[0]
    ours, theirs = page["answers"][0][0]["sentence"], explorer.summary()
    score = re.compile(r"score (−?\d+)")
    assert score.sub("", ours) == score.sub("", theirs)
    numbers = lambda sentence: [int(n.replace("−", "-")) for n in score.findall(sentence)]
    assert len(numbers(ours)) == 5  # a pixel apart, a score may be rounded to the other side
    assert all(abs(a - b) <= 1 for a, b in zip(numbers(ours), numbers(theirs), strict=True))


@pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")
def test_the_page_is_drawn_on_with_the_mouse(images, tmp_path):
    write_drawing_page(images, tmp_path / "draw")
    shutil.copy(ROOT / "site" / "_static" / "draw.js", tmp_path)
    (tmp_path / "drawing.png").write_bytes(b"")
    page = '<img src="drawing.png"><div id="draw"></div><script type="module" src="draw.js">'
    (tmp_path / "index.html").write_text(f"<!doctype html>{page}</script>", encoding="utf8")
    with static(tmp_path) as host, still_page(f"{host}index.html") as (tab, faults):
        sentence = tab.locator("[role=status]")
        sentence.wait_for()
        assert "Still empty: 0, 1, 2, 3, 4" in sentence.inner_text()
        lines = [
            (0.5, 0.1, 0.5, 0.9),
            (0.1, 0.5, 0.9, 0.5),
            (0.1, 0.1, 0.9, 0.9),
            (0.9, 0.1, 0.1, 0.9),
        ]
        lines += [(0.5, 0.5, 0.5, 0.5), (0.6, 0.2, 0.65, 0.9)]  # a dot; nearly the first once more
        for number, line in enumerate(lines):
            draw(tab, tab.locator(".mamlkit-pad canvas").nth(number), line)
        assert "the query is class 0" in sentence.inner_text()
        tab.get_by_text("clear all").press("Enter")
        assert "Still empty: 0, 1, 2, 3, 4" in sentence.inner_text()
        tab.get_by_text("fill in an example").press("Enter")
        assert "the query is class" in sentence.inner_text()
        assert not faults


def draw(tab, pad, line):
    """Draw a straight line, given as shares of the pad's side."""
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    places = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (line[:2], line[2:])
    ]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    tab.mouse.move(*places[1], steps=5)
    tab.mouse.up()
