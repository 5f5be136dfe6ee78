# make rerun: measure on this machine, run the notebooks, build the book.   make test: check everything.
PYTHON  ?= python3
DEVICE  ?= auto
PROFILE ?= quick
EXTRAS  ?= book,test
BIN     := .venv/bin

rerun: .venv/.installed
	$(BIN)/alphaflops rerun --device $(DEVICE) --profile $(PROFILE) $(ARGS)

test: .venv/.installed
	$(BIN)/python -m pytest $(ARGS)

book: .venv/.installed
	$(BIN)/alphaflops book $(ARGS)

notebooks: .venv/.installed
	$(BIN)/alphaflops update

pdf: .venv/.installed
	$(BIN)/python -c "from pathlib import Path; from alphaflops.pages.pdf import print_book; print(print_book(Path('_build/book.pdf')))"

calibrations: .venv/.installed
	$(BIN)/alphaflops calibrate

bench: .venv/.installed
	$(BIN)/python benchmarks/bench.py $(ARGS)

fuzz: .venv/.installed
	FUZZ=full $(BIN)/python -m pytest tests/test_fuzz.py -s

lint: .venv/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf _build build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

.PHONY: rerun test book pdf notebooks calibrations bench fuzz lint clean
