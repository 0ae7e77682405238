"""The tables of results folders, from records alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.api.places import place_warnings, with_places, with_seed_intervals
from harness.api.reported_choice import ALL_KNOWN, read_chosen
from harness.errors import SeveralErrors, UserError
from harness.messages import listed
from harness.plugins.host import Host
from harness.records.joining import Results, read_folders
from harness.tables.catalogue import CATALOGUE
from harness.tables.column_choice import choose_columns, choose_tidy_columns
from harness.tables.columns import split_of
from harness.tables.names import make_names
from harness.tables.slices import named_slice
from harness.tables.table import Format, Table, filter_tidy
from harness.tables.text import split_name
from harness.tables.view import View, choose_averaging, choose_protocol

if TYPE_CHECKING:
    from harness.api.slice_records import Chosen
    from harness.records.schema import Record
    from harness.scoring.sources import Sources
    from harness.specs import Averaging
    from harness.tables.eval_results import EvalDocument


@dataclass(frozen=True, kw_only=True)
class LeaderboardArguments:
    """Arguments and options of `bench leaderboard` after parsing; help texts say what each is for."""

    folders: tuple[Path, ...]
    format_: Format | Literal["eval-results"] | None
    table: str
    parameter: str | None
    protocol: str | None
    averaging: Averaging | None
    alphas: tuple[float, ...] | None
    localizers: tuple[str, ...] | None
    reported: tuple[str, ...]
    rank_reported: bool
    places: bool
    ties: bool
    datasets: tuple[str, ...] | None
    data_root: Path
    columns: tuple[str, ...] | None = None
    out: Path | None = None
    point_slice: str | None = None

    def view(self, host: Host, warn: Callable[[str], None]) -> View:
        """The options that say what a table shows, without a protocol and its average: the records decide."""
        chosen = self.reported
        if self.rank_reported and not chosen:
            chosen = (ALL_KNOWN,)
        reported = read_chosen(host, chosen, warn)
        if reported and self.point_slice:
            reported = reported.of_slice(self.point_slice)
        return View(
            alphas=self.alphas,
            localizers=self.localizers,
            parameter=self.parameter,
            has_details=True,
            reported=reported,
            ranks_reported=self.rank_reported,
        )

    @property
    def finds_places(self) -> bool:
        """Says whether rows are tested; `--no-ties` is the name of before for `--no-places`."""
        return self.places and self.ties

    @property
    def dataset_places(self) -> list[str]:
        """Those of --datasets that say where a dataset is: `NAME=PATH`."""
        return [text for text in self.datasets or () if "=" in text]

    def choose(self, records: Sequence[Record]) -> list[Record]:
        """The records of the datasets that --datasets names without a path; all where it names none.

        Raises:
            UserError: no record is of a dataset that is named.
        """
        wanted = [text for text in self.datasets or () if "=" not in text]
        for name in wanted:
            if not any(_is_of(record, name) for record in records):
                there = sorted({split_name(*split_of(record)) for record in records})
                raise UserError(f"--datasets {name}: no record is of it; they are of {listed(there)}")
        return [record for record in records if not wanted or any(_is_of(record, name) for name in wanted)]

    def filter(self, table: Table) -> Table:
        """The table with only those tidy rows that the options name, or all where they name none."""
        wanted = {
            "protocol": self.protocol and [self.protocol],
            "averaging": self.averaging and [self.averaging],
            "alpha": self.alphas,
        }
        return filter_tidy(table, wanted)


def _is_of(record: Record, name: str) -> bool:
    """Says whether a record is of `ap-10k`, `ap-10k/val`, `folder:birds`, or `folder` for any of its name."""
    dataset, split = split_of(record)
    names = {dataset, split_name(dataset, split), f"{dataset}/{split}", dataset.partition(":")[0]}
    # A list of names has none of the double quotes that the names of some categories stand in.
    return name in names or name in {each.replace('"', "") for each in names}


@dataclass(frozen=True)
class Leaderboard:
    """Tables of results folders.

    Attributes:
        is_complete: whether every record could be read and every row tested.
    """

    tables: Sequence[Table]
    is_complete: bool


def _choose_numbers(
    host: Host, arguments: LeaderboardArguments, sources: Sources, warn: Callable[[str], None]
) -> tuple[Results, Chosen, View]:
    """The folders' cells, the records of the table, and the view with a protocol, an average and names."""
    from harness.api.slice_records import choose_slice

    kind = CATALOGUE[arguments.table]
    view = arguments.view(host, warn)
    kind.check(view)
    results = read_folders(arguments.folders)
    for line in results.warnings():
        warn(line)
    chosen = choose_slice(host, arguments.point_slice, arguments.choose(results.records), results, sources)
    for line in chosen.lines:
        warn(line)
    # From all records, though some tables show a part of them.
    of_slice = {record.cell.id: record for record in chosen.records}
    every = [of_slice.get(record.cell.id, record) for record in results.records]
    view = replace(view, names=make_names(every, results.reasons))
    records = kind.relevant(chosen.records, arguments.parameter)
    view.check(records)
    protocol = choose_protocol(records, arguments.protocol)
    averaging = choose_averaging(records, protocol, arguments.averaging, host.protocols)
    return results, replace(chosen, records=records), replace(view, protocol=protocol, averaging=averaging)


@dataclass(frozen=True)
class EvalResults:
    """Rows of results folders as model hubs publish them.

    Attributes:
        is_complete: whether every record could be read.
    """

    documents: Sequence[EvalDocument]
    is_complete: bool


def make_eval_results(
    host: Host, arguments: LeaderboardArguments, warn: Callable[[str], None]
) -> EvalResults:
    """Makes a document for each row that can be compared; reported numbers are never among them.

    Args:
        warn: is called with a line for each row that is left out.

    Raises:
        UserError: no row can be exported, or options do not go together.
    """
    from harness.scoring.sources import Sources
    from harness.tables.eval_results import eval_documents

    if arguments.table != "overall" or arguments.columns or arguments.point_slice:
        raise UserError(
            "--format eval-results: has a form of its own, of all points; leave out --table, --columns and "
            "--slice"
        )
    measured = replace(arguments, reported=(), rank_reported=False)
    sources = Sources(host, arguments.data_root, arguments.dataset_places)
    results, chosen, view = _choose_numbers(host, measured, sources, warn)
    view = with_seed_intervals(host, view, results.folder_of, sources)
    documents, left_out = eval_documents(chosen.records, view)
    if not documents:
        raise SeveralErrors([*left_out, "no row to export: run whole splits, without --limit"])
    for line in left_out:
        warn(line)
    return EvalResults(documents, results.is_complete)


def make_leaderboard(host: Host, arguments: LeaderboardArguments, warn: Callable[[str], None]) -> Leaderboard:
    """Makes the tables of results folders.

    Args:
        warn: is called with a line for all that is missing from the tables.

    Raises:
        UserError: there is nothing in the folders, or options do not go together.
    """
    from harness.scoring.sources import Sources

    kind = CATALOGUE[arguments.table]
    sources = Sources(host, arguments.data_root, arguments.dataset_places, arguments.point_slice or "")
    results, of_slice, view = _choose_numbers(host, arguments, sources, warn)
    tested_view, finder = with_places(host, view, results.folder_of, sources)
    if kind.has_predictions and not arguments.finds_places:
        raise UserError(f"--table {kind.name} is made of what --no-places leaves out; give one of them")
    is_for_people = arguments.format_ not in ("csv", "json")
    # Most rows of CSV and JSON have no place and one seed: reading predictions would be work for nothing.
    if kind.has_predictions or (is_for_people and arguments.finds_places):
        view = tested_view
    if is_for_people:
        view = with_seed_intervals(host, view, results.folder_of, sources)
    try:
        tables = kind.tables(of_slice.records, view)
    finally:
        # They may be why there is no table.
        for line in place_warnings(finder):
            warn(line)
    tables = [named_slice(table, arguments.point_slice or "") for table in tables]
    chosen = [arguments.filter(table) for table in tables]
    if arguments.columns and is_for_people:
        chosen = choose_columns(chosen, arguments.columns)
    elif arguments.columns:
        chosen, lines = choose_tidy_columns(chosen, arguments.columns)
        for line in lines:
            warn(line)
    is_complete = results.is_complete and of_slice.is_complete and not finder.problems
    return Leaderboard(chosen, is_complete)
