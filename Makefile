# Every target works from a fresh checkout: `.venv` is made when it is needed.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
PAGES := client-example/dist/.built
CLIENT := client-example/dist/tests/.built
NODE_MODULES := client-example/node_modules/.installed
WITH_NODE := PATH="$(BIN):$$PATH"
NPM_QUIET := --no-audit --no-fund --loglevel=error
NODE_IS_NEW_ENOUGH := node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
  process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null && npm --version >/dev/null 2>&1
TEST_PROCESSES ?= 2

help: ## Show this help
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 12

demo: $(VENV)/.run $(PAGES) ## Run everything on embedded PostgreSQL and Valkey (PORT, STATE_DIR, DEMO_ACTIVITY=off, …)
	@exec $(BIN)/python -m cli demo

test: $(VENV)/.dev $(PAGES) $(CLIENT) ## Run all tests on servers of their own
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(ARGS)

rules: $(VENV)/.dev ## Check the rules for Prometheus, dashboards and runbooks (needs promtool: Debian's `prometheus`)
	CI=true $(BIN)/python -m pytest -q tests/telemetry/test_rules.py

fault-matrix: $(VENV)/.dev ## Every fault against every kind of client; renews the table in docs/fault-matrix.md
	WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/end_to_end/test_fault_matrix.py

chaos: $(VENV)/.dev ## Random faults on a real cluster, all promises checked (SEED, ROUNDS, CLIENTS)
	@$(BIN)/python -m tests.chaos

soak: $(VENV)/.dev ## An hour of everything at once; what grows fails it (SECONDS=3600; WRITE_DOCS=1: docs/soak.md)
	@$(BIN)/python -m tests.soak

bench: $(VENV)/.dev ## Speed, beside nchan, graphql-yoga and stock SSE (SUBSCRIBERS, ROWS, PEERS, ROUNDS, QUICK=1)
	@$(WITH_NODE) WRITE_DOCS=$(if $(QUICK)$(ROWS)$(PEERS)$(ROUNDS),,1) FEED_DOCS=$(if $(QUICK)$(filter-out feed,$(ROWS)),,1) COSTS_DOCS=$(if $(QUICK)$(filter-out costs,$(ROWS)),,1) $(BIN)/python -m tests.benchmarks
	@$(if $(QUICK),,$(BIN)/python -m tests.benchmarks.capacity > /dev/null)

check: lint types contracts sdl-check ## Lint, types, import contracts, printed schema

lint: $(VENV)/.dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

contracts: $(VENV)/.dev ## Imports point down
	$(BIN)/lint-imports

sdl-check: $(VENV)/.dev ## The printed schema is the committed one
	$(BIN)/python -m pytest -q tests/schema/test_sdl.py

sdl: $(VENV)/.run ## Renew schema/schema.graphql
	$(BIN)/python -c 'from schema.root import build_schema; print(build_schema().as_str())' > schema/schema.graphql

capacity: $(VENV)/.dev ## Compute docs/capacity.md from the benchmarks
	@$(BIN)/python -m tests.benchmarks.capacity

reference: $(VENV)/.dev ## Renew what of docs/ is made from the code: settings, command line, list of decisions
	$(BIN)/python -m tests.docs.reference

codegen: $(NODE_MODULES) ## Renew the browser's types of the schema (client-example/src/*/generated.ts)
	cd client-example && $(WITH_NODE) npm run --silent codegen

format: $(VENV)/.dev ## Format the Python code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pages: $(PAGES) ## Build the feed's page and GraphiQL into client-example/dist

client-check: $(NODE_MODULES) ## Type-check and test the front end (RUNS=20000: more histories of faults)
	cd client-example && $(WITH_NODE) npm run check && $(WITH_NODE) npm test

client-mutants: $(NODE_MODULES) ## Plant bugs in the client, one at a time: its tests have to find each
	cd client-example && $(WITH_NODE) npm run mutants

lock: $(VENV)/.dev ## Renew the lock files
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 pyproject.toml --group embedded -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 pyproject.toml --group embedded --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --group node -o requirements-node.lock
	cd client-example && npm install --package-lock-only

audit: $(VENV)/.dev $(NODE_MODULES) ## Ask the indexes for known weaknesses of what is locked, where they serve advisories
	@$(WITH_NODE) VENV=$(VENV) .ci/audit

sbom: $(VENV)/.dev $(NODE_MODULES) ## Write dist/sbom-python.json and dist/sbom-node.json (CycloneDX), from the lock files
	@mkdir -p dist
	@$(BIN)/python -m tests.support.sbom requirements.lock > dist/sbom-python.json
	@cd client-example && $(WITH_NODE) npm sbom --sbom-format cyclonedx --package-lock-only > ../dist/sbom-node.json
	@echo "dist/sbom-python.json and dist/sbom-node.json"

clean: ## Remove what was built; the demo's data stays
	rm -rf $(VENV) client-example/node_modules client-example/dist tests/benchmarks/.built tests/benchmarks/peers/*/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# Stamps: what they stand for is made once, and again when its lock file changes.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Division Bell needs Python 3.11 or newer; say which with PYTHON=python3.12"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "install Python's venv module first (Debian and Ubuntu: apt install python3-venv)"; exit 1; }

$(VENV)/.run: requirements.lock | $(VENV)/bin/python
	@echo "installing what the server needs"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run | $(VENV)/bin/python
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# Node from a wheel, where the machine has none that is new enough, or one whose npm cannot install.
$(NODE_MODULES): client-example/package-lock.json | $(VENV)/bin/python
	@echo "installing what the pages need"
	@{ $(NODE_IS_NEW_ENOUGH) && cd client-example && npm ci $(NPM_QUIET); } \
	  || { echo "getting Node from a wheel" \
	       && $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-node.lock \
	       && cd client-example && $(WITH_NODE) npm ci $(NPM_QUIET); }
	@touch $@

$(PAGES): $(NODE_MODULES) $(shell find client-example/src client-example/explorer -type f) $(wildcard client-example/*.html client-example/*.json client-example/*.ts)
	@echo "building the pages"
	@cd client-example && $(WITH_NODE) npm run --silent build > dist.log 2>&1 || { cat dist.log; exit 1; }
	@grep -E 'dist/(page|activity-stream)/.*\.(js|css)' client-example/dist.log; rm -f client-example/dist.log
	@touch $@

$(CLIENT): $(NODE_MODULES) $(wildcard client-example/src/activity-stream/*.ts client-example/src/activity-stream/*/*.ts)
	@cd client-example && $(WITH_NODE) npm run --silent compile-tests

.PHONY: help demo test rules chaos soak bench capacity fault-matrix check lint types contracts sdl-check sdl reference codegen format pages client-check client-mutants lock audit sbom clean
