# Two commands do all: `make demo` runs the main job, `make test` passes the tests. Both set up what they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
export NEURAL_FOUNDATION_DATA

.PHONY: demo serve test test-unit test-all test-gpu setup install-dev format lint type-check train quick-train bench bench-gpu stress docs clean

demo: setup ## the recipe quickstart, from simulated recordings to a live decoder and a report
	$(BIN)/neural-foundation run quickstart --workers $(WORKERS)

serve: demo ## the demo's decoder as a server on http://localhost:8080
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[serve]'
	$(BIN)/neural-foundation serve runs/quickstart

test: install-dev ## what CI runs: lint, types, all tests, 10 kills, a sample of mutants
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term:skip-covered --cov-fail-under=90

test-unit: install-dev ## the unit suite: under a minute
	$(BIN)/pytest -n $(WORKERS) --dist loadfile tests/unit tests/contracts -m "not slow"

test-all: test ## each extra in an environment of its own, too
	tests/each_extra.sh $(PYTHON)

test-gpu: install-dev ## what needs a GPU; skips with a reason without one
	$(BIN)/pytest -m gpu tests

setup: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

install-dev: $(VENV)/.installed-dev
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,dev]'
	touch $@

format: install-dev
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lint: install-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

type-check: install-dev
	$(BIN)/mypy

train: setup ## RECIPE=name or file
	$(BIN)/neural-foundation run $(or $(RECIPE),motor-imagery) --workers $(WORKERS)

quick-train: setup ## the tiny variant: the same steps in seconds
	$(BIN)/neural-foundation run $(or $(RECIPE),quickstart) --tiny --workers $(WORKERS)

bench: install-dev ## speed, as ratios against a peer or the floor in the same run
	for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-gpu: install-dev ## large models on a GPU: the live step and training; says so where there is none
	$(BIN)/python benchmarks/gpu_step.py

stress: install-dev ## all mutants, all kills (hours)
	NEURAL_FOUNDATION_STRESS=1 $(BIN)/pytest -n $(WORKERS) -m stress tests

docs: setup
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/sphinx-build -W -b html docs docs/_build

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache docs/_build
