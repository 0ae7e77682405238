"""Thousands of damaged files of every kind that somebody else may have written, and of options.

Each is read, or refused in one line that names it; no other error, no hang, no memory beyond bounds.
`pytest -rA` prints how many there were.
"""

from __future__ import annotations

import faulthandler
import resource
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from support.foreign_files import FOREIGN_FILES, ForeignFile, check_command_line, check_outcome
from support.option_texts import OPTION_TEXTS, option_words

# Always the same cases. They are not made smaller where one fails: the message has the file.
many = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

MOST_MEMORY = 2 * 10**9
"""Bytes that the process may grow by while the damaged files of one kind are read."""

PATIENCE = 600
"""Seconds after which a reader hangs; the slowest case takes less than one."""


@pytest.fixture(autouse=True)
def limits():
    """Ends a hang with a traceback, and fails a test that has used too much memory."""
    before = peak_memory()
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    assert peak_memory() - before < MOST_MEMORY


def peak_memory() -> int:
    """The process's largest memory so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.mark.parametrize("kind", FOREIGN_FILES, ids=lambda kind: kind.name)
def test_damaged_files(kind: ForeignFile, tmp_path):
    path = kind.make(tmp_path)
    content = path.read_bytes()
    damaged = kind.damaged(content)
    refused: list[bool] = []

    @many
    @given(st.data())
    def check(data: DataObject) -> None:
        path.write_bytes(data.draw(damaged))
        refused.append(check_outcome(kind, path))

    check()
    print(f"{kind.name}: {len(refused)} damaged, {sum(refused)} refused, the others read")


@pytest.mark.parametrize("option", OPTION_TEXTS)
def test_options(option: str):
    refused: list[bool] = []

    @many
    @given(option_words(option))
    def check(words: list[str]) -> None:
        refused.append(check_command_line(words))

    check()
    print(f"{option}: {len(refused)} texts, {sum(refused)} refused, the others read")
