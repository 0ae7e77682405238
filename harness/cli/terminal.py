"""Shows on stderr how a run goes: a progress bar for each cell, and a line for each kind of failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from harness.api.cell_lines import cell_lines
from harness.cli.debugging import print_traceback
from harness.cli.progress import ProgressBar
from harness.cli.verbosity import print_information, print_line, print_step
from harness.messages import counted

if TYPE_CHECKING:
    from harness.records.schema import Record
    from harness.running.cell_run import Progress
    from harness.sweep import Cell


class TerminalReporter:
    """A `harness.running.engine.Reporter` that writes to stderr."""

    def __init__(self) -> None:
        # One for all cells: the lines of a log become rarer as the run goes on.
        self._bar = ProgressBar("pair")
        self._title = ""

    @contextmanager
    def cell_started(self, cell: Cell, number: int, cells: int) -> Iterator[Progress]:
        """Shows how far the cell is while it runs."""
        title = f"{number}/{cells} {cell.label}"
        self._title = title
        with self._bar as bar:
            bar.show(title, 0, None)
            yield lambda _, done, total: bar.show(title, done, total)

    @contextmanager
    def cells_started(self, cells: int) -> Iterator[Progress]:
        """Shows how far all cells are together."""
        self._title = title = counted(cells, "cell")
        with self._bar as bar:
            bar.show(title, 0, None)
            yield lambda _, done, total: bar.show(title, done, total)

    def cell_step(self, text: str) -> None:
        """Shows behind the bar what the cell is at."""
        if text:
            print_step(f"{self._title}: {text}")
        self._bar.note(text)

    def cell_finished(self, record: Record) -> None:
        """Prints one line for each kind of failure in a cell."""
        for line in cell_lines(record):
            if line.is_traceback:
                print_traceback(line.text)
            else:
                self.warn(line.text)

    def warn(self, message: str) -> None:
        """Prints one line."""
        print_warning(message)

    def inform(self, message: str) -> None:
        """Prints one line, unless the user wants warnings alone."""
        print_information(message)


def print_warnings(lines: Iterable[str]) -> None:
    """Prints lines to stderr, each after the program's name."""
    for line in lines:
        print_warning(line)


def print_warning(line: str) -> None:
    """Prints one line to stderr, after the program's name."""
    print_line(line)


def stdout_format() -> Literal["text", "md"]:
    """The format of tables where none is asked for: for a terminal where stdout is one, else markdown."""
    return "text" if sys.stdout.isatty() else "md"


def wants_colours() -> bool | None:
    """Says whether output is styled; None without NO_COLOR and FORCE_COLOR: on a terminal alone."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None
