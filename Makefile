# Two commands on a fresh machine (Python ≥ 3.11 and make): `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
# One more than the cores CI has: tests wait for processes that they start.
WORKERS ?= 3
BIN := $(VENV)/bin
# Tests begin hundreds of processes: what one has compiled, the others find, wherever that is refused.
TEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Where development images lie, if they do: radiographs for the demo, real files for the tests.
SHARED ?= ../shared

.PHONY: demo test suite coverage check types lint format docs site bench dist packaging clean

demo: $(VENV)/demo.installed
	$(BIN)/plica demo --overwrite --out demo-output $(if $(wildcard $(SHARED)/data),--radiographs $(SHARED))

# What takes seconds first; types are checked beside the tests, which leave a core free at times.
test: lint
	$(MAKE) --no-print-directory --jobs 2 types suite

suite: $(VENV)/test.installed
	$(TEST) --durations 15

# Which lines and branches of the package the tests reach, those in processes of their own included.
coverage: $(VENV)/test.installed
	$(TEST) -q --cov --cov-report=term --cov-report=json:.cache/coverage.json
	$(BIN)/python ci/uncovered.py

check: lint types

types: $(VENV)/test.installed
	$(BIN)/mypy

lint: $(VENV)/test.installed
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell src tests docs benchmarks robustness examples ci README.md ARCHITECTURE.md CONTRIBUTING.md changes

format: $(VENV)/test.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/test.installed
	$(BIN)/python docs/make_tree.py
	$(BIN)/python docs/make_budgets.py
	$(BIN)/python docs/make_protocols.py
	$(BIN)/python docs/make_installing.py
	$(BIN)/python docs/make_changelog.py
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_codecs.py
	$(BIN)/python docs/make_formats.py --data $(SHARED)/data
	$(BIN)/python benchmarks/linear_vs_interpolation.py --data $(SHARED)/data --write
	$(BIN)/plica demo --json --overwrite --out demo-output --radiographs $(SHARED) | $(BIN)/python docs/make_readme.py

# The documentation as pages with search; a warning ends it.
site: $(VENV)/test.installed
	$(BIN)/zensical build --clean --strict

# Pythons bring pips of their year; those of before 2024 take twice as long to find what fits.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "plica needs Python 3.11 or newer; say which with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

# Compiled is what is imported, when it is, and not every module of every package.
# torch first: later packages then find it there, instead of choosing a build of their own.
$(VENV)/torch.installed: ci/constraints.txt | $(BIN)/python
	$(PIP) install --no-compile --constraint ci/constraints.txt torch
	touch $@

$(VENV)/demo.installed: pyproject.toml $(VENV)/torch.installed
	$(PIP) install --no-compile --constraint ci/constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/test.installed: pyproject.toml $(VENV)/torch.installed
	$(PIP) install --no-compile --constraint ci/constraints.txt --editable '.[all,test,dev]'
	touch $@

# Hours, on a machine that does nothing else. REFERENCE names a checkout of MedVAE's repository and
# REFERENCE_PYTHON an interpreter that has torch and einops; without them it is left out.
REFERENCE ?=
REFERENCE_PYTHON ?= $(BIN)/python
bench: $(VENV)/test.installed
	$(BIN)/python benchmarks/against_reference.py --write $(if $(REFERENCE),--reference $(REFERENCE) --python $(REFERENCE_PYTHON))
	$(BIN)/python benchmarks/speed_steps.py --write
	$(BIN)/python benchmarks/large_images.py --write
	$(BIN)/python benchmarks/memory.py --write
	$(BIN)/python benchmarks/encode_ct_512.py --write
	$(BIN)/python benchmarks/start.py --write
	$(BIN)/python benchmarks/store_reading.py --write
	$(BIN)/python benchmarks/bulk_throughput.py --write
	$(BIN)/python benchmarks/scale.py --write

dist: $(VENV)/test.installed
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel -t sdist

# Fresh environments, one after another: minutes each, and what torch takes on disk for each Python.
PYTHONS ?= 3.11 3.12 3.13
packaging:
	$(PYTHON) ci/packaging.py --pythons $(PYTHONS) --keep ci/tried.jsonl --write

clean:
	rm -rf $(VENV) demo-output dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
