# The words of the house. Every one makes .venv from the lock first; that is a no-op when nothing changed.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test check pytest pytest-training pytest-others browser bench docs lock sbom audit clean

BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url $(if $(UPGRADE),--upgrade)

# Libraries that would phone home must not, whatever the caller's shell says.
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

help: ## list these words
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## .venv from the lock, with the project and the system libraries it needs
	@tools/setup.sh

demo: setup ## simulated company, train, backtest, promote, score, serve on :3000 (SERVE=0: stop before serving)
	@tools/demo.sh

test: check pytest ## everything that CI runs

check: setup ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Two processes, split so that they take about as long; each one's output comes whole, when it ends.
pytest: setup
	@$(MAKE) --no-print-directory -j2 --output-sync=target pytest-training pytest-others

WITH_TRAINING := tests/pit tests/parity tests/contract tests/features/sources

pytest-training:
	$(BIN)/python -m pytest tests/training $(WITH_TRAINING) --durations=12 \
	  --ignore-glob='*/training/test_ti*.py' --ignore-glob='*/training/test_tracking_remote.py'

pytest-others:
	$(BIN)/python -m pytest tests $(WITH_TRAINING:%=--ignore=%) --durations=12 \
	  --ignore-glob='*/training/test_[!t]*.py' --ignore-glob='*/training/test_tu*.py' \
	  --ignore-glob='*/training/test_tracking.py'

browser: ## Debian's Chromium, for the tests of the pages (needs root; without it they skip, with a reason)
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium

bench: setup ## benchmarks, each with an assertion on quality or speed, beside DuckDB and Polars
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r locks/bench.txt
	$(BIN)/python -m pytest tests/bench -m bench -s --timeout=0

docs: setup ## write the tables that README.md and docs/ take from code
	$(BIN)/python tools/render_docs.py

lock: setup ## refresh locks/ from pyproject.toml (UPGRADE=1: to the newest versions)
	$(LOCK) pyproject.toml --extra train --extra report --extra postgres --extra oauth --extra otlp --group dev --output-file locks/all.txt
	$(LOCK) pyproject.toml --constraints locks/all.txt --output-file locks/serve.txt
	$(LOCK) pyproject.toml --extra train --extra dask --constraints locks/all.txt --output-file locks/dask.txt
	$(LOCK) pyproject.toml --extra bench --constraints locks/all.txt --output-file locks/bench.txt
	$(LOCK) --group mlflow --constraints locks/serve.txt --output-file locks/mlflow.txt
	echo uv | $(LOCK) - --constraints locks/all.txt --output-file locks/uv.txt
	@tools/setup.sh

sbom: setup ## bill of materials of the serving set, in build/sbom.json (CycloneDX)
	$(BIN)/python tools/supply.py sbom

audit: setup ## known vulnerabilities of everything locked; without a network it says so and passes
	$(BIN)/python tools/supply.py audit

clean: ## remove .venv and caches; .forecastle (your models and ledger) stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
