# The habits of the house, one line each. `make demo` and `make test` install what they need first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
B      ?= ingest
N      ?= 100
ARGS   ?=
SECONDS ?= 600

.PHONY: install demo test check fmt bench chaos fuzz servers run schema

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
chaos: install ; $(BIN)/python -m tests.chaos --kills $(N) $(ARGS)
fuzz: install ; mkdir -p .fuzz && POLARS_MAX_THREADS=1 $(BIN)/python -m tests.fuzz -max_total_time=$(SECONDS) -max_len=4096 -timeout=30 -print_final_stats=1 -dict=tests/fuzz/wire.dict -artifact_prefix=.fuzz/ .fuzz tests/fuzz/corpus
servers: ; $(PYTHON) tests/servers/install.py
run: install ; $(BIN)/nengshao run
schema: install ; $(BIN)/nengshao schema > docs/wire.schema.json
