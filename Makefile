# The habits of the house, one line each. `make demo` and `make test` install what they need first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
B      ?= ingest
ARGS   ?=

.PHONY: install demo test check fmt bench servers run schema

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Nengshao needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ; $(BIN)/nengshao demo
test: install ; $(BIN)/python -m pytest
check: install ; $(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/nengshao check
fmt: install ; $(BIN)/ruff format . && $(BIN)/ruff check --fix .
bench: install ; $(BIN)/python -m tests.benches.$(B) $(ARGS)
servers: ; $(PYTHON) tests/servers/install.py
run: install ; $(BIN)/nengshao run
schema: install ; $(BIN)/nengshao schema > docs/wire.schema.json
