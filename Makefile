# make run     odds changing in the terminal; ARGS="--seconds 20 --no-table" hands arguments on.
#              With ODDS_API_KEY set, from The Odds API instead of the simulated bookmaker.
# make run-cluster  several nodes as processes on this machine, to be killed: docs/cluster.md
# make test    the test suite; ARGS are pytest's, "-n 0" runs it in one process
# make test-fast  the tests without processes, whole services or PostgreSQL: under a minute
# make check   linters, types, generated code, contract
# make proto   the generated code anew, after proto/ was edited
#
# Each makes the environment it needs in VENV, and again when pyproject.toml or constraints.txt have
# changed.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

# Four workers, since tests wait for most of their time; the tests of a file stay in one. Files keep
# the order of tests/conftest.py, which starts the longest first.
PYTEST = $(VENV)/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

# Without its caches each worker, and each process that a test starts, compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
MADE_OF = pyproject.toml constraints.txt

.PHONY: run run-cluster test test-fast check proto

run: $(VENV)/.for-run
	$(VENV)/bin/odds-service demo $(ARGS)

run-cluster: $(VENV)/.for-dev
	$(VENV)/bin/python -W ignore:XDG_RUNTIME_DIR -m tools.cluster $(ARGS)

test: $(VENV)/.for-dev
	$(PYTEST) $(ARGS)

test-fast: $(VENV)/.for-dev
	$(PYTEST) -m "not long and not slow" $(ARGS)

check: $(VENV)/.for-dev
	$(VENV)/bin/python -m tools.check

proto: $(VENV)/.for-dev
	$(VENV)/bin/python -m tools.codegen

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The environment's own date says nothing: only whether it is there counts.
$(VENV)/.for-run: $(MADE_OF) | $(VENV)/bin/python
	$(PIP_INSTALL) -e ".[server]"
	@touch $@

$(VENV)/.for-dev: $(MADE_OF) | $(VENV)/bin/python
	$(PIP_INSTALL) -e ".[dev]"
	@touch $@
