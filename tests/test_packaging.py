"""The house itself: floors, packaging, notebooks fit to be shown."""

import ast
import json
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

import mamlkit
from mamlkit.recipes import RECIPES

ROOT = Path(__file__).parents[1]
NOTEBOOKS = [
    path
    for path in sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb"))
    if ".ipynb_checkpoints" not in path.parts
]
SERIES = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]

# Each file imports only from floors below its own, or from its own floor without a circle.
FLOORS = [
    ("checks", "devices", "files"),
    ("models", "tasks"),
    ("learners",),
    ("training",),
    ("evaluation",),
    ("recipes", "pretrained"),
    ("show",),
    ("cli", "__main__"),
]


def floor(name):
    part = name.split(".")[1]
    return next(i for i, names in enumerate(FLOORS) if part in names)


def imports():
    """(importer, imported) among mamlkit's own modules."""
    for path in (ROOT / "mamlkit").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name == "mamlkit":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for target in found:
                if target.startswith("mamlkit.") and target != "mamlkit.__version__":
                    yield name, target


def test_no_import_upwards():
    pairs = list(imports())
    assert len(pairs) > 30
    upwards = [(a, b) for a, b in pairs if floor(b) > floor(a)]
    assert not upwards


def test_files_stay_near_200_lines():
    long = {
        path.name: lines
        for path in (ROOT / "mamlkit").rglob("*.py")
        if (lines := len(path.read_text("utf8").splitlines())) > 260
    }
    assert not long


@pytest.mark.parametrize(
    "forbidden, where",
    [
        (r"torch\.load\(|torch\.save\(|pickle", ()),  # checkpoints must not be able to run code
        (r"torch\._|make_fx|_inductor|_dynamo|_subclasses", ("compile.py",)),  # private names
        (r"import _", ()),  # likewise
        (r"ctypes", ()),
        (r"(open|read_text|write_text)\(\)", ()),  # the machine's own encoding
    ],
)
def test_what_the_package_does_without(forbidden, where):
    for path in (ROOT / "mamlkit").rglob("*.py"):
        if path.name not in where:
            assert not re.search(forbidden, path.read_text("utf8")), path
    assert not list((ROOT / "mamlkit").rglob("*.cpp"))


def test_the_page_of_the_module_has_every_name():
    page = (ROOT / "site" / "api.md").read_text("utf8")
    shown = set(re.findall(r"^\.\. auto\w+:: (\w+)$", page, flags=re.MULTILINE))
    assert shown == set(mamlkit.__all__)


def test_environment_and_pyproject_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf8"))["dependencies"]
    pip = next(item["pip"] for item in environment if isinstance(item, dict))
    assert "--editable ." in pip
    listed = {item for item in [*environment[:-1], *pip] if ">=" in item}
    lab = project["optional-dependencies"]["lab"]
    assert listed == {*project["dependencies"], *lab}
    lines = (ROOT / "environment.yml").read_text("utf8").splitlines()
    entries = [line for line in lines if line.strip().startswith("- ") and "pip:" not in line]
    assert all("#" in line for line in entries if "conda-forge" not in line)


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(item for extra in extras for item in extra)]
    names = {re.match(r"[\w-]+", item)[0].lower() for item in wanted}
    pinned = (ROOT / "constraints.txt").read_text("utf8").lower().splitlines()
    assert names <= {line.split("==")[0] for line in pinned if "==" in line}


def test_shipped_networks_have_cards():
    """And every file of weights belongs to a card."""
    folder, used = ROOT / "mamlkit" / "pretrained", set()
    for path in sorted(folder.glob("*.json")):
        card = json.loads(path.read_text("utf8"))
        weights = folder / f"{RECIPES[path.stem].trained_as or path.stem}.safetensors"
        used.add(weights)
        assert weights.stat().st_size < 1_000_000
        assert card["recipe"] == path.stem and "mamlkit train" in card["command"]
        for key in ("seed", "machine", "results", "versions", "data", "training"):
            assert card[key] not in (None, "", {})
    assert used == set(folder.glob("*.safetensors")) and len(used) > 1


def code(book):
    return [c for c in book.cells if c.cell_type == "code" and c.source.strip()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_fit_to_be_shown(path):
    book = nbformat.read(path, as_version=4)
    cells = code(book)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    outputs = [output for c in cells for output in c.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert "widgets" not in book.metadata
    assert not any("widget-view" in key for o in outputs for key in o.get("data", {}))
    assert path.stat().st_size < 1_000_000
    ids = [c.id for c in book.cells]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", SERIES, ids=lambda p: p.stem)
def test_notebooks_follow_the_template(path):
    book = nbformat.read(path, as_version=4)
    prose = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    title = prose.splitlines()[0]
    assert title.startswith(f"# {path.stem[:2]} · ") and title.endswith("?")
    for part in ("**You will be able to**", "**You need**", "**Run time**", "## Recap"):
        assert part in prose
    for part in ("### Three questions", "### Exercise", "### References", "arxiv.org"):
        assert part in prose
    lengths = sorted(len(c.source.splitlines()) for c in code(book))
    assert lengths[-1] <= 25 and lengths[len(lengths) // 2] < 8
    compared = [c for c in code(book) if "nbval-ignore-output" not in c.metadata.get("tags", [])]
    assert sum(bool(c.outputs) for c in compared) >= 4
    assert (path.parent / "solutions" / f"{path.stem}_solutions.ipynb").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_links_lead_somewhere(path):
    book = nbformat.read(path, as_version=4)
    prose = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert target.startswith("https://") or (path.parent / target).exists(), target
