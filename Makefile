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

RESULTS := $${SLUICE_HOME:-.sluice}
PORT := 5000
# One more than there are cores, since many tests wait for a process or a server; each takes some 2 GB.
TEST_PROCESSES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1 | awk '{print ($$1 < 4) ? $$1 : 4}')

# A stamp's name follows from the content that it stands for: nothing is installed twice, whatever the files' times.
sum = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
BOOTSTRAP := $(VENV)/.bootstrap-$(call sum,requirements/bootstrap.txt)
DEMO := $(VENV)/.demo-$(call sum,requirements/bootstrap.txt requirements/demo.txt pyproject.toml)
DEV := $(VENV)/.dev-$(call sum,requirements/bootstrap.txt requirements/dev.txt pyproject.toml)

# What tests and clusters take beside Python: built from Go modules once, by content, into ~/.cache/sluice.
CLUSTER_PROGRAMS := kind helm
TEST_PROGRAMS := minio kubeconform kube-score oauth2-proxy mock-oidc cosign crane
SUPPLY_PROGRAMS := cosign grype
CLUSTER_TOOLS := .tools/.cluster-$(call sum,platform/hermetic/programs.toml)
SUPPLY_TOOLS := .tools/.supply-$(call sum,platform/hermetic/programs.toml)
TOOLS := .tools/.tests-$(call sum,platform/hermetic/programs.toml)
GO := $(shell go env GOVERSION 2> /dev/null | grep -E '^go1\.(2[6-9]|[3-9][0-9])')
export PATH := $(CURDIR)/.tools/bin:$(PATH)

# `make kind` on a machine that reaches no image registry: HERMETIC=1 builds every image from package registries first.
HERMETIC ?=
BASES := $(if $(HERMETIC),--base sluice.local/python-torch:3.13 --system-torch --kfp-driver sluice.local/kfp-driver:2.14.3)
OWN_IMAGES := python-tabular python-torch platform model-server kfp-driver

tool = ln -sf "$$(readlink -f "$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluice/hermetic/tools/$(1)")" .tools/bin/

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo loop test look kind kind-down test-kind sbom sign scan lint format install tools bench ui lock clean fuzz

help:  ## Explain these targets.
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{ printf "make %-9s %s\n", $$1, $$2 }'

demo: $(DEMO)  ## Run the project examples/flights: from data to a registered model.
	@$(BIN)/python examples/flights/lake.py
	@SLUICE_HOME="$(RESULTS)" $(BIN)/sluice run examples/flights

# A year is lived anew each time: what the one before left is removed, and nothing else of .sluice.
loop: $(DEMO)  ## Live through the flights' year 2013 with the operator, in minutes; it ends in one page.
	@rm -rf "$(RESULTS)/loop"
	@SLUICE_HOME="$(RESULTS)/loop" $(BIN)/sluice operate examples/flights

test: lint $(if $(GO),$(TOOLS))  ## Lint, then run all tests that need no cluster; some take programs that Go builds.
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadgroup $(ARGS)

# First of all, for what is missing is told in a second, and what is built before that takes minutes.
look: | $(BOOTSTRAP)  ## Look whether `make kind` can begin: engine, disk and programs.
	@$(BIN)/python platform/kind/first_look.py $(if $(HERMETIC),--hermetic)
	@$(if $(HERMETIC),$(BIN)/python platform/hermetic/build.py --look)

kind: look $(DEMO) $(if $(GO),$(CLUSTER_TOOLS))  ## Bring everything up on a kind cluster; HERMETIC=1 builds all images from packages.
	@$(if $(HERMETIC),$(BIN)/python platform/hermetic/build.py && { command -v kubectl > /dev/null || $(call tool,kubectl); })
	@$(BIN)/python platform/images/build.py $(BASES)
	@$(BIN)/python platform/kind/cluster.py up $(if $(HERMETIC),--hermetic)
	@tag=$$($(BIN)/python platform/images/build.py $(BASES) --print-tag) && \
		$(BIN)/python platform/kind/cluster.py load $(OWN_IMAGES:%=sluice/%:$$tag) && \
		$(BIN)/python platform/kind/release.py --tag $$tag $(if $(HERMETIC),--hermetic)

kind-down:  ## Remove the kind cluster and all that it holds.
	@$(BIN)/python platform/kind/cluster.py down

test-kind: $(DEV)  ## Run the tests on the kind cluster (HERMETIC=1 as for kind); ARGS=--keep-cluster leaves it.
	@HERMETIC=$(HERMETIC) $(BIN)/pytest tests/kind --timeout 1800 -o cache_dir=.pytest_cache/kind $(ARGS)

sbom: $(DEV)  ## Write the lists of packages of our images to build/sbom, and hold them against the locks.
	@$(BIN)/python platform/images/sbom.py --tag "$$($(BIN)/python platform/images/build.py $(BASES) --print-tag)"

sign: sbom $(SUPPLY_TOOLS)  ## Push our images to REGISTRY=ghcr.io/acme/sluice, and sign them and their lists by KEY=cosign.key.
	@$(BIN)/python platform/images/sign.py --registry "$(REGISTRY)" --key "$(KEY)" \
		--tag "$$($(BIN)/python platform/images/build.py $(BASES) --print-tag)"

scan: $(SUPPLY_TOOLS)  ## Scan locks and build/sbom for known vulnerabilities; ARGS=docker:IMAGE scans more.
	@$(BIN)/python platform/images/scan.py $(ARGS)

lint: $(DEV)  ## Check style, types and which package imports which.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)  ## Format the code and repair what can be repaired without thinking.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

install: $(DEV)  ## Install what developing takes into .venv.

tools: $(TOOLS)  ## Build the programs that tests and `make kind` use: MinIO, kind, helm and others (needs Go).

fuzz: $(DEV)  ## Ask the server 10,000 questions that nobody means well, and kill the operator 20 times at each failpoint.
	SLUICE_FUZZED=10000 $(BIN)/pytest -n 0 -q --timeout 1800 tests/unit/test_serving_fuzz.py
	$(BIN)/python platform/hermetic/build.py --programs kueue
	SLUICE_LONG=1 $(BIN)/pytest -n 0 -q --timeout 1800 -m long tests/unit tests/charts tests/local tests/faults
	SLUICE_OPERATOR_KILLS=20 $(BIN)/pytest -n 0 -q --timeout 3600 tests/charts/test_operator_process_server.py -k killed
	SLUICE_OPERATOR_EVENTS=10000 $(BIN)/pytest -n 0 -q --timeout 3600 tests/charts/test_operator_outages_server.py -k storm

bench: $(DEV)  ## Measure against peers on this machine (tests/benchmarks; some minutes).
	@for name in step_overhead stratified_sampling csv_ingest; do echo "== $$name"; $(BIN)/python tests/benchmarks/$$name.py || exit; done

ui: $(DEMO)  ## Show the runs and models of .sluice in MLflow's pages on this machine (PORT=5000).
	@test -f "$(RESULTS)/mlflow.db" || { echo "nothing to show yet: run 'make demo' first" >&2; exit 2; }
	@echo "MLflow starts on http://127.0.0.1:$(PORT) - end it with Ctrl-C"
	@$(BIN)/python -c 'from sluice.core.home import home; from sluice.registry.moved_homes import follow_move; follow_move(home())'
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --workers 1 \
		--host 127.0.0.1 --port $(PORT) --backend-store-uri "sqlite:///$(RESULTS)/mlflow.db" \
		--artifacts-destination "$(RESULTS)/mlartifacts"

lock: $(BOOTSTRAP)  ## Write the locks anew from pyproject.toml; UPGRADE=1 takes the newest versions it allows.
	$(COMPILE) pyproject.toml --extra all -o requirements/demo.txt
	$(COMPILE) pyproject.toml --extra all --extra operator --extra server --extra spark --group dev -c requirements/demo.txt -o requirements/dev.txt
	$(COMPILE) --group bootstrap -c requirements/dev.txt -o requirements/bootstrap.txt
	$(COMPILE) pyproject.toml --extra cli --extra tracking --extra tabular --extra images --extra serve --extra demo -c requirements/demo.txt -o requirements/images/tabular.txt
	$(COMPILE) pyproject.toml --extra torch -c requirements/demo.txt -o requirements/images/torch.txt
	$(COMPILE) pyproject.toml --extra cli --extra operator --extra server --extra demo -c requirements/demo.txt -o requirements/images/platform.txt
	$(COMPILE) --group model-server -c requirements/demo.txt -o requirements/images/model-server.txt
	$(COMPILE) --group image -c requirements/dev.txt -o requirements/images/build.txt

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

define programs
@[ -n "$(GO)" ] || { echo "building $(1) takes Go 1.26 or newer, and none is on the PATH" >&2; exit 1; }
@$(BIN)/python platform/hermetic/build.py --programs $(1)
@mkdir -p .tools/bin && rm -f $(firstword $(subst -, ,$@))-* && for name in $(1); do $(call tool,$$name); done && touch $@
endef

$(CLUSTER_TOOLS): | $(BOOTSTRAP)
	$(call programs,$(CLUSTER_PROGRAMS))

$(SUPPLY_TOOLS): | $(BOOTSTRAP)
	$(call programs,$(SUPPLY_PROGRAMS))

$(TOOLS): $(CLUSTER_TOOLS)
	$(call programs,$(TEST_PROGRAMS))
