# Two commands do everything: `make lab` opens the series, `make test` runs every check.
# Both set up what is missing in .venv first, and do nothing twice.

PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := .venv/.ready
# Files, or notebooks, two at a time, on a core each.
TWO := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

.PHONY: lab test lint unit notebooks-test notebooks site bench stress setup clean help

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

lab: $(READY)    ## open the series in JupyterLab (ARGS=--no-browser is passed through)
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb $(ARGS)

test: lint site unit notebooks-test  ## every check: style, the site built, tests, all notebooks executed

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: $(READY)
	$(TWO) --dist loadfile tests --doctest-modules mamlkit

notebooks-test: $(READY)
	$(TWO) --dist loadscope --nbval --nbval-sanitize-with notebooks/sanitize.cfg --nbval-cell-timeout=1800 notebooks

site: $(READY)   ## build the site in site/_build/html from the committed outputs
	$(BIN)/python site/build.py

notebooks: $(READY)  ## execute the notebooks and keep their new outputs (BOOKS=notebooks/03*.ipynb for some)
	$(BIN)/python tools/execute_notebooks.py $(BOOKS)

bench: $(READY)  ## mamlkit's speed beside its peers', 25 minutes (ARGS='--only sine' for some)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks $(ARGS)

stress: $(READY)  ## long checks on request: foreign, fuzz, fuzz_api, kill_resume, endurance (ARGS=fuzz)
	$(BIN)/python -m tests.stress $(ARGS)

setup: $(READY)  ## only set up .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 15) else f"mamlkit needs Python 3.11 to 3.14; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[lab,test,site]'
	@touch $(READY)

clean:           ## remove .venv and caches, keep data
	rm -rf .venv .pytest_cache .ruff_cache
