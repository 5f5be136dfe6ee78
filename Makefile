# make rerun: measure on this machine, run the notebooks, build the book.   make test: check everything.
PYTHON  ?= python3
DEVICE  ?= auto
PROFILE ?= quick
EXTRAS  ?= book,test
BIN     := .venv/bin
EVERY   := book,test,energy,lab,workflow,browser,dev
PIP     := -m pip --disable-pip-version-check --quiet install

rerun: .venv/.installed
	$(BIN)/alphaflops rerun --device $(DEVICE) --profile $(PROFILE) $(ARGS)

test: .venv/.installed
	$(BIN)/python -m pytest $(ARGS)

book: .venv/.installed
	$(BIN)/alphaflops book $(ARGS)

notebooks: .venv/.installed
	$(BIN)/alphaflops refresh notebooks

# The notebooks in JupyterLab; each text and its .ipynb are saved together.
lab: .venv/.installed
	$(BIN)/python $(PIP) -c constraints.txt -e ".[lab]"
	$(BIN)/jupyter lab notebooks

# The whole book on one page, printed by a Chromium that is installed here
OUT      ?= _build
CHROMIUM ?= $(firstword $(shell which chromium chromium-browser google-chrome 2>/dev/null))
ONE_PAGE := $(abspath $(OUT))/pdf/_build/singlehtml

pdf: .venv/.installed
	@test -n "$(CHROMIUM)" || { echo "no browser to print with: install chromium"; exit 2; }
	rm -rf $(OUT)/pdf
	$(BIN)/python -c "from pathlib import Path; from alphaflops.book.publish import stage_committed as stage; stage(Path('$(OUT)/pdf'))"
	PYTHONHASHSEED=0 $(BIN)/jupyter-book build $(OUT)/pdf --builder singlehtml --quiet
	cp $(ONE_PAGE)/notebooks/00_verdict.html $(ONE_PAGE)/book.html
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --no-pdf-header-footer --virtual-time-budget=20000 \
		--user-data-dir=$(OUT)/pdf/profile --print-to-pdf=$(OUT)/book.pdf file://$(ONE_PAGE)/book.html
	rm -rf $(OUT)/pdf

results: .venv/.installed
	$(BIN)/alphaflops refresh

bench: .venv/.installed
	$(BIN)/python benchmarks/bench.py $(ARGS)

fuzz: .venv/.installed
	FUZZ=full $(BIN)/python -m pytest tests/test_fuzz.py -s

# Lines and branches run by the tests, commands in other processes included; what only notebooks run does not count.
coverage: .venv/.installed
	$(BIN)/python $(PIP) -c constraints.txt -e ".[dev]"
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest tests --cov --cov-report=term-missing:skip-covered $(ARGS)

# The tests with the oldest versions that pyproject.toml allows, all but the one that wants the pinned versions.
minimum:
	$(PYTHON) -m venv --clear _build/minimum
	_build/minimum/bin/python $(PIP) uv
	_build/minimum/bin/uv pip install --quiet --python _build/minimum --resolution lowest-direct -e ".[book,test]"
	_build/minimum/bin/python -m pytest tests --deselect tests/test_environment.py::test_what_runs_here_is_what_is_pinned $(ARGS)

# Whether the pins of constraints.txt can be installed together; nothing is.
pins:
	$(PYTHON) -m venv --clear _build/empty
	_build/empty/bin/python $(PIP) --dry-run -c constraints.txt -e ".[$(EVERY)]"

# Whether a weakness is known of any pin.
audit:
	$(PYTHON) -m venv --clear _build/audit
	_build/audit/bin/python $(PIP) pip-audit
	_build/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

# Builds the book three times: twice the same bytes, and once with an imported run
repeat: .venv/.installed
	REPEAT=1 $(BIN)/python -m pytest tests/test_repeatable.py -n 0 -s

# A new user's way, offline after the installation; its times go into REPRODUCING.md
trial: .venv/.installed
	$(PYTHON) .ci/trial.py data/trial.json

lint: .venv/.installed
	$(BIN)/python $(PIP) -c constraints.txt -e ".[dev]"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/lines.py

clean:
	rm -rf _build build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

.PHONY: rerun test book lab pdf notebooks results bench fuzz coverage minimum pins audit repeat trial lint clean
