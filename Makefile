# Everything a person types here. Each target first makes .venv from the locked requirements, once.
# `make help` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Every core has a worker, and every worker servers of its own.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(LOCKFLAGS)

.PHONY: help demo demo-clean test test-all dev bench soak golden lint format lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## Sync 336,776 real flights between databases that it starts itself
	@$(BIN)/syncline demo

demo-clean: $(STAMP) ## Remove all that the demo made
	@$(BIN)/syncline demo --clean

dev: $(STAMP) ## Open the Dagster UI and the review app on this project's mappings
	@bin/dev

test: $(STAMP) ## Run the core tests, with the databases that can be had here (under 10 minutes)
	$(PYTEST) -m "not slow and not acceptance" $(ARGS)

# It depends on `test` and adds what that left out, so `make test test-all` runs nothing twice.
test-all: test ## Run every test: those of `test`, then the slow and the acceptance tests
	$(PYTEST) -m "slow or acceptance" --partial $(ARGS)

golden: $(STAMP) ## Write the golden files of tests/golden again; read the diff
	SYNCLINE_RENEW_GOLDEN=1 $(PYTEST) tests/fidelity tests/golden --partial $(ARGS)

MINUTES ?= 1
soak: $(STAMP) ## Attack every database with load and faults (MINUTES=1)
	SYNCLINE_SOAK_MINUTES=$(MINUTES) $(PYTEST) tests/attack/test_soak.py -m slow --partial -n 0 $(ARGS)

bench: $(STAMP) .peers/.installed ## Measure against peers and the physical limit
	@$(BIN)/python -m benchmarks $(ARGS)

lint: $(STAMP) ## Check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

format: $(STAMP) ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

# Without LOCKFLAGS the versions already locked stay where pyproject.toml still allows them.
lock: $(STAMP) ## Write the locks again (LOCKFLAGS=--upgrade for newer versions)
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra dagster --extra mysql --extra pandas --extra ui \
		-c requirements/dev.txt -o requirements/runtime.txt
	$(COMPILE) requirements/peers.in -o requirements/peers.txt
	@! grep -nE '://|^-| @ ' requirements/*.txt || { echo "a lock names an address" >&2; exit 1; }

# The peers need other versions than we do.
.peers/.installed: requirements/peers.txt | $(STAMP)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .peers
	@$(BIN)/uv pip sync --quiet --python .peers/bin/python --require-hashes requirements/peers.txt
	@touch $@

clean: ## Remove the environment, caches and build output (not your .syncline/ data)
	rm -rf $(VENV) .peers build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml bin/bootstrap
	@bin/bootstrap $(VENV)
	@touch $@
