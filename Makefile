# Each target works in a fresh clone with Python 3.11+ and pip: it first makes the environment it runs in.
#   make run             the main job: `vgic run --guests`, real guests on the model
#   make check           the checks that need no guest code: `vgic check`
#   make test            the whole suite, with ruff, mypy --strict and the import contracts
#   make unit            only the unit tests and the golden traces (what other Python versions run)
#   make bench           the benchmark rows in units of one bare method call
#   make bench-assert    the same, failing a row above twice its `must`
#   make campaign        a million steps of random walks and a million hostile accesses
# ARGS is passed on, as in: make test ARGS="-k fold"

PYTHON ?= python3
VENV ?= .venv
EXTRA ?= dev
ARGS ?=
READY := $(VENV)/ready
PYTEST = $(VENV)/bin/python -m pytest
ROWS = tests/bench/test_rows.py tests/bench/test_rows_v2.py tests/bench/test_rows_its.py tests/bench/test_rows_direct.py tests/bench/test_rows_v4.py --benchmark-enable --benchmark-only --benchmark-quiet

.PHONY: run check test unit bench bench-assert campaign

run: $(READY)
	$(VENV)/bin/vgic run --guests $(ARGS)

check: $(READY)
	$(VENV)/bin/vgic check $(ARGS)

test: $(READY)
	$(PYTEST) -n auto $(ARGS)

unit: $(READY)
	$(PYTEST) -n auto tests/unit tests/golden $(ARGS)

bench: $(READY)
	$(PYTEST) $(ROWS) $(ARGS)

bench-assert: $(READY)
	$(PYTEST) $(ROWS) --assert-units 2 $(ARGS)

campaign: $(READY)
	$(VENV)/bin/python -m tests.walk.campaign $(ARGS)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[$(EXTRA)]'
	touch $@
