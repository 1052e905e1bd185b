# Every target sets up what it needs: .venv holds exactly the packages of requirements.lock, each checked by its hash.

MAKEFLAGS += --no-print-directory
PYTHONS ?= python3 python3.11 python3.12 python3.13
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.made
PIP := $(PY) -m pip --disable-pip-version-check --no-input
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.PHONY: help setup demo test lint check format bench bench-peers lock clean

help:
	@echo "make demo    a one-minute tour: trade, be killed, resume, look at what happened"
	@echo "make test    the tests, on SQLite and on a real PostgreSQL"
	@echo "make check   format, lint, types, import rules, tests"
	@echo "make bench   speed, as ratios to an anchor measured in the same run"
	@echo "make bench-peers  installs freqtrade and nautilus_trader on their own, and measures against them"
	@echo "make setup   only make .venv;  make format  rewrite the layout;  make lock  renew requirements.lock"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	  for python in $(PYTHONS); do \
	    if $$python -c '$(SUITABLE)' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "gambler_ai needs Python 3.11 or newer with its venv module; looked for: $(PYTHONS)." >&2; \
	    echo "Here, python3 is: $$(python3 --version 2>&1 || true). Name another with: make setup PYTHONS=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  echo "making $(VENV) with $$($$found --version)"; \
	  $$found -m venv --clear $(VENV); \
	}
	@echo "installing the packages of requirements.lock"
	@$(PIP) install --quiet --require-hashes --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(PY) -m gambler_ai demo

test: setup
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

check: lint test

format: setup
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

bench: setup
	@$(PY) -m benchmarks

bench-peers: setup
	@$(PY) -m benchmarks.peers

# Names neither an index nor a path of the machine that made it.
lock: setup
	$(PY) -m piptools compile --quiet --extra dev --generate-hashes --allow-unsafe --strip-extras --no-header \
	  --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .peers build dist demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
