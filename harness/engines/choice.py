"""Which engine runs the cells."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engines.child import ChildPool
from harness.engines.dispatch import run_in_pool
from harness.plugins.host import Host
from harness.records.schema import Record
from harness.running.engine import Reporter, prepare_run, run_cells
from harness.running.resources import RunOptions
from harness.sweep import Cell


def run_on_engine(host: Host, cells: Sequence[Cell], options: RunOptions, reporter: Reporter) -> list[Record]:
    """Runs cells and returns their records: in this process or, with a limit of time, in one beside it.

    Raises:
        UserError: data or weights of a cell are missing, or a folder cannot be written.
    """
    if options.timeout is None:
        return run_cells(host, cells, options, reporter)
    run = prepare_run(host, cells, options, reporter)
    # What hangs for good can only be ended with its process.
    return run_in_pool(host, run, ChildPool(), reporter)
