"""Whose turn it is: cells in their order, and those that another process works on once more at the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from harness.records.locks import CellIsRunning
from harness.records.schema import Record
from harness.running.cell_run import CellRun
from harness.running.found import title
from harness.running.resolve import ResolvedCell
from harness.running.resources import RunOptions

WAIT_SECONDS = 1.0
"""Seconds between two looks at a cell that another process works on."""


class _StepReporter(Protocol):
    @property
    def cell_step(self) -> Callable[[str], None]: ...


class Turns:
    """The cells of a run, in their order.

    Runs that are started together on the same cells share them: each takes those that nobody works on. A cell
    that was put off has its second and last turn after all others, and may be done by then.

    Attributes:
        left: a line for each cell that another process works on still.
    """

    def __init__(self, cells: Sequence[ResolvedCell], options: RunOptions) -> None:
        self._cells, self._waits = cells, options.waits
        self._turns = deque(range(len(cells)))
        self._put_off: set[int] = set()
        self.left: list[str] = []

    def next(self, *, is_idle: bool = True) -> tuple[int, ResolvedCell] | None:
        """The number of the next cell, from 1, with the cell; None where no other has its turn.

        Args:
            is_idle: whether nothing else is at work: only then is it the turn of cells that were put off.
        """
        if not self._turns or (self._turns[0] in self._put_off and not is_idle):
            return None
        number = self._turns.popleft()
        return number + 1, self._cells[number]

    def __iter__(self) -> Iterator[tuple[int, ResolvedCell]]:
        """Yields the cells, one after another."""
        while turn := self.next():
            yield turn

    def begin(
        self, number: int, run: CellRun, reporter: _StepReporter, *, is_idle: bool = True
    ) -> Record | None:
        """Begins a cell: see `CellRun.begin`. On its last turn it is waited for where the user wants that."""
        # With no other cell to go to, the first turn is the last.
        is_last = number - 1 in self._put_off or not self._turns
        while True:
            try:
                return run.begin()
            except CellIsRunning as error:
                if not (self._waits and is_last and is_idle):
                    raise
                reporter.cell_step(f"waiting for {error.who or 'another process'}")
                time.sleep(WAIT_SECONDS)

    def put_off(self, number: int, error: CellIsRunning) -> None:
        """Gives a cell that another process works on its second turn; after that, it is left to that process.

        Args:
            number: of the cell, from 1.
        """
        cell = number - 1
        if cell not in self._put_off:
            self._put_off.add(cell)
            self._turns.append(cell)
            return
        who = f" ({error.who})" if error.who else ""
        self.left.append(
            f"{title(self._cells[cell])}: another process is running this cell{who}, so it is not in this "
            "table; 'bench run --wait' waits for it"
        )
