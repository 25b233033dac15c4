# make pretrain   makes .venv, installs the medical domain and runs its default pretraining
# make test       makes the same .venv with the dev tools and runs every check
# PYTHON=python3.12 chooses the interpreter, PIP_ARGS="..." passes options to pip (an index of CPU wheels, for instance),
# ARGS="..." passes options to the command.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt $(PIP_ARGS)

.PHONY: pretrain test lint clean

pretrain: $(VENV)/.medical
	$(BIN)/python -m domains.medical.pretrain $(ARGS)

test: lint
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Heptad needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -f $(BIN)/python; exit 1; }

$(VENV)/.medical: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the medical domain into $(VENV) (some minutes, a few GB)"
	$(PIP) -e '.[medical]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing all domains and the dev tools into $(VENV) (some minutes, a few GB)"
	$(PIP) -e '.[medical,remote-sensing,molecules,dev]'
	@touch $@ $(VENV)/.medical

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build *.egg-info
