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

from mamlkit import glyphs
from mamlkit.show.widgets.k_shot import KShotExplorer
from mamlkit.show.widgets.page import write_drawing_page, write_page
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
ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
BADGES = (
    "[![Colab](https://img.shields.io/badge/open%20in-Colab-blue)]"
    "(https://colab.research.google.com/github/{0}/blob/main/{1}) "
    "[![Binder](https://img.shields.io/badge/open%20in-Binder-orange)]"
    "(https://mybinder.org/v2/gh/{0}/main?labpath={1})"
)


def assemble():
    """Copy everything that becomes a page, or that a page links to."""
    shutil.rmtree(BUILD, ignore_errors=True)
    skip = shutil.ignore_patterns("*.py", "__pycache__", ".ipynb_checkpoints", "pages", "_build")
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
    stills = {"explorer": "pages/k_shot_explorer.ipynb", "drawing": "08_draw_your_own.ipynb"}
    for name, notebook in stills.items():
        (SOURCE / "_static" / f"{name}.png").write_bytes(first_picture(notebook))
    explorer = KShotExplorer(sine_learners(), shown=("MAML", "pretrained"))
    write_page(explorer, SOURCE / "_static" / "k_shot")
    write_drawing_page(glyphs(25, drawings=4, seed=9).images, SOURCE / "_static" / "draw")
    package = Path(find_spec("sphinx-mathjax-offline").origin).parent
    shutil.copy(package / MATHJAX, SOURCE / "_static" / Path(MATHJAX).name)


def first_picture(notebook):
    """Return the first picture among a notebook's outputs."""
    book = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf8"))
    outputs = (output for cell in book["cells"] for output in cell.get("outputs", ()))
    pictures = (output.get("data", {}).get("image/png") for output in outputs)
    return base64.b64decode(next(picture for picture in pictures if picture))


def adapt_notebooks(repository):
    """Turn Jupyter's anchors into Sphinx's, and put badges under each notebook's title."""
    for path in SOURCE.glob("notebooks/**/*.ipynb"):
        book = json.loads(path.read_text(encoding="utf8"))
        for cell in book["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                cell["source"] = ANCHOR.sub(lambda m: f"]({m[1]}#{slug(m[2])})", text)
        if repository:
            badges = BADGES.format(repository, path.relative_to(SOURCE))
            title, rest = book["cells"][0]["source"].split("\n", 1)
            book["cells"][0]["source"] = f"{title}\n\n{badges}\n{rest}"
        path.write_text(json.dumps(book), encoding="utf8")


def slug(heading):
    """Return a heading's anchor as MyST makes it."""
    return re.sub(r"[^\w-]", "", heading.lower())


def main():
    """Build the site."""
    assemble()
    adapt_notebooks((HERE / "repository.txt").read_text(encoding="utf8").strip())
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run([*command, SOURCE, HTML], check=False)
    if done.returncode == 0:
        print(f"the site: {HTML / 'index.html'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
