"""The local engine: cells run one after another in this process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from harness.caching.array_store import make_cache_folder
from harness.datasets.notes import notes_on_split
from harness.messages import OncePerSubject, bytes_text, counted, one_line
from harness.plugins.host import Host
from harness.records.folders import make_results_folder
from harness.records.schema import Record
from harness.running.fresh import with_recorded_localizers
from harness.running.measures import measure_lines
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions, weight_names
from harness.running.run_cell import Progress, Reports, run_cell
from harness.sweep import Cell
from harness.weights.choice import warn_of_strange_pictures

_LOG = logging.getLogger(__name__)


class Reporter(Protocol):
    """Shows somebody how a run goes: the command line, a notebook, a test."""

    def cell_started(self, cell: Cell, number: int, cells: int) -> AbstractContextManager[Progress]:
        """Begins cell `number` (from 1) of `cells`; the context's function is called as pairs are done."""

    def cell_finished(self, record: Record) -> None:
        """Shows how a cell ended."""

    def cell_step(self, text: str) -> None:
        """Shows what the cell is at, such as `loading weights`; empty where the pairs say it."""

    def warn(self, message: str) -> None:
        """Shows a message about something that stops nothing."""

    def inform(self, message: str) -> None:
        """Shows a message that no number depends on, such as when a cell that was found was computed."""


def run_cells(host: Host, cells: Sequence[Cell], options: RunOptions, reporter: Reporter) -> list[Record]:
    """Runs cells in their order and returns their records.

    All of them are resolved before the first runs, so that missing data or weights are reported at once and
    not after an hour.

    Raises:
        UserError: data or weights of a cell are missing, or a folder cannot be written.
    """
    resources = Resources(host, options)
    # All sources at once, so that a user learns of every missing one in one message.
    resources.require_weights(cells)
    resolved = distinct_cells([resolve_cell(resources, cell) for cell in cells])
    if options.fresh:
        resolved = [with_recorded_localizers(resources, cell) for cell in resolved]
    for line in (*notes_on_data(resolved), *measure_lines(resolved)):
        reporter.warn(line)
    # Once for all cells: they have one cache and one file system.
    warn, inform = OncePerSubject(reporter.warn), OncePerSubject(reporter.inform)
    for cell in cells:
        used = resources.weights(weight_names(host, cell)).values()
        if warning := warn_of_strange_pictures(used, cell.dataset.name):
            warn("small weights", warning)
    make_results_folder(options.out)
    if options.cache:
        make_cache_folder(options.cache)
    _log_options(options)
    records: list[Record] = []
    for number, resolved_cell in enumerate(resolved, start=1):
        _call_hook(host, reporter, "bench_cell_started", cell=resolved_cell.summary())
        with reporter.cell_started(resolved_cell.cell, number, len(resolved)) as progress:
            reports = Reports(progress, warn, inform, reporter.cell_step)
            record = run_cell(resources, resolved_cell, reports)
        reporter.cell_finished(record)
        _call_hook(host, reporter, "bench_cell_finished", cell=resolved_cell.summary(), record=record)
        records.append(record)
    _call_hook(host, reporter, "bench_run_finished", records=records)
    return records


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
    """Lines on splits that are not whole, or do not look as they should; one of each kind for a split."""
    # A split is read once and shared by its cells.
    indexes = {id(cell.index): cell.index for cell in resolved}
    lines: list[str] = []
    for index in indexes.values():
        lines += notes_on_split(index)
    return lines


def _call_hook(host: Host, reporter: Reporter, name: str, **values: object) -> None:
    """Calls a lifecycle hook, plugin by plugin. One that raises is reported and stops nothing."""
    everyone = host.manager.get_plugins()
    # In order of loading, so that the first to be listed is the first to be told.
    for plugin in host.plugins:
        if name not in plugin.hooks:
            continue
        module = host.manager.get_plugin(plugin.name)
        call = host.manager.subset_hook_caller(name, everyone - {module})
        try:
            call(**values)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code
            reporter.warn(
                f"{plugin.origin}: {name} raised {one_line(error, with_plugin=False)}; the run goes on"
            )
