"""How nbval runs notebooks: without Omniglot some are skipped, and warnings are not compared."""

import functools
import json
import re

import pytest

# A call that is not indented stands in no `try`, so the notebook cannot do without.
LOADS = re.compile(r"^\S.*\b(omniglot|vinyals_split|shuffled_split)\(", re.MULTILINE)


@functools.cache
def _missing():
    """Return why there is no Omniglot here, or None."""
    from mamlkit import omniglot

    try:
        omniglot("background"), omniglot("evaluation")
    except FileNotFoundError as error:
        return str(error)


@functools.cache
def _needs_omniglot(path):
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    code = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return any(map(LOADS.search, code))


def pytest_collection_modifyitems(items):
    """Skip notebooks that call for what is not here; let no library's warning fail the others."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.parent.skip_compare = {*item.parent.skip_compare, "stderr"}
            if _needs_omniglot(item.path) and _missing():
                item.add_marker(pytest.mark.skip(reason=_missing()))
