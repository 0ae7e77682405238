"""What tests of survival share: `bench ...` in warm processes, and one seed for all random instants."""

from __future__ import annotations

import os
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from support.commands import Outcome
from support.warm_bench import WarmBench

from harness.cli import status

SEED = "SURVIVAL_SEED"
"""Environment variable with the seed of random instants; drawn anew where it is not set."""


def pytest_configure() -> None:
    # Processes that share the tests inherit it.
    os.environ.setdefault(SEED, str(secrets.randbelow(10**6)))


def pytest_report_header() -> str:
    return f"random instants: {SEED}={os.environ[SEED]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"random instants: {SEED}={os.environ[SEED]} repeats them")


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> Iterator[WarmBench]:
    """`bench ...` in processes of their own that begin within milliseconds; see `support.warm_bench`."""
    folder = tmp_path_factory.mktemp("warm")
    bench = WarmBench(folder, XDG_CACHE_HOME=str(folder / "cache"), HF_HUB_OFFLINE="", BENCH_BLOCK="")
    yield bench
    bench.close()


@pytest.fixture
def instants(request) -> Random:
    """Random numbers of this test, which follow from the seed and the test's name."""
    return Random(zlib.crc32(f"{os.environ[SEED]} {request.node.nodeid}".encode()))


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A folder for what the tests of a file begin with."""
    return tmp_path_factory.mktemp("start")


@pytest.fixture
def bench(capsys):
    """`bench ...` in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = status([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
