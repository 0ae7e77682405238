"""Units of several cells, handed to the workers of a pool; shards written as they arrive.

Only this process writes. A worker that dies loses the shard that it had in hand: what is missing of its unit
is submitted again. A unit that has killed two workers is halved, and its halves when they kill again, until
the pair that does it is alone. A pair that has killed three workers has failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.engines.pool import Died, Event, Pool
from harness.engines.units import Unit, cut_units, unit_size
from harness.errors import BenchError
from harness.messages import counted
from harness.plugins.host import Host
from harness.records.locks import CellIsRunning
from harness.records.predictions import predicted_tasks
from harness.records.schema import Failure, Record
from harness.running.asked import asked_pairs
from harness.running.cell_run import CellRun, Reports
from harness.running.engine import PreparedRun, Reporter
from harness.running.found import title
from harness.running.joined_work import join_work
from harness.running.lifecycle import LifecycleHooks
from harness.running.predict import Work, now
from harness.running.recording import record_of_error, record_of_failure, record_of_misfit
from harness.running.remote import Account, CellError, FinishedPairs
from harness.running.turns import Turns

if TYPE_CHECKING:
    import pyarrow as pa

HALVED_AFTER, FAILED_AFTER = 2, 3
"""Workers that die over a unit before it is halved, and over a pair before it has failed."""

WAIT_SECONDS = 1.0
"""Longest wait for an event, so that an interrupt and the bar have their turn."""


def run_in_pool(host: Host, run: PreparedRun, pool: Pool, reporter: Reporter) -> list[Record]:
    """Runs cells by the workers of a pool and returns their records, in the order of the cells.

    Several cells may be at work at once: the next one begins when there is a worker without a unit. A cell
    that another process works on is treated as `run_cells` does it.

    Raises:
        BenchError: no worker starts, or none is left.
    """
    dispatcher = _Dispatcher(host, run, pool, reporter)
    try:
        with reporter.cells_started(len(run.cells)) as progress:
            dispatcher.run(progress)
    finally:
        # Interrupted or not: what was received is on disk, and nobody works on for nobody.
        pool.close()
        dispatcher.close()
    return dispatcher.finish()


class _OpenCell:
    """A cell that is at work.

    Attributes:
        units: those that are waiting or with a worker.
        parts: accounts of the units that are done.
        stored: pairs of which predictions were stored in this run.
    """

    def __init__(self, number: int, run: CellRun) -> None:
        self.number, self.run = number, run
        self.units: set[Unit] = set()
        self.parts: list[Work] = []
        self.stored: set[str] = set()

    def store(self, unit: Unit, table: pa.Table) -> None:
        """Writes a shard and takes its pairs off the unit. Raises `OSError`."""
        self.run.store(table)
        for pair_id, localizer in predicted_tasks(table):
            self.stored.add(pair_id)
            names = unit.wanted.get(pair_id, [])
            with suppress(ValueError):
                names.remove(localizer)
            if not names:
                unit.wanted.pop(pair_id, None)


class _Dispatcher:
    """Begins cells, submits their units, takes what comes back, and ends them."""

    def __init__(self, host: Host, run: PreparedRun, pool: Pool, reporter: Reporter) -> None:
        self._run, self._pool, self._reporter = run, pool, reporter
        self._hooks = LifecycleHooks(host, reporter)
        self._turns = Turns(run.cells, run.resources.options)
        self._state = ""
        self._waiting: deque[Unit] = deque()
        self._submitted: set[Unit] = set()
        self._open: dict[int, _OpenCell] = {}
        self._records: dict[int, Record] = {}
        options = run.resources.options
        # Pairs of each cell that has not come to its end, for the bar.
        self._asked = {
            number: len(asked_pairs(cell.index, options)) for number, cell in enumerate(run.cells, 1)
        }
        self._done: dict[int, int] = dict.fromkeys(self._asked, 0)

    def run(self, progress: Callable[[str, int, int], None]) -> None:
        """Works until every cell has its record, or is left to another process."""
        while True:
            is_all_begun = self._fill()
            total = sum(self._asked.values())
            progress("", sum(self._done.values()), total)
            self._show_state()
            # Without a worker for what is left, one is waited for.
            if is_all_begun and not self._submitted:
                return
            for event in self._pool.wait(WAIT_SECONDS):
                self._take(event)

    def finish(self) -> list[Record]:
        """Tells that the run is over, and returns the records."""
        for line in self._turns.left:
            self._reporter.warn(line)
        ordered = [*self._run.refused, *(self._records[number] for number in sorted(self._records))]
        self._hooks.run_finished(ordered)
        return ordered

    def close(self) -> None:
        """Gives up the locks of cells that have not come to their end."""
        for cell in self._open.values():
            cell.run.close()

    def _show_state(self) -> None:
        """Shows the workers behind the bar, when they have changed."""
        state = self._pool.describe()
        if state != self._state:
            self._state = state
            self._reporter.cell_step(state)

    def _fill(self) -> bool:
        """Gives every worker without a unit one, and begins cells for that.

        Returns:
            Whether no unit waits for a worker, and no cell is left to begin.
        """
        while self._pool.room():
            while not self._waiting:
                if not self._begin_next():
                    return True
            unit = self._waiting.popleft()
            self._submitted.add(unit)
            self._pool.submit(unit, self._run.cells[unit.cell - 1])
        if self._submitted or self._waiting:
            return False
        # No worker at all just now, and perhaps nothing to do for one.
        return not self._begin_next()

    def _begin_next(self) -> bool:
        """Begins the next cell that is not running elsewhere. Returns False where there is none."""
        while turn := self._turns.next(is_idle=not self._submitted):
            number, resolved = turn
            reports = Reports(warn=self._run.warn, inform=self._run.inform, step=self._reporter.cell_step)
            run = CellRun(self._run.resources, resolved, reports)
            try:
                # Work of others goes on meanwhile: nobody waits for a cell before there is nothing else.
                ended = self._turns.begin(number, run, self._reporter, is_idle=not self._submitted)
            except CellIsRunning as error:
                run.close()
                self._turns.put_off(number, error)
                continue
            self._hooks.cell_started(resolved)
            cell = self._open[number] = _OpenCell(number, run)
            if ended:
                self._end(cell, ended)
                continue
            self._done[number] = self._asked[number] - len(run.wanted)
            units = cut_units(number, resolved, run.wanted, self._unit_size(number))
            cell.units.update(units)
            self._waiting.extend(units)
            if not units:
                self._complete(cell)
                continue
            return True
        return False

    def _unit_size(self, number: int) -> int:
        """Pairs of a unit: by all that are left of the run, since cells are worked on side by side."""
        left = sum(asked for cell, asked in self._asked.items() if cell >= number)
        return unit_size(left, self._pool.size)

    def _take(self, event: Event) -> None:
        unit = event.unit
        cell = self._open.get(unit.cell)
        is_over = isinstance(event, Died) or not isinstance(event.message, FinishedPairs)
        if is_over:
            self._submitted.discard(unit)
        if cell is None:
            # The cell has failed as a whole meanwhile.
            return
        if isinstance(event, Died):
            self._resubmit(cell, unit, event)
        elif isinstance(event.message, FinishedPairs):
            self._store(cell, unit, event.message)
        elif isinstance(event.message, Account):
            cell.parts.append(event.message.work)
            self._end_unit(cell, unit)
        else:
            self._end(cell, cell.run.end(_record_of(cell, event.message)))

    def _store(self, cell: _OpenCell, unit: Unit, shard: FinishedPairs) -> None:
        before = len(cell.stored)
        try:
            cell.store(unit, shard.table())
        except (OSError, BenchError) as error:
            # A full disk: nothing that is predicted now can be kept.
            self._end(cell, cell.run.end(record_of_failure(cell.run.resolved, error)))
            return
        self._done[cell.number] += len(cell.stored) - before

    def _resubmit(self, cell: _OpenCell, unit: Unit, died: Died) -> None:
        """Submits what is missing of a unit again, in two parts where it has killed workers before."""
        cell.units.discard(unit)
        again = Unit(unit.cell, unit.wanted, unit.kills + died.is_fault)
        if not again.wanted:
            self._end_unit(cell, unit)
            return
        self._reporter.inform(
            f"{title(cell.run.resolved)}: a worker is gone ({died.reason}); "
            f"now again: {counted(len(again.wanted), 'pair')}"
        )
        if again.kills >= FAILED_AFTER and len(again.wanted) == 1:
            cell.parts.append(_failed_pair(again, died.reason))
            self._end_unit(cell, unit)
            return
        parts = again.halves() if again.kills >= HALVED_AFTER and len(again.wanted) > 1 else (again,)
        cell.units.update(parts)
        # First: what kills workers is found soon, and cells that are nearly done come to their end.
        self._waiting.extendleft(reversed(parts))

    def _end_unit(self, cell: _OpenCell, unit: Unit) -> None:
        cell.units.discard(unit)
        if not cell.units:
            self._complete(cell)

    def _complete(self, cell: _OpenCell) -> None:
        """Makes the record of a cell whose units are all done."""
        resolved = cell.run.resolved
        # Those that died handed over predictions without an account.
        lost = cell.stored - {pair_id for part in cell.parts for pair_id, _ in part.attempted}
        parts = cell.parts
        if lost or not parts:
            parts = [*parts, Work(now(), computed=len(lost))]
        self._end(cell, cell.run.finish(join_work(resolved, parts)))

    def _end(self, cell: _OpenCell, record: Record) -> None:
        cell.run.close()
        del self._open[cell.number]
        self._waiting = deque(unit for unit in self._waiting if unit.cell != cell.number)
        self._done[cell.number] = self._asked[cell.number]
        self._records[cell.number] = record
        self._reporter.cell_finished(record)
        self._hooks.cell_finished(cell.run.resolved, record)


def _record_of(cell: _OpenCell, message: CellError) -> Record:
    if message.reason:
        return record_of_misfit(cell.run.resolved, message.reason)
    return record_of_error(cell.run.resolved, message.error)


def _failed_pair(unit: Unit, reason: str) -> Work:
    """The account of a pair that kills whoever works on it."""
    ((pair_id, localizers),) = unit.wanted.items()
    failure = Failure(
        pair_id=pair_id,
        localizer=None,
        localizers=sorted(localizers),
        error=f"{counted(unit.kills, 'worker')} died over it (the last: {reason})",
    )
    attempted = frozenset((pair_id, name) for name in localizers)
    return Work(now(), attempted=attempted, failures=[failure])
