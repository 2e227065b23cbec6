# Needs Python, git and make. `make PYTHON=/path/to/python` names the interpreter to use.

VENV := .venv
BIN := $(VENV)/bin
# One stamp for each PYTHON asked for, so that naming another one sets up anew.
STAMP := $(VENV)/.ready$(if $(PYTHON),-$(subst /,_,$(subst $() ,_,$(PYTHON))))

export PYTHON

# The tests start hundreds of processes: none of them compiles again what another one has.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache

.PHONY: help setup demo test test-long lint docs bench bench-quick elsewhere

help:
	@echo 'make demo       the whole broker on this machine, against a simulated GitHub'
	@echo '                CONSOLE=1 lets you set a server up by its pages, in your browser'
	@echo 'make test       the tests and their coverage gate'
	@echo 'make test-long  the same promises, repeated at length'
	@echo 'make lint       ruff, mypy, import-linter'
	@echo 'make bench      how fast, beside what aiohttp can do alone'
	@echo '                RECORD=1 writes docs/benchmarks.md; make bench-quick is the same, small'
	@echo 'make docs       the documentation site, in site/'
	@echo 'make setup      only the environment (.venv), which all others make as needed'

setup: $(STAMP)

# The programs in .venv name its folder: in a checkout that was moved or copied they do not run.
ifneq ("$(shell cat $(VENV)/.folder 2>/dev/null)","$(CURDIR)")
$(STAMP): elsewhere
endif

$(STAMP): pyproject.toml uv.lock tools/setup.sh
	@sh tools/setup.sh
	@touch '$@'

demo: $(STAMP)
	@$(BIN)/zekt demo $(if $(CONSOLE),--console)

test: $(STAMP)
	$(BIN)/python -m pytest -n 3 -rs --durations=20 -p tools.measured
	$(BIN)/python tools/coverage_gate.py .coverage.json

test-long: $(STAMP)
	ZEKT_TEST_PROFILE=long $(BIN)/python -m pytest -n 3 -rs --durations=20 -m 'long or not long' \
	  --timeout=1200 -o faulthandler_timeout=1500

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/uv lock --quiet --check

docs: $(STAMP)
	$(BIN)/python tools/docs.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks

bench-quick: $(STAMP)
	QUICK=1 $(BIN)/python -m benchmarks
