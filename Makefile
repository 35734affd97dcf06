# `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Processes of the test run; each takes one core and about 1 GB.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv demo test tests check format bench fuzz clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/installed-codec  ## Make .venv with the codec, training and evaluation

demo: $(VENV)/installed-codec  ## Train a small codec on real audio, use it and report: outputs/demo/report.html
	$(BIN)/python recipes/demo.py

test: $(VENV)/installed-codec $(VENV)/installed-tests  ## Run all tests (WORKERS=2 processes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

tests: test

fuzz: $(VENV)/installed-codec $(VENV)/installed-tests  ## Feed 320,000 hostile streams to the readers, 8,000 to codecs and the command
	ENCODEC_FUZZ=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m slow tests/fuzz

check: $(VENV)/installed-codec $(VENV)/installed-tests  ## Lint, formatting and types, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-tests  ## Sort imports, mend what lint can mend, format
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

bench: $(VENV)/installed-codec $(VENV)/installed-tests  ## Measure the speed of both published architectures, and of training, beside the reference
	$(BIN)/python recipes/bench.py
	$(BIN)/python recipes/bench_training.py

clean:  ## Remove .venv, outputs and caches
	rm -rf $(VENV) outputs multirun build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Empty files in .venv say what is installed, so that repeats cost nothing; a change of what they hang on renews them.

$(VENV)/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "encodec-lab needs Python 3.11 or later: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed-codec: pyproject.toml constraints.txt | $(VENV)/made
	@echo "Installing into $(VENV); torch alone is a large download."
	$(INSTALL) --editable '.[train,stoi]'
	@# PESQ comes as C source.
	@$(INSTALL) --editable '.[eval]' >$(VENV)/pesq.log 2>&1 || \
		echo "Going on without pesq, which needs a C compiler (see $(VENV)/pesq.log): PESQ will be reported as not scored."
	@touch $@

$(VENV)/installed-tests: pyproject.toml constraints.txt | $(VENV)/made
	$(INSTALL) --editable '.[dev]'
	@# The reference implementation, an oracle for parity tests; apart, because its command has the name of ours.
	$(INSTALL) --no-deps --upgrade --target $(VENV)/reference encodec==0.1.1 einops
	@touch $@
