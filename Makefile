# `make demo` and `make test` each do all the set-up they need.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= results

.PHONY: demo test test-survival test-cluster test-docs test-wheel docs docs-reference bench bench-gpu bench-growth bench-precision bench-coverage bench-leaderboard lint clean

demo: .venv/installed
	$(BIN)/bench run --methods sd4match-cpm,dift --out $(OUT)

# One process for each core, up to four, and one thread each: most tests are too small for more.
test: .venv/developed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# What may happen to a command, and what is left: kills, full disks, clocks, two runs at once. Some minutes.
test-survival: .venv/developed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --config-file tests/survival/pytest.ini --rootdir . --numprocesses auto --maxprocesses 4 --dist loadfile tests/survival $(ARGS)

# A Ray cluster of two nodes on this machine: workers, nodes and runs that die in the middle. Some minutes.
test-cluster: .venv/clustered
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --config-file tests/cluster/pytest.ini --rootdir . tests/cluster $(ARGS)

# Every block of code on the pages, as written.
test-docs: .venv/documented
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --config-file tests/documentation/pytest.ini --rootdir . --numprocesses auto --maxprocesses 4 --dist loadfile tests/documentation README.md CONTRIBUTING.md docs $(ARGS)

# The pages as a site, in build/docs. A link that leads nowhere is an error, as is any other warning.
docs: .venv/documented
	rm -rf build/docs
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --nitpicky --quiet -d build/doctrees docs build/docs
	$(BIN)/python -m tools.site_links build/docs

# Pages of the reference that are written by a program, and llms.txt, the list of all pages.
docs-reference: .venv/developed
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.llms

# The package as strangers get it: wheel and sdist, installed and run without the source.
test-wheel: .venv/developed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/installation

bench: .venv/developed
	$(BIN)/python benchmarks/bench.py $(ARGS)

# Ours and the published way on one GPU: eight minutes, nothing to download.
bench-gpu: .venv/developed
	$(BIN)/python benchmarks/gpu.py $(ARGS)

# How seconds and memory of commands grow, to twice SPair-71k's size. Half an hour.
bench-growth: .venv/developed
	$(BIN)/python benchmarks/growth_of_commands.py $(ARGS)

bench-precision: .venv/developed
	$(BIN)/python benchmarks/precision.py $(ARGS)

bench-coverage: .venv/developed
	$(BIN)/python benchmarks/interval_coverage.py $(ARGS)

bench-leaderboard: .venv/developed
	$(BIN)/python benchmarks/leaderboard.py $(ARGS)

lint: .venv/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/developed: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/clustered: .venv/developed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,cluster]'
	touch $@

.venv/documented: .venv/developed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
