"""Shows on stderr how a run goes: a progress bar for each cell, and a line for each kind of failure."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import click

from harness.cli.debugging import print_traceback
from harness.cli.progress import ProgressBar
from harness.messages import counted, failed_pairs, printable

if TYPE_CHECKING:
    from harness.records.schema import Record
    from harness.running.run_cell import Progress
    from harness.sweep import Cell

SHOWN_FAILURES = 5
"""Different failures of one cell that are printed; the record has all."""


class TerminalReporter:
    """A `harness.running.engine.Reporter` that writes to stderr."""

    def __init__(self) -> None:
        # One for all cells: the lines of a log become rarer as the run goes on.
        self._bar = ProgressBar("pair")

    @contextmanager
    def cell_started(self, cell: Cell, number: int, cells: int) -> Iterator[Progress]:
        """Shows how far the cell is while it runs."""
        title = f"{number}/{cells} {cell.label}"
        with self._bar as bar:
            bar.show(f"{title}: weights and first features", 0, None)
            yield lambda _, done, total: bar.show(title, done, total)

    def cell_finished(self, record: Record) -> None:
        """Prints one line for each kind of failure in a cell."""
        cell_id = record.cell.id
        if record.error:
            self.warn(f"{cell_id}: failed: {record.error.message}")
            print_traceback(record.error.traceback)
        if record.status == "not-applicable":
            self.warn(f"{cell_id}: not applicable: {record.reason}")
        # One cause often fails hundreds of pairs: each message is printed once, with its number of pairs.
        causes = dict.fromkeys((failure.pair_id, failure.error) for failure in record.failures)
        kinds = Counter(error for _, error in causes)
        for message, count in kinds.most_common(SHOWN_FAILURES):
            pair_ids = [pair_id for pair_id, error in causes if error == message]
            self.warn(f"{cell_id}: {failed_pairs(count)}: {message}{_first_pair(message, pair_ids)}")
        for traceback in record.tracebacks.values():
            print_traceback(traceback)
        more = len(kinds) - SHOWN_FAILURES
        if more > 0:
            self.warn(f"{cell_id}: and {more} more kinds of failure; its record.json has all")
        if record.counts and (record.counts.excluded or record.counts.absent_points):
            absent = _are(record.counts.absent_points, "point")
            message = f"{cell_id}: {absent} NaN or missing and not counted"
            if record.counts.excluded:
                message += f"; {_are(record.counts.excluded, 'pair')} without a valid point and left out"
            self.warn(message)

    def warn(self, message: str) -> None:
        """Prints one line."""
        print_warning(message)


def _first_pair(message: str, pair_ids: Sequence[str]) -> str:
    """The pair that failed, or the first of several, for a message that does not name it."""
    first = pair_ids[0]
    if first in message:
        return ""
    return f" (pair {first})" if len(pair_ids) == 1 else f" (the first: pair {first})"


def _are(number: int, noun: str) -> str:
    """`1 pair is`, `2 pairs are`."""
    verb = "is" if number == 1 else "are"
    return f"{counted(number, noun)} {verb}"


def print_warnings(lines: Iterable[str]) -> None:
    """Prints lines to stderr, each after the program's name."""
    for line in lines:
        print_warning(line)


def print_warning(line: str) -> None:
    """Prints one line to stderr, after the program's name."""
    # Names and errors of others are in it.
    click.echo(f"bench: {printable(line)}", err=True)


def stdout_format() -> Literal["text", "md"]:
    """The format of tables where none is asked for: for a terminal where stdout is one, else markdown."""
    return "text" if sys.stdout.isatty() else "md"
