"""Notebooks that need Omniglot are skipped, with the remedy, where there is none."""

import json

import pytest

_MISSING = []  # the reason, once asked


def _reason():
    if not _MISSING:
        from mamlkit import omniglot

        try:
            omniglot("background"), omniglot("evaluation")
            _MISSING.append(None)
        except FileNotFoundError as error:
            _MISSING.append(str(error))
    return _MISSING[0]


def pytest_collection_modifyitems(items):
    """Mark the cells of notebooks whose metadata say that they need Omniglot."""
    needs = {}
    for item in items:
        if item.path.suffix != ".ipynb":
            continue
        if item.path not in needs:
            metadata = json.loads(item.path.read_text())["metadata"]
            needs[item.path] = metadata.get("mamlkit", {}).get("needs") == "omniglot"
        if needs[item.path] and _reason():
            item.add_marker(pytest.mark.skip(reason=_reason()))
