# Every target sets up what it needs; a second run installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The demo's settings. What the environment already says wins, and for the UI a .env file too.
export DAGSTER_HOME ?= $(CURDIR)/.dagster_home
DEMO_FIRST_DAY := 2026-01-05
DEMO_LAST_DAY := 2026-02-13
SAMPLED := demo $(if $(wildcard .env),,ui)
$(SAMPLED): export DBMINER_LINEAGE_METHOD ?= offline
$(SAMPLED): export DBMINER_OFFLINE_URI ?= $(CURDIR)/examples/sample_workspace
$(SAMPLED): export DBMINER_STORAGE_URI ?= $(CURDIR)/dbminer_data
$(SAMPLED): export DBMINER_START_DATE ?= $(DEMO_FIRST_DAY)
$(SAMPLED): export DBMINER_LINEAGE_WINDOW_DAYS ?= 30
$(SAMPLED): export DBMINER_EXCLUDED_USERS ?= svc-*@larkfell.example
check: export DBMINER_LINEAGE_METHOD := offline

.PHONY: demo ui test e2e soak check bench bench-backfill corpus lock
.DEFAULT_GOAL := demo

demo: $(VENV)/.runtime $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/dbminer mine --from $(DEMO_FIRST_DAY) --to $(DEMO_LAST_DAY)
	$(BIN)/dbminer report
	@printf '\nThe tables lie in %s. Next:\n' "$$DBMINER_STORAGE_URI"
	@printf '  make ui                          open Dagster on these runs\n'
	@printf '  .venv/bin/dbminer report --help  other days, more tables\n'
	@printf '  README.md                        point dbminer at your own files\n'

ui: $(VENV)/.runtime $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/dagster dev -w workspace.yaml

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup

e2e: $(VENV)/.dev
	$(BIN)/python -m pytest -m e2e dbminer_dagster_tests/e2e

soak: $(VENV)/.dev
	PYTHONPATH=examples $(BIN)/python -m dbminer_dagster_tests.soak --write docs/soak.md

check: $(VENV)/.dev $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/dagster definitions validate -w workspace.yaml
	$(BIN)/dg check defs
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/python -m pip check

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/end_to_end.py --write docs/benchmarks.md
	$(BIN)/python benchmarks/warehouse.py --write docs/benchmarks-system-tables.md
	$(BIN)/python benchmarks/rest_lineage.py --write docs/benchmarks-rest-lineage.md
	$(BIN)/python benchmarks/rest_query_history.py --write docs/benchmarks-rest-query-history.md
	$(BIN)/python benchmarks/windows.py --write docs/benchmarks-windows.md
	$(BIN)/python benchmarks/peers.py --write docs/benchmarks-peers.md

bench-backfill: $(VENV)/.dev
	PYTHONPATH=examples $(BIN)/python benchmarks/backfill.py --write docs/benchmarks-backfill.md

corpus: $(VENV)/.dev
	$(BIN)/python -m dbminer_dagster_tests.corpus --write docs/sql-corpus.md

# The lock files hold hashes and no address; versions already locked are kept.
lock: $(VENV)/.dev
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		pyproject.toml --extra deploy --group build -c requirements.lock -o requirements-deploy.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		pyproject.toml --extra deploy --group build --group dev -c requirements-deploy.lock \
		-o requirements-dev.lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "dbminer needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing what dbminer needs into $(VENV) ..."
	$(PIP) --no-deps --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing what the tests need into $(VENV) ..."
	$(PIP) --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

$(DAGSTER_HOME)/dagster.yaml:
	@mkdir -p $(@D)
	cp examples/dagster.yaml $@
