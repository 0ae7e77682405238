"""One cell, worked on in this process."""

from __future__ import annotations

from harness.records.schema import Record
from harness.running.cell_run import CellRun, Reports
from harness.running.predict import Work, now, predict
from harness.running.resolve import ResolvedCell
from harness.running.resources import Resources
from harness.running.shards import write_shard


def run_cell(resources: Resources, resolved: ResolvedCell, reports: Reports | None = None) -> Record:
    """Runs what a cell lacks in this process, scores all of it and writes its record.

    Errors of the cell are in its record and not raised.

    Raises:
        CellIsRunning: another process works in the cell's folder; nothing is written.
    """
    with CellRun(resources, resolved, reports or Reports()) as run:
        return run.begin() or work_here(run)


def work_here(run: CellRun) -> Record:
    """Does the work of a cell that has begun in this process, and returns its record."""
    return run.finish_with(lambda: _predict(run))


def _predict(run: CellRun) -> Work:
    """Predicts the missing pairs of a cell and writes a shard of predictions at a time."""
    if not run.wanted:
        return Work(now())
    resolved = run.resolved
    return predict(
        resolved,
        run.wanted,
        lambda predictions: write_shard(resolved, predictions),
        lambda done: run.reports.progress(resolved.id, done, len(run.wanted)),
        run.shared,
        run.reports.step,
    )
