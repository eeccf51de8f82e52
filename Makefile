# The two commands of the README for a fresh machine, `make demo` and `make test`, and a few more.
#
# All of them run in the environment .venv, which is made once and brought up to date when
# pyproject.toml or constraints.txt change. Where pip downloads from is left to pip's own settings.

PYTHON ?= python3
PYTEST_ARGS ?=
# Tests keep to one thread each, so that as many processes as cores finish soonest.
TEST_WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
COMPLETE := $(VENV)/.complete
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint clean

help: ## Show these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

venv: $(COMPLETE) ## Make the environment with the versions of constraints.txt

demo: $(COMPLETE) ## Train, measure and compare on this machine
	@$(BIN)/python examples/demo/run.py

test: $(COMPLETE) ## Run the default test suite (PYTEST_ARGS="-m slow" for another choice)
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(COMPLETE) ## Check style and formatting with ruff
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

clean: ## Remove the environment, build outputs and caches
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	@find src tests examples -name __pycache__ -prune -exec rm -rf {} +

# pip comes first, because `--group` and `--build-constraint` are unknown to older ones. torch comes
# next and by its exact version, which keeps a CPU build that pip was pointed to, or that is there.
$(COMPLETE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "tersely needs Python 3.11 or newer, and '$(PYTHON) -V' says '$$($(PYTHON) -V 2>&1)';" \
	    "name another one, for example: make PYTHON=python3.12" >&2; exit 1; }
	@echo "venv: making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --constraint constraints.txt pip
	@torch=$$(grep '^torch==' constraints.txt) && echo "venv: installing $$torch" \
	  && $(INSTALL) --constraint constraints.txt "$$torch"
	@echo "venv: installing tersely, the extras that its tests need, and the development tools"
	@$(INSTALL) --constraint constraints.txt --build-constraint constraints.txt \
	  --editable '.[bench,tune,hub,serve,onnx]' --group demo --group dev
	@touch $@
	@echo "venv: complete"
