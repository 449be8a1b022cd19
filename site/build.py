"""`make site`: put the pages together and let Sphinx build them; nothing is executed.

The notebooks with their committed outputs, the tables, the reports and the glossary are copied into
_build/source, beside the pages of this folder, and what the live explorers need;
_build/html is the site. Where repository.txt holds the address of a GitHub repository,
`owner/name`, each notebook gets badges that open it in Colab and Binder; where it is empty, none.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from links import broken_links
from pictures import add_alternatives
from series import badges, draw_map, list_notebooks, read_series

from mamlkit import glyphs
from mamlkit.show.widgets.k_shot import KShotExplorer
from mamlkit.show.widgets.page import (
    NarrowObjective,
    make_quiz,
    write_drawing_page,
    write_objective_page,
    write_page,
    write_quiz_page,
)
from mamlkit.show.widgets.starts import sine_learners

HERE = Path(__file__).parent
ROOT, BUILD = HERE.parent, HERE / "_build"
SOURCE, HTML = BUILD / "source", BUILD / "html"
MATHJAX = "static/mathjax/tex-svg.js"  # of the package sphinx-mathjax-offline, the one file needed
COPIED = [
    "notebooks",
    "experiments",
    "benchmarks/RESULTS.md",
    "benchmarks/results.json",
    "data/README.md",
    "LICENSE",
]
ROW = re.compile(r"^(\| \[\d\d .+\]\((\d\d_\w+\.ipynb)\) \|.*) \|$", re.MULTILINE)  # of 00's table
LIVE = {  # explorers in notebooks' pages: behind which cell, which, and the words before it
    "01_learning_to_learn.ipynb": ("ObjectiveExplorer(", "objective", ""),
    "06_omniglot_episodes.ipynb": (
        "press *reveal*",
        "quiz",
        "Here are twenty episodes of invented characters, with five ways and one shot (in the "
        "notebook you choose all of that). Give each query its label and press *reveal*: how many "
        "have you right, and how many has the network?\n\n"
        "![Five labelled drawings, and ten queries of the same characters.]"
        "(../_static/states/quiz-0.png)\n",
    ),
}
STATES = """
```{{raw}} html
<div class="mamlkit-states" data-states="{0}"></div>
<link rel="stylesheet" href="../_static/states/picture.css">
<script type="module" src="../_static/states.js"></script>
```
"""
ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
HOSTED = """
## In Colab or Binder

Binder installs everything by itself. In Colab the first cell of a notebook fetches the repository
and installs `mamlkit` from it (`python site/colab.py` put it there); run it first.

Nobody has tried either yet.
"""


def assemble():
    """Copy everything that becomes a page, or that a page links to."""
    shutil.rmtree(BUILD, ignore_errors=True)
    skip = shutil.ignore_patterns("*.py", "__pycache__", ".ipynb_checkpoints", "_build")
    shutil.copytree(HERE, SOURCE, ignore=shutil.ignore_patterns("build.py", "_build", "*.pyc"))
    for name in COPIED:
        path, target = ROOT / name, SOURCE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, ignore=skip)
        else:
            shutil.copy(path, target)
    results = ROOT / "tests/stress/results"
    shutil.copytree(results, SOURCE / "tests/stress/results")
    still = first_picture("08_draw_your_own.ipynb")
    (SOURCE / "_static" / "drawing.png").write_bytes(still)
    explorer = KShotExplorer(sine_learners(), shown=("MAML", "pretrained"))
    explorer.canvas.render().save(SOURCE / "_static" / "explorer.png")
    write_page(explorer, SOURCE / "_static" / "k_shot")
    write_drawing_page(glyphs(25, drawings=4, seed=9).images, SOURCE / "_static" / "draw")
    write_objective_page(NarrowObjective(), SOURCE / "_static" / "states")
    write_quiz_page(make_quiz(), SOURCE / "_static" / "states")
    package = Path(find_spec("sphinx-mathjax-offline").origin).parent
    shutil.copy(package / MATHJAX, SOURCE / "_static" / Path(MATHJAX).name)


def first_picture(notebook):
    """Return the first picture among a notebook's outputs."""
    book = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf8"))
    outputs = (output for cell in book["cells"] for output in cell.get("outputs", ()))
    pictures = (output.get("data", {}).get("image/png") for output in outputs)
    return base64.b64decode(next(picture for picture in pictures if picture))


def adapt_notebooks(repository):
    """Turn Jupyter's anchors into Sphinx's; put badges under titles and into 00's table."""
    for path in SOURCE.glob("notebooks/**/*.ipynb"):
        book = json.loads(path.read_text(encoding="utf8"))
        name = path.relative_to(SOURCE).as_posix()
        for i, cell in enumerate(book["cells"]):
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                text = ANCHOR.sub(lambda m: f"]({m[1]}#{slug(m[2])})", text)
                if repository:
                    text = ROW.sub(
                        lambda m: f"{m[1]} {badges(repository, f'notebooks/{m[2]}')} |", text
                    )
                    text = add_badges(text, repository, name) if i == 0 else text
                cell["source"] = text
        add_alternatives(book["cells"])
        if path.name in LIVE:
            add_explorer(book["cells"], *LIVE[path.name])
        path.write_text(json.dumps(book), encoding="utf8")


def add_badges(text, repository, name):
    """Return a notebook's first cell with badges under its title."""
    title, _, rest = text.partition("\n")
    help_page = "../" * name.count("/") + "run.md#in-colab-or-binder"
    return f"{title}\n\n{badges(repository, name)} ([how]({help_page}))\n{rest}"


def add_explorer(cells, anchor, name, text):
    """Put an explorer behind the cell that has the anchor."""
    place = next(i for i, cell in enumerate(cells) if anchor in "".join(cell["source"]))
    source = text + STATES.format(name)
    cell = {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}
    cells.insert(place + 1, cell)


def fill_pages(repository):
    """Put the series and its map into the first page, the address into the page of commands."""
    index, run = SOURCE / "index.md", SOURCE / "run.md"
    series = read_series(ROOT)
    text = index.read_text(encoding="utf8")
    text = text.replace("<!-- map -->", draw_map(series))
    text = text.replace("<!-- series -->", list_notebooks(series, repository))
    index.write_text(text, encoding="utf8")
    if repository:
        text = run.read_text(encoding="utf8")
        text = text.replace("<this repository>", f"https://github.com/{repository}")
        text += HOSTED
        run.write_text(text, encoding="utf8")


def slug(heading):
    """Return a heading's anchor as MyST makes it."""
    return re.sub(r"[^\w-]", "", heading.lower())


def main():
    """Build the site."""
    assemble()
    repository = (HERE / "repository.txt").read_text(encoding="utf8").strip()
    adapt_notebooks(repository)
    fill_pages(repository)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", BUILD / "doctrees"]
    if code := subprocess.run([*command, SOURCE, HTML], check=False).returncode:
        return code
    if broken := broken_links(HTML):
        return "\n".join(["broken links:", *broken])
    size = sum(path.stat().st_size for path in HTML.rglob("*") if path.is_file())
    print(f"the site, {size / 1e6:.0f} MB: {HTML / 'index.html'}")
    return None


if __name__ == "__main__":
    sys.exit(main())
