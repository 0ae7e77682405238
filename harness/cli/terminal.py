"""How a run goes, on stderr: a progress bar for each cell, and a line for each kind of failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from harness.cli.progress import ProgressBar
from harness.messages import failed_pairs

if TYPE_CHECKING:
    from harness.records.schema import Record
    from harness.running.run_cell import Progress
    from harness.sweep import Cell

SHOWN_FAILURES = 5
"""Different failures of one cell that are printed; the record has all."""


class TerminalReporter:
    """A `harness.running.engine.Reporter` that writes to stderr."""

    @contextmanager
    def cell_started(self, cell: Cell, number: int, cells: int) -> Iterator[Progress]:
        """Shows a progress bar while the cell runs, if stderr is a terminal."""
        title = f"{number}/{cells} {cell.label}"
        with ProgressBar("pair") as bar:
            bar.show(title, 0, 0)
            yield lambda _, done, total: bar.show(title, done, total)

    def cell_finished(self, record: Record) -> None:
        """Prints one line for each kind of failure in a cell."""
        where = record.cell.id
        if record.error:
            click.echo(f"bench: {where}: failed: {record.error.message}", err=True)
        if record.status == "not-applicable":
            click.echo(f"bench: {where}: not applicable: {record.reason}", err=True)
        kinds = Counter(failure.error for failure in record.failures)
        for message, count in kinds.most_common(SHOWN_FAILURES):
            click.echo(f"bench: {where}: {failed_pairs(count)}: {message}", err=True)
        if len(kinds) > SHOWN_FAILURES:
            click.echo(
                f"bench: {where}: and {len(kinds) - SHOWN_FAILURES} more kinds of failure; its record.json has all",
                err=True,
            )
        if record.counts and (record.counts.excluded or record.counts.absent_points):
            click.echo(
                f"bench: {where}: {_counted(record.counts.absent_points, 'point')} NaN or missing and not counted"
                + (
                    f"; {_counted(record.counts.excluded, 'pair')} without a valid point and left out"
                    if record.counts.excluded
                    else ""
                ),
                err=True,
            )

    def warn(self, message: str) -> None:
        """Prints one line."""
        click.echo(f"bench: {message}", err=True)


def _counted(number: int, what: str) -> str:
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"


def print_warnings(lines: Iterable[str]) -> None:
    """Prints lines to stderr, each after the program's name."""
    for line in lines:
        click.echo(f"bench: {line}", err=True)
