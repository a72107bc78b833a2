# From nothing but Python (3.11 or newer) and make. A second call installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo picture test lint types check slow bench clean help

help:
	@echo "make demo   train and measure the quick suite, build its page (about seven minutes on two cores)"
	@echo "make test   lint, types and tests"
	@echo "make slow   the tests that take minutes each: bars on trained models, coverage of intervals"
	@echo "make picture  the README's picture and table, from the published records"
	@echo "make bench  the benchmarks, as ratios to the first run on this machine"
	@echo "make clean  remove the virtual environment and all results"

demo: $(INSTALLED)
	$(BIN)/genbench run quick --out runs && $(BIN)/genbench publish --records runs/records --out site

test: lint types check

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

check: $(INSTALLED)
	$(BIN)/pytest -q -n auto

slow: $(INSTALLED)
	$(BIN)/pytest -q -m slow

picture: $(INSTALLED)
	$(BIN)/genbench publish --records leaderboard/records --out site-published
	$(BIN)/python -m leaderboard.picture site-published/index.html leaderboard/page.png
	$(BIN)/python -m leaderboard.headline leaderboard/records digits README.md

bench: $(INSTALLED)
	@mkdir -p .benchmarks
	$(BIN)/pytest -q tests/benchmarks --benchmark-only --benchmark-json=.benchmarks/latest.json
	$(BIN)/python -m tests.benchmarks.compare .benchmarks/latest.json .benchmarks/baseline.json

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "genbench needs Python 3.11 or newer; name one with make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,peers]'
	@touch $@

clean:
	rm -rf $(VENV) runs site
