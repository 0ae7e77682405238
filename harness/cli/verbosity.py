"""`--quiet` and `--verbose`: how much a command says on stderr besides warnings and errors.

stdout is the same at every level: a script that reads a table gets the table.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum

import click

from harness.messages import cut, printable


class Verbosity(IntEnum):
    """Levels of what is said: warnings alone, information and progress too, every step."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


LOGGERS = ("harness", "baselines", "matchers", "sd4match_plugin")
"""Packages whose steps `--verbose` shows: what they log at level INFO."""

_level: ContextVar[Verbosity] = ContextVar("verbosity", default=Verbosity.NORMAL)


def is_quiet() -> bool:
    """Says whether the user wants no progress and no information."""
    return _level.get() is Verbosity.QUIET


def is_verbose() -> bool:
    """Says whether the user wants to see each step."""
    return _level.get() is Verbosity.VERBOSE


def print_line(line: str) -> None:
    """Prints one line to stderr, after the program's name; a bar that is there goes on below it."""
    # Names and errors of others are in it.
    text = f"bench: {printable(cut(line))}"
    if "tqdm" not in sys.modules:
        click.echo(text, err=True)
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        click.echo(text, err=True)


def print_information(line: str) -> None:
    """Prints a line to stderr that no number depends on, such as where the results are."""
    if not is_quiet():
        print_line(line)


def print_step(line: str) -> None:
    """Prints a line to stderr where the user wants to see each step."""
    if is_verbose():
        print_line(line)


@contextmanager
def showing(verbosity: Verbosity) -> Iterator[None]:
    """Sets the level for the command that runs meanwhile."""
    token = _level.set(verbosity)
    handler = _StepHandler(logging.INFO)
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    if verbosity is Verbosity.VERBOSE:
        for name in LOGGERS:
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).setLevel(logging.INFO)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        _level.reset(token)


class _StepHandler(logging.Handler):
    """Prints what is logged as one line, warnings too: with a handler there, Python prints none itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record."""
        # Warnings name the program themselves, for whoever uses the package without this handler.
        print_line(record.getMessage().removeprefix("bench: "))
