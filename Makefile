# Callsheet's verbs. Wanted on the machine: Python 3.11 or newer with venv, make, git.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up test test-thorough test-all chaos soak bench check lock clean

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp

help: ## what you can ask for (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## run the main job on all example requests, on this machine alone (KEEP=1 leaves it running)
	@$(BIN)/callsheet demo $(if $(KEEP),--keep)

up: $(STAMP) ## leave the whole system running on this machine (Ctrl-C stops it)
	@$(BIN)/callsheet up

# Three processes on two cores: tests wait for servers more than they compute. Whole systems and browsers want a core each.
PYTEST := $(BIN)/python -m pytest --dist loadfile --durations 25 --durations-min 2

test: $(STAMP) ## run the tests (under 5 min on 2 cores)
	@$(PYTEST) -n 3 -m "not thorough"

test-thorough: $(STAMP)
	@$(PYTEST) -n 2 -m thorough

test-all: test test-thorough ## the same, then whole systems that break, other servers and fuzzing

chaos: SEEDS ?= 1
chaos: SCHEDULES ?= 5000
chaos: $(STAMP) ## break the whole system on purpose, cell by cell (SEEDS=n tries n seeds)
	@SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest tests/properties/test_money_schedules.py
	@SEEDS=$(SEEDS) $(BIN)/python -m pytest tests/chaos

soak: JOBS ?= 200
soak: SEED ?= 1
soak: $(STAMP) ## mixed load under random faults, then every invariant (JOBS=n SEED=s)
	@$(BIN)/python -m tests.chaos.soak --jobs $(JOBS) --seed $(SEED)

bench: $(STAMP) ## measure everything (under 10 min); writes tests/benchmarks/RESULTS.md
	@$(BIN)/python -m tests.benchmarks

fuzz: $(STAMP) ## fuzz parsers, guards and the receiver; FUZZ_SECONDS for each (300)
	@$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),300)

check: $(STAMP) ## lint, format, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy worker webhook deploy tests callsheet.py
	@$(BIN)/python -m pytest -q tests/unit/test_imports.py

lock: ## (maintainers) renew constraints.txt; needs uv
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH" >&2; exit 1; }
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --all-extras --upgrade --output-file constraints.txt pyproject.toml
	@! grep -n '://' constraints.txt || { echo "constraints.txt must hold no URL" >&2; exit 1; }

clean: ## remove the set-up, the caches and the data of `make up`
	rm -rf .venv .callsheet build deploy/client/build .pytest_cache .mypy_cache .ruff_cache .hypothesis callsheet.egg-info deploy/client/callsheet_client.egg-info

# The stamp comes last: a set-up that was interrupted is begun again.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, this is $$($(PYTHON) -V): name one with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is not there: apt install python3-venv" >&2; exit 1; }
	@rm -f $@
	@echo "set-up: making .venv"
	@$(PYTHON) -m venv .venv
	@echo "set-up: installing $$(grep -c '^[a-z].*==' constraints.txt) packages, every one checked against its hash"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable . --editable deploy/client
	@touch $@
