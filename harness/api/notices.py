"""Shows the user of Python's functions how a run goes, and all that is to be said."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from harness.api.cell_lines import cell_lines
from harness.messages import counted, printable
from harness.notices import warn

if TYPE_CHECKING:
    from tqdm import tqdm

    from harness.records.schema import Record
    from harness.running.cell_run import Progress
    from harness.sweep import Cell

_LOG = logging.getLogger(__name__)

_LOG_SECONDS = 10.0
"""Seconds between two states of a bar that nobody watches."""


def _is_watched() -> bool:
    """Says whether a bar is drawn again in its place: on a terminal and in a notebook, not in a log."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class NoticeReporter:
    """A `harness.running.engine.Reporter` for Python: a bar on stderr, warnings, and a log.

    What is to be warned of while a cell runs waits for its end: a warning that a filter makes an error of
    would fail the cell in place of its caller.

    Args:
        has_progress: whether there is a bar.
    """

    def __init__(self, *, has_progress: bool) -> None:
        self._has_progress = has_progress
        self._bar: tqdm[NoReturn] | None = None
        self._is_running = False
        self._waiting: list[str] = []

    @contextmanager
    def cell_started(self, cell: Cell, number: int, cells: int) -> Iterator[Progress]:
        """Shows how far the cell is while it runs."""
        with self._shown(f"{number}/{cells} {cell.label}") as progress:
            yield progress

    @contextmanager
    def cells_started(self, cells: int) -> Iterator[Progress]:
        """Shows how far all cells are together."""
        with self._shown(counted(cells, "cell")) as progress:
            yield progress

    @contextmanager
    def _shown(self, title: str) -> Iterator[Progress]:
        from tqdm import tqdm

        self._is_running = True
        try:
            # Text in place of widgets, which need a package of their own in notebooks.
            with tqdm(
                desc=title,
                unit="pair",
                file=sys.stderr,
                leave=False,
                mininterval=0.1 if _is_watched() else _LOG_SECONDS,
                disable=not self._has_progress,
            ) as self._bar:
                yield self._show
        finally:
            self._is_running = False

    def _show(self, cell_id: str, done: int, total: int) -> None:
        del cell_id
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)

    def cell_step(self, text: str) -> None:
        """Shows behind the bar what the cell is at."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=_is_watched())

    def cell_finished(self, record: Record) -> None:
        """Warns of each kind of failure in a cell, and of what waited for its end."""
        waiting, self._waiting = self._waiting, []
        for text in waiting:
            warn(text)
        for line in cell_lines(record):
            if not line.is_traceback:
                warn(line.text)
            elif os.environ.get("BENCH_DEBUG", "") not in ("", "0"):
                print(line.text.rstrip(), file=sys.stderr)  # noqa: T201 - the user asked for it

    def warn(self, message: str) -> None:
        """Issues a warning."""
        if self._is_running:
            self._waiting.append(message)
        else:
            warn(message)

    def inform(self, message: str) -> None:
        """Writes a line to the log."""
        _LOG.info("%s", printable(message))
