# Everything stays in this folder: .venv (Python's packages), .tools (MinIO for the tests), .sluice (what runs made).
# Packages come from the locks in requirements/, every file checked against its SHA-256.

# Without bytecode files every step compiles all its libraries anew, which doubles a run's time.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --python $(BIN)/python --require-hashes \
	--build-constraints requirements/bootstrap.txt --require-build-hashes --preview-features build-dependency-hashes
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

RESULTS := $(or $(SLUICE_HOME),.sluice)
PORT := 5000

# A stamp's name follows from the content that it stands for: nothing is installed twice, whatever the files' times.
sum = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
BOOTSTRAP := $(VENV)/.bootstrap-$(call sum,requirements/bootstrap.txt)
DEMO := $(VENV)/.demo-$(call sum,requirements/bootstrap.txt requirements/demo.txt pyproject.toml)
DEV := $(VENV)/.dev-$(call sum,requirements/bootstrap.txt requirements/dev.txt pyproject.toml)

MINIO := v0.0.0-20260212201848-7aac2a2c5b7c
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluice/tools/minio-$(MINIO)
TOOLS := .tools/.minio-$(MINIO)
GO := $(shell go env GOVERSION 2> /dev/null | grep -E '^go1\.(2[1-9]|[3-9][0-9])')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format install tools bench ui lock clean

help:  ## Explain these targets.
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{ printf "make %-9s %s\n", $$1, $$2 }'

demo: $(DEMO)  ## Lay out the flights lake and run lake_to_model on it: from data to a registered model.
	@$(BIN)/sluice lake flights
	@$(BIN)/sluice run lake_to_model

test: lint $(if $(SLUICE_MINIO),,$(if $(GO),$(TOOLS)))  ## Lint, then run all tests; those on S3 need Go, to build MinIO.
	$(BIN)/pytest

lint: $(DEV)  ## Check style, types and which package imports which.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)  ## Format the code and repair what can be repaired without thinking.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

install: $(DEV)  ## Install what developing takes into .venv.

tools: $(TOOLS)  ## Build the MinIO server that the tests on S3 use (Go 1.21 or newer, some minutes, once).

bench: $(DEV)  ## Measure against peers on this machine (tests/benchmarks; some minutes).
	@for name in step_overhead stratified_sampling csv_ingest; do echo "== $$name"; $(BIN)/python tests/benchmarks/$$name.py || exit; done

ui: $(DEMO)  ## Show the runs and models of .sluice in MLflow's pages on this machine (PORT=5000).
	@test -f $(RESULTS)/mlflow.db || { echo "nothing to show yet: run 'make demo' first" >&2; exit 2; }
	@echo "MLflow starts on http://127.0.0.1:$(PORT) - end it with Ctrl-C"
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --workers 1 \
		--host 127.0.0.1 --port $(PORT) --backend-store-uri sqlite:///$(RESULTS)/mlflow.db \
		--artifacts-destination $(RESULTS)/mlartifacts

lock: $(BOOTSTRAP)  ## Write the locks anew from pyproject.toml; UPGRADE=1 takes the newest versions it allows.
	$(COMPILE) pyproject.toml --extra all -o requirements/demo.txt
	$(COMPILE) pyproject.toml --extra all --extra spark --group dev -c requirements/demo.txt -o requirements/dev.txt
	$(COMPILE) --group bootstrap -c requirements/dev.txt -o requirements/bootstrap.txt

clean:  ## Remove .venv, .tools, caches and builds; what runs made in .sluice stays.
	rm -rf $(VENV) .tools build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BOOTSTRAP):
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
		if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2> /dev/null; then break; fi; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "no Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' 2> /dev/null; then \
		echo "$$python cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$python --version) ..."; \
	$$python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

define announce
@ls -d $(VENV)/lib/python3*/site-packages/torch > /dev/null 2>&1 || \
	echo "Installing requirements/$(1).txt; torch with its CUDA libraries is big: 5 GB on disk, minutes on a slow line ..."
endef

# --no-build-isolation: the backend that builds Sluice itself is the locked one in .venv.
define self
@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
endef

$(DEMO): | $(BOOTSTRAP)
	$(call announce,demo)
	@$(INSTALL) -r requirements/demo.txt
	$(self)
	@rm -f $(VENV)/.demo-* $(VENV)/.dev-* && touch $@

$(DEV): | $(BOOTSTRAP)
	$(call announce,dev)
	@$(INSTALL) -r requirements/dev.txt
	$(self)
	@rm -f $(VENV)/.demo-* $(VENV)/.dev-* && touch $@ $(DEMO)

$(TOOLS):
	@[ -n "$(GO)" ] || { echo "building MinIO takes Go 1.21 or newer, and none is on the PATH" >&2; exit 1; }
	@if [ ! -x $(CACHE)/minio ]; then \
		echo "Building MinIO $(MINIO) (some minutes, once) ..."; \
		mkdir -p $(CACHE).partial; \
		GOBIN=$(CACHE).partial CGO_ENABLED=0 \
			go install -trimpath -ldflags '-s -w' github.com/minio/minio@$(MINIO) && mkdir -p $(CACHE) && \
			mv $(CACHE).partial/minio $(CACHE)/minio && rmdir $(CACHE).partial; \
	fi
	@mkdir -p .tools/bin && rm -f .tools/.minio-* && \
		{ ln -f $(CACHE)/minio .tools/bin/ 2> /dev/null || cp $(CACHE)/minio .tools/bin/; } && touch $@
