"""Which engine runs the cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.engines.child import ChildPool
from harness.engines.cluster_options import ClusterOptions
from harness.engines.cluster_run import run_on_cluster
from harness.engines.dispatch import run_in_pool
from harness.plugins.host import Host
from harness.records.schema import Record
from harness.running.engine import Reporter, prepare_run, run_cells
from harness.running.resources import RunOptions
from harness.sweep import Cell


def run_on_engine(
    host: Host,
    cells: Sequence[Cell],
    options_on: Callable[[str | None], RunOptions],
    reporter: Reporter,
    cluster: ClusterOptions | None,
    device: str,
) -> list[Record]:
    """Runs cells and returns their records: in this process, in one beside it where there is a limit of time,
    or on a cluster.

    Args:
        options_on: makes the run's options, for the device that workers of a cluster compute on, or None.
        cluster: None for this machine alone.
        device: value of --device.

    Raises:
        UserError: data or weights of a cell are missing, a folder cannot be written, or there is no cluster.
    """
    if cluster is not None:
        return run_on_cluster(host, cells, cluster, device, options_on, reporter)
    options = options_on(None)
    if options.timeout is None:
        return run_cells(host, cells, options, reporter)
    run = prepare_run(host, cells, options, reporter)
    # What hangs for good can only be ended with its process.
    return run_in_pool(host, run, ChildPool(), reporter)
