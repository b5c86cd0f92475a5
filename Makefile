# Everything works on a fresh clone with Python 3.11 or newer and plain pip: no other step, no environment variable.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup sweep up down test test-fast lint format bench gpu-bench profile
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || grep '##' Makefile

setup: $(STAMP) ## create .venv and install the package, its dependencies and the development tools

# Repeated only when a requirement or a pin changes. pip 25.1 is the first that knows dependency groups.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bdw needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make setup PYTHON=python3.12")'
	@echo "Installing into $(VENV): PyTorch and Ray are large, the first time takes some minutes."
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt 'pip>=25.1'
	$(BIN)/python -m pip install --constraint constraints.txt --group dev --editable .
	@touch $@

sweep: setup ## run the main job, a Ray Tune + Optuna sweep on the embedded data; prints where the report lies
	$(BIN)/python sweeps/stl10_pruning.py

CLUSTER ?= cluster/aws.yaml

up: setup ## check a cluster file and start its head, which costs money until `make down`: make up CLUSTER=cluster/aws.yaml
	$(BIN)/python -m sweeps.jobs.cluster_file $(CLUSTER)
	$(BIN)/ray up $(CLUSTER)

down: setup ## end all machines of a cluster: make down CLUSTER=cluster/aws.yaml
	$(BIN)/ray down $(CLUSTER)

# One thread a process: the tests start several processes, and threads that wait for each other cost more than they give.
test test-fast: export OMP_NUM_THREADS := 1
test test-fast: export MKL_NUM_THREADS := 1
test test-fast: export OPENBLAS_NUM_THREADS := 1

test: setup ## run all tests
	$(BIN)/python -m pytest

test-fast: setup ## run the tests that take no longer than some seconds each
	$(BIN)/python -m pytest -m "not slow"

lint: setup ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## sort imports, fix what can be fixed, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## time one training step by its parts
	$(BIN)/python -m benchmarks.step

gpu-bench: setup ## time training steps by their arithmetic on a GPU: make gpu-bench ARGS="--data-root DIR"
	$(BIN)/python -m benchmarks.gpu $(ARGS)

profile: setup ## say where a training step's time goes: make profile ARGS="--preset stl10 --random 500"
	$(BIN)/python -m benchmarks.profile_step $(ARGS)
