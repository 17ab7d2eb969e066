# make dashboard   open the dashboard on http://127.0.0.1:8501
# make test        run the tests
# make test-fast   run the tests that need little
# make check       linters, type checker and tests
# make docs        build the documentation into site/
# Each creates .venv on first use and reuses it while pyproject.toml and constraints.txt stay the same.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
# One worker a core, at most four: each imports torch, and computes with one thread (tests/conftest.py).
PYTEST_ARGS ?= -n logical --maxprocesses 4 --dist worksteal

# What `make test-fast` runs, in one process: some of every package. A quarter of its time is the import of torch and
# TransformerLens. Left out of these files is what trains a model or starts another process.
FAST := $(addprefix tests/, \
	test_imports.py models/test_graph.py models/test_vocabulary.py models/test_operations.py \
	models/test_compiled.py::test_three_operands_left_to_right \
	models/test_compiled.py::test_corruption_is_overwritten_one_step_later \
	interp/engine/test_sites.py interp/engine/test_replay.py::test_computes_only_what_differs \
	analyses/test_catalogue.py analyses/docs/test_docs.py \
	dashboards/test_dashboard_paths.py dashboards/test_dashboard_messages.py)
SLOW := trained or importing

# Python 3.11 or newer with venv. The first that fits wins; PYTHON=/path/to/python overrides.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

# The installed state is named by what it was made from, so a changed pin, extra or folder installs again.
HASH := $(shell { pwd; cat pyproject.toml constraints.txt; } | cksum | cut -d' ' -f1)
APP := $(VENV)/.installed-app-$(HASH)
TEST := $(VENV)/.installed-test-$(HASH)
DOCS := $(VENV)/.installed-docs-$(HASH)

.PHONY: help install dashboard test test-fast check lint format docs clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1|/' \
		| while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

install: $(TEST) ## Create .venv with everything the tests and linters need

dashboard: $(APP) ## Open the dashboard on 127.0.0.1:8501 (PORT=... changes it)
	@exec $(BIN)/recurlens dashboard --port $(PORT)

test: $(TEST) ## Run the tests (PYTEST_ARGS="tests/cli -q" narrows them)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-fast: $(TEST) ## Run the tests that need little: some of every package, in half a minute
	@$(BIN)/python -m pytest -q $(FAST) -k "not ($(SLOW))"

check: lint test ## Lint, format check, type check and tests

lint: $(TEST) ## ruff (lint and format) and pyright
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m pyright --pythonpath $(BIN)/python

format: $(TEST) ## Apply ruff's fixes and formatting
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

docs: $(DOCS) ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo 'Open site/index.html, or serve it: $(BIN)/python -m http.server --directory site'

clean: ## Remove .venv and every cache
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: no Python 3.11 or newer with the venv module was found (on Debian: apt install python3 python3-venv)." >&2; \
		echo "       Name one with: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit("error: recurlens needs Python 3.11 or newer, and $(PYTHON) is %d.%d." % v[:2] if v < (3, 11) else 0)'
	"$(PYTHON)" -m venv --clear $(VENV)

# constraints.txt pins every package, torch included.
$(APP): | $(BIN)/pip
	@echo 'Installing into $(VENV) (a minute or two the first time) ...'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e .
	@rm -f $(VENV)/.installed-* && touch $@

$(TEST): | $(BIN)/pip
	@echo 'Installing into $(VENV) (a minute or two the first time) ...'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[test]'
	@rm -f $(VENV)/.installed-* && touch $@ $(APP)

# Beside what is there: the documentation is built with or without the tests' packages.
$(DOCS): | $(BIN)/pip
	@echo 'Installing into $(VENV) (a minute or two the first time) ...'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@rm -f $(VENV)/.installed-docs-* && touch $@
