"""Lifecycle hooks: plugins are told how a run goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from harness.messages import one_line
from harness.plugins.host import Host
from harness.records.schema import Record
from harness.running.resolve import ResolvedCell


class _Warner(Protocol):
    @property
    def warn(self) -> Callable[[str], None]: ...


class LifecycleHooks:
    """Calls the lifecycle hooks, plugin by plugin. One that raises is reported and stops nothing."""

    def __init__(self, host: Host, reporter: _Warner) -> None:
        self._host, self._reporter = host, reporter

    def cell_started(self, resolved: ResolvedCell) -> None:
        """Tells that work on a cell begins."""
        self._call("bench_cell_started", cell=resolved.summary())

    def cell_finished(self, resolved: ResolvedCell, record: Record) -> None:
        """Tells how a cell ended."""
        self._call("bench_cell_finished", cell=resolved.summary(), record=record)

    def run_finished(self, records: Sequence[Record]) -> None:
        """Tells that all cells are done."""
        self._call("bench_run_finished", records=list(records))

    def _call(self, name: str, **values: object) -> None:
        host = self._host
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
                self._reporter.warn(
                    f"{plugin.origin}: {name} raised {one_line(error, with_plugin=False)}; the run goes on"
                )
