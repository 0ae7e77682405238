"""The local engine: cells run one after another in this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from harness.caching.array_store import make_cache_folder
from harness.datasets.notes import notes_on_split
from harness.messages import OncePerSubject, bytes_text, counted
from harness.plugins.host import Host
from harness.records.folders import make_results_folder
from harness.records.locks import CellIsRunning
from harness.records.schema import Record
from harness.running.cell_run import CellRun, Progress, Reports, Warn
from harness.running.fresh import with_recorded_localizers
from harness.running.lifecycle import LifecycleHooks
from harness.running.measures import measure_lines
from harness.running.refused import resolve_cells
from harness.running.resolve import ResolvedCell
from harness.running.resources import Resources, RunOptions
from harness.running.run_cell import work_here
from harness.running.turns import Turns
from harness.sweep import Cell
from harness.weights.choice import warn_of_strange_pictures

_LOG = logging.getLogger(__name__)


class Reporter(Protocol):
    """Shows somebody how a run goes: the command line, a notebook, a test."""

    def cell_started(self, cell: Cell, number: int, cells: int) -> AbstractContextManager[Progress]:
        """Begins cell `number` (from 1) of `cells`; the context's function is called as pairs are done."""

    def cells_started(self, cells: int) -> AbstractContextManager[Progress]:
        """Begins cells that several workers work on at once; the function is called with all of their pairs.

        The cell that it is told of is an empty text.
        """

    def cell_finished(self, record: Record) -> None:
        """Shows how a cell ended."""

    def cell_step(self, text: str) -> None:
        """Shows what the cell is at, such as `loading weights`; empty where the pairs say it."""

    def warn(self, message: str) -> None:
        """Shows a message about something that stops nothing."""

    def inform(self, message: str) -> None:
        """Shows a message that no number depends on, such as when a cell that was found was computed."""


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run whose data and weights are all at hand.

    Attributes:
        cells: those to run, none of them twice.
        warn: shows a message about a subject, once.
        inform: the same of a message that no number depends on.
        refused: records of cells that failed before anything ran, by the code of a plugin.
    """

    resources: Resources
    cells: Sequence[ResolvedCell]
    warn: Warn
    inform: Warn
    refused: Sequence[Record] = ()


def prepare_run(host: Host, cells: Sequence[Cell], options: RunOptions, reporter: Reporter) -> PreparedRun:
    """Resolves cells, and makes the folders that they write to.

    All of them are resolved before the first runs, so that missing data or weights are reported at once and
    not after an hour.

    Raises:
        UserError: data or weights of a cell are missing, or a folder cannot be written.
    """
    resources = Resources(host, options)
    resolved, refused = resolve_cells(resources, cells)
    resolved = distinct_cells(resolved)
    if options.fresh:
        resolved = [with_recorded_localizers(resources, cell) for cell in resolved]
    for line in (*notes_on_data(resolved), *measure_lines(resolved)):
        reporter.warn(line)
    # Once for all cells: they have one cache and one file system.
    warn, inform = OncePerSubject(reporter.warn), OncePerSubject(reporter.inform)
    for cell in resolved:
        used = resources.weights_of(cell.cell).values()
        if warning := warn_of_strange_pictures(used, cell.cell.dataset.name):
            warn("small weights", warning)
        if cell.remarks:
            inform(cell.cell.label, " ".join(cell.remarks))
    make_results_folder(options.out)
    if options.cache:
        make_cache_folder(options.cache)
    _log_options(options)
    for record in refused:
        reporter.cell_finished(record)
    return PreparedRun(resources, resolved, warn, inform, refused)


def run_cells(host: Host, cells: Sequence[Cell], options: RunOptions, reporter: Reporter) -> list[Record]:
    """Runs cells in their order, in this process, and returns their records.

    A cell that another process works on has another turn after all others. If that process is at work still,
    it is waited for where the options say so; otherwise the cell is told and left out.

    Raises:
        UserError: data or weights of a cell are missing, or a folder cannot be written.
    """
    run = prepare_run(host, cells, options, reporter)
    hooks = LifecycleHooks(host, reporter)
    records: dict[int, Record] = {}
    turns = Turns(run.cells, options)
    for number, resolved in turns:
        with (
            reporter.cell_started(resolved.cell, number, len(run.cells)) as progress,
            CellRun(
                run.resources, resolved, Reports(progress, run.warn, run.inform, reporter.cell_step)
            ) as cell_run,
        ):
            try:
                ended = turns.begin(number, cell_run, reporter)
            except CellIsRunning as error:
                turns.put_off(number, error)
                continue
            hooks.cell_started(resolved)
            record = ended or work_here(cell_run)
        reporter.cell_finished(record)
        hooks.cell_finished(resolved, record)
        records[number] = record
    for line in turns.left:
        reporter.warn(line)
    ordered = [*run.refused, *(records[number] for number in sorted(records))]
    hooks.run_finished(ordered)
    return ordered


def _log_options(options: RunOptions) -> None:
    _LOG.info("results: %s", options.out)
    disk = f", and on disk in {options.cache}" if options.cache else ""
    _LOG.info("cache: %s in memory%s", bytes_text(options.cache_bytes), disk)
    _LOG.info(
        "computing: %s, batches of %d, %s",
        options.precision,
        options.batch_size,
        counted(options.workers, "process that decodes pictures", "processes that decode pictures"),
    )


def distinct_cells(resolved: Sequence[ResolvedCell]) -> list[ResolvedCell]:
    """Cells of which none has the numbers of another, as two copies of one prompt file have."""
    by_digest: dict[str, ResolvedCell] = {}
    for cell in resolved:
        by_digest.setdefault(cell.id.rpartition(".")[2], cell)
    return list(by_digest.values())


def notes_on_data(resolved: Sequence[ResolvedCell]) -> list[str]:
    """Lines on splits that are not whole, or do not look as they should, one of each kind for a split; and on
    files of prompts.
    """
    # A split is read once and shared by its cells.
    indexes = {id(cell.index): cell.index for cell in resolved}
    lines: list[str] = []
    for index in indexes.values():
        lines += notes_on_split(index)
    for cell in resolved:
        lines += cell.notes
    return list(dict.fromkeys(lines))
