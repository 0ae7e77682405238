"""A sweep, from names to records and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.api.places import place_warnings, with_places, with_seed_intervals
from harness.api.run_arguments import RunArguments
from harness.plugins.host import Host
from harness.running.plan import plan
from harness.sweep import Cell, format_value

if TYPE_CHECKING:
    from harness.records.schema import Record
    from harness.running.engine import Reporter
    from harness.running.resources import RunOptions
    from harness.tables.places import PlaceFinder
    from harness.tables.table import Table
    from harness.tables.view import View


@dataclass(frozen=True)
class RunOutcome:
    """The cells of a run when it is over.

    Attributes:
        leaderboards: protocol -> its table.
        others: a table for each axis that was swept, for each protocol.
    """

    records: Sequence[Record]
    leaderboards: Mapping[str, Table]
    others: Sequence[Table]

    @property
    def tables(self) -> list[Table]:
        """All tables, in the order in which they are printed."""
        return [*self.leaderboards.values(), *self.others]

    @property
    def has_failures(self) -> bool:
        """Says whether a cell failed, in whole or in part."""
        return any(record.status in ("failed", "partial") for record in self.records)


def run_sweep(host: Host, arguments: RunArguments, reporter: Reporter, *, resumes: bool = True) -> RunOutcome:
    """Runs methods on datasets and makes the tables of their cells.

    Args:
        reporter: is told how the run goes, and every warning.
        resumes: whether what an interrupted run has left of a cell is used.

    Raises:
        UserError: a name is unknown, options do not go together, or data or weights are missing.
    """
    # Planned before torch is imported: a misspelled name is answered at once.
    cells = plan(arguments.sweep(), host)
    from harness.engines.choice import run_on_engine

    def options_on(worker_device: str | None) -> RunOptions:
        return replace(arguments.run_options(host, worker_device), resumes=resumes)

    cluster = arguments.cluster_options()
    records = run_on_engine(host, cells, options_on, reporter, cluster, arguments.device)
    if not records:
        # Another process runs all of the cells.
        return RunOutcome((), {}, ())
    return _outcome(host, arguments, cells, records, reporter)


def _outcome(
    host: Host,
    arguments: RunArguments,
    cells: Sequence[Cell],
    records: Sequence[Record],
    reporter: Reporter,
) -> RunOutcome:
    """A leaderboard for each protocol, and a table for each axis that was swept, for each protocol."""
    from harness.tables.catalogue import CATALOGUE

    views, finders = _views(host, arguments, cells, records)
    kinds = []
    if len(set(arguments.prompt_names or ())) > 1:
        kinds.append(("prompt-types", views))
    for parameter in _swept_parameters(cells, arguments.sweep().overrides):
        sweep_views = [replace(view, parameter=parameter) for view in views]
        kinds.append(("sweep", sweep_views))
    leaderboards: dict[str, Table] = {}
    for view in views:
        (leaderboards[view.protocol],) = CATALOGUE["overall"].tables(records, view)
    others: list[Table] = []
    for name, kind_views in kinds:
        for view in kind_views:
            others += CATALOGUE[name].tables(records, view)
    for finder in finders:
        for line in place_warnings(finder):
            reporter.warn(line)
    return RunOutcome(records, leaderboards, others)


def _views(
    host: Host, arguments: RunArguments, cells: Sequence[Cell], records: Sequence[Record]
) -> tuple[list[View], list[PlaceFinder]]:
    """A view for each protocol, and what finds the places of its rows."""
    from harness.records.folders import cell_folders
    from harness.scoring.sources import Sources
    from harness.tables.view import View, choose_protocol, own_averaging

    # Records may hold the numbers of other localizers, from earlier runs.
    localizers: set[str] = set()
    for cell in cells:
        localizers.update(cell.localizers)
    places = [name for name in arguments.datasets if "=" in name]
    sources = Sources(host, arguments.data_root, places)
    folder_of = cell_folders(arguments.out)
    views, finders = [], []
    for protocol in _protocols_with_scores(records, arguments.protocols):
        name = choose_protocol(records, protocol)
        view = View(
            name,
            own_averaging(records, name, host.protocols),
            alphas=arguments.alphas,
            localizers=sorted(localizers),
            prompts=arguments.prompt_names or (),
        )
        # As 'bench leaderboard' does: the same records have the same places in both.
        view, finder = with_places(host, view, folder_of, sources)
        view = with_seed_intervals(host, view, folder_of, sources)
        views.append(view)
        finders.append(finder)
    return views, finders


def _swept_parameters(cells: Sequence[Cell], parameters: Iterable[str]) -> list[str]:
    """Those of the parameters that the user set which have several values, in order of name."""
    values: dict[str, set[str]] = {name: set() for name in parameters}
    for cell in cells:
        for name, value in cell.params:
            if name in values:
                values[name].add(format_value(value))
    # A sweep has a table only where there is something to compare.
    names = []
    for name in sorted(values):
        if len(values[name]) > 1:
            names.append(name)
    return names


def _protocols_with_scores(records: Sequence[Record], protocols: Sequence[str]) -> list[str | None]:
    """The user's protocols that some record has; None where there are none, for a table without numbers."""
    scored: set[str] = set()
    for record in records:
        scored.update(score.protocol for score in record.scores)
    names: list[str | None] = []
    for protocol in dict.fromkeys(protocols):
        if protocol in scored:
            names.append(protocol)
    return names or [None]
