"""A run whose pairs are predicted on the nodes of a cluster, and written here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.engines.cluster_options import ClusterOptions, gpus_of
from harness.engines.cluster_pool import ClusterPool
from harness.engines.dispatch import run_in_pool
from harness.engines.placement import Demand
from harness.engines.proof import Setting, facts_of, request_of, travelling_variables
from harness.engines.ray_pool import connected
from harness.engines.slots import Terms
from harness.plugins.host import Host
from harness.records.schema import Record
from harness.running.engine import Reporter, prepare_run
from harness.running.resources import RunOptions
from harness.sweep import Cell

_LOG = logging.getLogger(__name__)


def run_on_cluster(
    host: Host,
    cells: Sequence[Cell],
    choice: ClusterOptions,
    device: str,
    options_on: Callable[[str], RunOptions],
    reporter: Reporter,
) -> list[Record]:
    """Runs cells by workers on a Ray cluster and returns their records.

    Args:
        device: value of --device.
        options_on: makes the run's options for the device that workers compute on.

    Raises:
        UserError: there is no cluster, or data or weights of a cell are missing, here or on a node.
        BenchError: no worker is left.
    """
    # First: whoever named the wrong address learns of it before data and weights are read.
    with connected(choice.address, is_verbose=_LOG.isEnabledFor(logging.INFO)) as (cluster, line):
        reporter.inform(line)
        most_gpus = max((node.gpus for node in cluster.nodes() if node.is_alive), default=0.0)
        gpus = gpus_of(choice, device, most_gpus)
        options = options_on("cuda" if gpus else "cpu")
        run = prepare_run(host, cells, options, reporter)
        import torch

        threads = torch.get_num_threads()
        blocked = [plugin.name for plugin in host.plugins if plugin.status == "blocked"]
        cluster.set_up(
            Setting(threads, Path.cwd(), options.device),
            travelling_variables(blocked, threads, is_on_gpu=bool(gpus)),
        )
        terms = Terms(
            demand=Demand(threads, gpus, choice.workers_per_node),
            request=request_of(run.cells),
            facts=facts_of(run.cells),
            start_timeout=choice.start_timeout,
            allows_mixed_devices=choice.allows_mixed_devices,
            can_grow=cluster.can_grow,
        )
        pool = ClusterPool(cluster, terms, reporter.warn, reporter.cell_step)
        return run_in_pool(host, run, pool, reporter)
