"""The series as a whole: questions have answers, words a glossary, every band a reason."""

import json
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SERIES = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
name = lambda path: path.stem


def prose(path):
    book = nbformat.read(path, as_version=4)
    return "\n".join(c.source for c in book.cells if c.cell_type == "markdown")


def plain(text):
    """Words only: no emphasis, no links, one space between them."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`]", "", text).split())


def numbered(text):
    """The three items of a numbered list, without what follows it."""
    items = re.split(r"^(?=\d\. )", text, flags=re.MULTILINE)[1:]
    return [re.sub(r"^\d\. ", "", item.split("\n\n")[0]) for item in items[:3]]


@pytest.mark.parametrize("path", SERIES, ids=name)
def test_every_question_is_answered(path):
    questions = numbered(prose(path).split("### Three questions")[1].split("### Exercise")[0])
    solutions = NOTEBOOKS / "solutions" / f"{path.stem}_solutions.ipynb"
    answers = numbered(prose(solutions).split("## Answers to the three questions")[1])
    assert len(questions) == len(answers) == 3
    for question, answer in zip(questions, answers, strict=True):
        question, answer = plain(question), plain(answer)
        assert answer.startswith(question), (question, answer)
        assert len(answer) > len(question) + 5


@pytest.mark.parametrize("path", SERIES, ids=name)
def test_an_exercise_is_larger_than_a_number(path):
    """A stub that checks itself, and a function of the same name in the solutions."""
    cells = nbformat.read(path, as_version=4).cells
    stub = r"^def (\w+)\([^)]*\):\n    \"\"\".*?\"\"\"\n(?:    #.*\n)?    \.\.\."
    stubs = [m for c in cells for m in re.findall(stub, c.source, re.MULTILINE | re.DOTALL)]
    assert stubs and "(Larger.)" in prose(path)
    solutions = nbformat.read(NOTEBOOKS / "solutions" / f"{path.stem}_solutions.ipynb", 4)
    code = "\n".join(c.source for c in solutions.cells if c.cell_type == "code")
    for stub in stubs:
        if stub != "where_pretraining_wins":  # its answer is three numbers
            assert f"def {stub}(" in code


@pytest.mark.parametrize("path", SERIES, ids=name)
def test_the_head_links_to_the_glossary(path):
    head = nbformat.read(path, as_version=4).cells[0].source
    assert "(glossary.md)" in head


def test_the_glossary_is_sorted_and_leads_to_notebooks():
    text = (NOTEBOOKS / "glossary.md").read_text("utf8")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \| \[(\d\d)\]\((\S+)\) \|$", text, re.MULTILINE)
    assert len(rows) > 60 and len(rows) == text.count("\n| **")
    terms = [re.sub(r"[`*]", "", term).lower() for term, *_ in rows]
    assert terms == sorted(terms) and len(set(terms)) == len(terms)
    there = {path.name for path in SERIES}
    for term, meaning, number, target in rows:
        assert target.startswith(number) and meaning.count(". ") == 0, term
        assert target in there, target


def test_the_map_names_all_sixteen():
    text = prose(NOTEBOOKS / "00_start_here.ipynb")
    rows = re.findall(r"^\| \[?(\d\d) ", text, re.MULTILINE)
    assert rows == [f"{number:02d}" for number in range(1, 16)]


BANDS = json.loads((NOTEBOOKS.parent / "experiments" / "results" / "bands.json").read_text("utf8"))[
    "notebooks"
]
# Bands that are wider on purpose, and why.
WIDE = {
    "eager step, times the compiled one": "a clock",
    "time of 25 tasks at once / of one task": "a clock",
}


@pytest.mark.parametrize("book", BANDS)
def test_a_band_is_at_most_three_times_the_spread_over_seeds(book):
    for claim, found in BANDS[book].items():
        low, high = found["band"]
        values = [value for value in found["values"] if value is not None]
        spread = max(values) - min(values)
        if claim not in WIDE and spread > 0:
            assert high - low <= 3.05 * spread, (claim, found)


@pytest.mark.parametrize("book", BANDS)
def test_the_bands_measured_are_those_of_the_page(book):
    """If not: `python -m experiments.bands --only 02`, after its entry in bands.json is deleted."""
    cells = nbformat.read(NOTEBOOKS / f"{book}.ipynb", as_version=4).cells
    text = "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))
    printed = re.findall(r"^✓ (.*): [^:]+, between (\S+) and (\S+)$", text, re.MULTILINE)
    measured = [
        (claim, *(f"{end:g}" for end in found["band"])) for claim, found in BANDS[book].items()
    ]
    assert sorted(printed) == sorted(measured)
