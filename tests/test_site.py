"""What the site is put together from: badges, the map of the series, links; nothing is built."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "site"))

import build as site  # noqa: E402
import colab  # noqa: E402
import links  # noqa: E402
import series  # noqa: E402

SERIES = series.read_series(ROOT)
HOSTS = re.compile(r'<a class="badge" href="(https://[^"]+)">(\w+)</a>')


@pytest.fixture(scope="module", params=["somebody/mamlkit-fork", ""], ids=["address", "none"])
def source(request, tmp_path_factory):
    """Return the address, and what Sphinx would build for it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("site")
        patch.setattr(site, "BUILD", folder)
        patch.setattr(site, "SOURCE", folder / "source")
        site.assemble()
        site.adapt_notebooks(request.param)
        site.fill_pages(request.param)
    return request.param, folder / "source"


def badges_of(text):
    return {host: address for address, host in HOSTS.findall(text)}


def expected(address, path):
    return {
        "Colab": f"https://colab.research.google.com/github/{address}/blob/main/{path}",
        "Binder": f"https://mybinder.org/v2/gh/{address}/main?labpath={path.replace('/', '%2F')}",
    }


def test_badges_follow_the_address(source):
    """On each notebook's page, in its row of 00, in its row of the first page; or nowhere."""
    address, folder = source
    tour = json.loads((folder / SERIES[0].path).read_text("utf8"))
    rows = "\n".join("".join(cell["source"]) for cell in tour["cells"]).splitlines()
    rows += (folder / "index.md").read_text("utf8").splitlines()
    assert len(SERIES) == 16
    for book in SERIES:
        assert (ROOT / book.path).is_file()
        text = json.loads((folder / book.path).read_text("utf8"))["cells"][0]["source"]
        wanted = expected(address, book.path) if address else {}
        assert text.startswith(f"# {book.number} · ")
        assert badges_of(text) == wanted
        mine = [row for row in rows if re.match(rf"(- \*\*|\| )\[{book.number} ", row)]
        assert len(mine) == (1 if book.number == "00" else 2)
        assert all(badges_of(row) == wanted for row in mine)


def test_no_host_is_named_without_an_address(source):
    address, folder = source
    text = "".join(path.read_text("utf8") for path in folder.glob("*.md"))
    text += "".join(path.read_text("utf8") for path in folder.rglob("*.ipynb"))
    assert ("mybinder.org" in text) == ("## In Colab or Binder" in text) == bool(address)
    assert (f"git clone https://github.com/{address}" in text) == bool(address)
    assert ("<this repository>" in text) == (not address)


def test_the_map_is_the_notebooks_own():
    """Its lines are what the notebooks say they need, and every one can be read in order."""
    seen = set()
    for book in SERIES:
        head = json.loads((ROOT / book.path).read_text("utf8"))["cells"][0]["source"]
        clause = "".join(head).split("**You need**")[1]
        assert set(book.needs) <= set(re.findall(r"\[(\d\d)\]", clause))
        assert seen.issuperset(book.needs), book
        seen.add(book.number)
    needs = {book.number: book.needs for book in SERIES}
    assert needs["02"] == ("01",) and needs["07"] == ("02", "06")
    assert series.direct_needs(SERIES)["09"] == ["05"]  # which needs 02 and 03
    drawing = series.draw_map(SERIES)
    pages = re.findall(r'<a href="([^"]+)\.html">', drawing)
    assert [f"{page}.ipynb" for page in pages] == [book.path for book in SERIES]


def test_no_line_of_the_map_runs_through_a_node():
    needs = series.direct_needs(SERIES)
    lanes = series.choose_lanes(SERIES, needs)
    numbers = [book.number for book in SERIES]
    for child in numbers:
        for parent in needs[child]:
            assert lanes[parent] < lanes[child]
            between = numbers[numbers.index(parent) + 1 : numbers.index(child) + 1]
            assert lanes[parent] not in {lanes[number] for number in between}


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="#here"></a><a href="b.html#there"></a><a href="https://x.org/y"></a>'
        '<a href="#gone"></a><a href="b.html#gone"></a><a href="c.html"></a><img src="d.png">',
        encoding="utf8",
    )
    (tmp_path / "b.html").write_text('<p id="there">', encoding="utf8")
    found = [line.split(": ")[1] for line in links.broken_links(tmp_path)]
    assert found == ["#gone", "b.html#gone", "c.html", "d.png"]


def test_the_workflows_run_the_commands_of_the_readme():
    folder = ROOT / ".github" / "workflows"
    ci, pages = (yaml.safe_load((folder / f"{n}.yml").read_text("utf8")) for n in ("ci", "pages"))
    matrix = ci["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == ["3.11", "3.14"]
    commands = [step.get("run") for step in ci["jobs"]["test"]["steps"]]
    assert commands[-1] == "make test"
    steps = pages["jobs"]["build"]["steps"]
    assert "make site" in [step.get("run") for step in steps]
    assert steps[-1]["with"]["path"] == site.HTML.relative_to(ROOT).as_posix()
    readme = (ROOT / "README.md").read_text("utf8")
    assert "make test" in readme and "make site" in readme


def test_a_notebook_installs_mamlkit_where_it_is_missing(tmp_path, monkeypatch):
    """The cell comes first, does nothing here, something elsewhere, and goes without a trace."""
    path = tmp_path / "book.ipynb"
    solutions = sorted(ROOT.glob("notebooks/solutions/*.ipynb"))
    for original in [*(ROOT / book.path for book in SERIES), *solutions]:
        shutil.copy(original, path)
        before = path.read_bytes()
        for _ in range(2):
            colab.change(path, "notebooks", "somebody/mamlkit-fork")
        cells = nbformat.read(path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert ["find_spec" in cell.source for cell in code[:2]] == [True, False]
        assert cells[0].source.startswith("# ")
        colab.change(path, "notebooks", "")
        assert path.read_bytes() == before
    commands = []
    shell = SimpleNamespace(system=commands.append, run_line_magic=lambda *c: commands.append(c))
    monkeypatch.chdir(tmp_path)
    move = ("cd", "mamlkit-fork/notebooks")

    def run(installed):
        commands.clear()
        monkeypatch.setattr("importlib.util.find_spec", lambda _: installed)
        exec(code[0].source, {"get_ipython": lambda: shell})
        return commands

    assert run(installed=True) == []  # here
    (tmp_path / move[1]).mkdir(parents=True)
    fetch, install, last = run(installed=False)
    assert "github.com/somebody/mamlkit-fork" in fetch and "./mamlkit-fork" in install[1]
    assert last == move
    assert run(installed=True) == [move]  # a restart
