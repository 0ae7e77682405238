# `make demo` and `make test` each do all the set-up they need.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= results

.PHONY: demo test bench lint clean

demo: .venv/installed
	$(BIN)/bench run --methods sd4match-cpm,dift --out $(OUT)

test: .venv/developed
	$(BIN)/python -m pytest

bench: .venv/developed
	$(BIN)/python tests/performance/bench.py $(ARGS)

lint: .venv/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/developed: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
