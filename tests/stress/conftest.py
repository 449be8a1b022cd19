"""Nothing here is collected by `pytest tests`: `python -m tests.stress` runs it on request."""

collect_ignore_glob = ["*.py"]
