# Catalyst Forge. `make` alone prints the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JUDGED := tests/conformance tests/compiler/test_golden.py tests/compiler/adapter tests/compiler/graph \
  tests/runtime/bus tests/runtime/git tests/runtime/oci tests/runtime/produce tests/runtime/publish \
  tests/runtime/supply tests/earthly tests/api/test_postgres.py

.DEFAULT_GOAL := help
.PHONY: help setup dispatcher demo test lint type fmt conformance golden fuzz chaos check lock clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make .venv with every locked dependency (nothing to do the second time)

# Some machines forbid writing bytecode, and then pay compilation at every start: hence compileall.
$(READY): requirements.lock pyproject.toml
	@echo "setting up $(VENV) with $(PYTHON) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q compiler runtime api grammar
	@touch $(READY)

DISPATCHER := dist/forge-dispatcher

dispatcher: $(DISPATCHER) ## the dispatcher as one executable file, dist/forge-dispatcher, for this Python and platform

$(DISPATCHER): $(READY) packaging/pack.py packaging/start.py $(shell find runtime/forge_runtime compiler/forgec -name '*.py')
	@$(BIN)/python packaging/pack.py $@

demo: $(READY) ## run the sample monorepo on this machine (FAIL=1 breaks one of its tests first)
	@$(BIN)/python -m forge_api.cli.demo $(if $(FAIL),--fail)

test: $(READY) ## every test that this machine can run; skipped ones are listed with the reason
	@$(BIN)/python -m pytest

lint: $(READY) ## style, types of imports allowed between packages
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log 2>&1 || (cat $(VENV)/lint-imports.log; exit 1)

type: $(READY) ## mypy --strict
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/mypy --no-error-summary packaging/pack.py packaging/start.py
	@$(BIN)/mypy --no-error-summary -p benchmarks

fmt: $(READY) ## format and fix what can be fixed
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

conformance: $(READY) ## every case for the real tools; the table tells what each judged (SEED=7: other generated ones)
	@FORGE_CONFORMANCE=full $(BIN)/python -m pytest $(JUDGED) $(if $(SEED),--hypothesis-seed=$(SEED))

golden: $(READY) ## rewrite the golden files; review the diff like code
	@FORGE_GOLDEN=write $(BIN)/python -m pytest tests/compiler -k golden

fuzz: $(READY) ## documents, CUE and Earthfiles that nobody wrote (N=100000, SEED=1); none may break the compiler
	@$(BIN)/python -m tests.fuzz -n $(or $(N),100000) --seed $(or $(SEED),1)

bench: $(READY) ## this project beside its peers and the floor, in one run (NAMES="start compile", WRITE=1 for docs/benchmarks.md)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q compiler runtime grammar
	@$(BIN)/python -m benchmarks $(NAMES) $(if $(WRITE),--write)

chaos: $(READY) ## kill whatever a run consists of, then audit every job (SEED=1, SIZE=nightly; NAIVE=1 compares)
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --size $(or $(SIZE),small) $(if $(NAIVE),--naive)

check: lint type test ## all gates

lock: ## renew requirements.lock from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --generate-hashes --universal \
	  --python-version 3.11 --no-emit-index-url --no-emit-find-links -q \
	  -o requirements.lock --custom-compile-command "make lock"

clean: ## remove the environment and local state
	rm -rf $(VENV) .forge-data build dist
