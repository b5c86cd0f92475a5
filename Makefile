# Everything works on a fresh clone with Python 3.11 or newer and plain pip: no other step, no environment variable.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PINS := $(VENV)/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev sweep up down test test-rest test-all lint format docs bench gpu-bench profile
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || grep '##' Makefile

setup: $(STAMP) ## create .venv and install the package and its dependencies

setup-dev: $(DEV_STAMP) ## the same, and the development tools

# Repeated only when a requirement or a pin changes. pip 25.1 is the first that knows dependency groups.
# torch and torchvision with a `+` in their versions, such as 2.14.0+cpu, were chosen by hand and stay: by our pins, pip
# would put the builds with CUDA in their place. One of each kind cannot be imported.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bdw needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make setup PYTHON=python3.12")'
	@echo "Installing into $(VENV): PyTorch and Ray are large, the first time takes some minutes."
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt 'pip>=25.1'
	@if $(BIN)/python -m pip list --format freeze | grep -E '^torch(vision)?==.*[+]' > $(PINS); \
	then echo "Kept as they are:" $$(cat $(PINS)); \
	    test $$(wc -l < $(PINS)) -eq 2 || { echo "They only work together: install torch and torchvision from the same index."; exit 1; }; \
	    grep -vE '^torch(vision)?==' constraints.txt >> $(PINS); \
	else cp constraints.txt $(PINS); fi
	$(BIN)/python -m pip install --constraint $(PINS) --editable .
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/python -m pip install --constraint $(PINS) --group dev
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
test test-rest: export OMP_NUM_THREADS := 1
test test-rest: export MKL_NUM_THREADS := 1
test test-rest: export OPENBLAS_NUM_THREADS := 1

# In two processes; which test goes to which, tests/conftest.py says.
test: setup-dev ## run the tests, but for the long ones
	$(BIN)/python -m pytest -n 2 -m "not long"

test-rest: setup-dev ## run the tests that `make test` leaves out
	$(BIN)/python -m pytest -m long --durations=20

# One after the other under `make --jobs`, too: both halves start processes for every core.
test-all: test ## run all tests
	@$(MAKE) --no-print-directory test-rest

lint: setup-dev ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup-dev ## sort imports, fix what can be fixed, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup-dev ## build the documentation site, strictly; it is read without a network: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "documentation: build/site/index.html"

bench: setup ## time one training step by its parts
	$(BIN)/python -m benchmarks.step

gpu-bench: setup ## time training steps by their arithmetic on a GPU: make gpu-bench ARGS="--data-root DIR"
	$(BIN)/python -m benchmarks.gpu $(ARGS)

profile: setup ## say where a training step's time goes: make profile ARGS="--preset stl10 --random 500"
	$(BIN)/python -m benchmarks.profile_step $(ARGS)
