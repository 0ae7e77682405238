"""The list of tables, each with its function and traits: a new table is a file and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.records.schema import Record
from harness.tables.categories import category_selections, per_category
from harness.tables.generalisation import generalisation, generalisation_selections
from harness.tables.leaderboard import leaderboard
from harness.tables.prompt_types import prompt_selections, prompt_types
from harness.tables.row_differences import difference_selections, row_differences
from harness.tables.sweep import (
    parameter_records,
    sweep,
    sweep_selections,
    timestep_records,
    timestep_selections,
    timesteps,
)
from harness.tables.table import Table
from harness.tables.view import Selection, View, named


def all_records(records: Sequence[Record], parameter: str | None) -> Sequence[Record]:
    """The records, whatever the parameter."""
    return records


def select_all(records: Sequence[Record], view: View) -> list[Selection]:
    """One table of all records."""
    return [Selection(records, view)]


@dataclass(frozen=True, kw_only=True)
class TableKind:
    """A kind of table, with what commands and pages need to know of it.

    Attributes:
        name: value of `--table`.
        title: heading on a page; behind it stands `of` and the selection's subject, if it has one.
        key: begins the ids of its elements on a page; empty for the name.
        description: its rows and columns, for help texts.
        make: (records, view) -> the table, or one for each dataset and split.
        select: (records, view) -> what a page shows the table of; nothing where it would say no more than the
            others.
        relevant: (records, parameter of `--by`) -> the records that the command makes the table of. Raises
            `UserError` where there are none.
        is_at_one_alpha: whether all numbers are at one threshold.
        is_ranked: whether rows have an order by their numbers, so that reported ones can be ranked among
            them.
        no_reported: why it cannot show reported numbers; empty where it can.
        has_parameter: whether `View.parameter` chooses its rows.
        has_predictions: whether all of its numbers, those for machines too, are made from predictions.
    """

    name: str
    title: str
    key: str = ""
    description: str
    make: Callable[[Sequence[Record], View], Table | list[Table]]
    select: Callable[[Sequence[Record], View], Iterable[Selection]] = select_all
    relevant: Callable[[Sequence[Record], str | None], Sequence[Record]] = all_records
    is_at_one_alpha: bool = False
    is_ranked: bool = True
    no_reported: str = ""
    has_parameter: bool = False
    has_predictions: bool = False

    def check(self, view: View) -> None:
        """Raises `UserError` for a view that does not go with this table."""
        option = f"--table {self.name}"
        if self.is_at_one_alpha and view.alphas and len(view.alphas) > 1:
            raise UserError(f"{option} shows one threshold; give a single value to --alphas")
        if not self.is_ranked and view.ranks_reported:
            raise UserError(f"{option} ranks nothing; give --reported instead of --rank-reported")
        if self.no_reported and view.reported:
            raise UserError(f"{option}: {self.no_reported}")
        if view.parameter and not self.has_parameter:
            raise UserError(f"{option} has no rows by a parameter; --by goes with --table sweep only")

    def tables(self, records: Sequence[Record], view: View) -> list[Table]:
        """The tables of the records, mostly one. Raises `UserError` where the records have nothing for it."""
        records, view, _ = named(records, view)
        tables = self.make(records, view)
        return [tables] if isinstance(tables, Table) else tables

    def page_tables(self, records: Sequence[Record], view: View) -> list[tuple[str, str, Table]]:
        """(key, title, table) of each table of this kind that a page shows."""
        entries = []
        for number, selection in enumerate(self.select(records, view), start=1):
            key = self.key or self.name
            title = self.title
            if selection.subject:
                key = f"{key}{number}"
                title = f"{title} of {selection.subject}"
            for table in self.tables(selection.records, selection.view):
                entries.append((key, title, table))
        return entries


KINDS = (
    TableKind(
        name="overall",
        title="Leaderboard",
        key="leaderboard",
        description="methods ranked",
        make=leaderboard,
    ),
    TableKind(
        name="differences",
        title="Differences",
        description="a row for each couple of methods: are they told apart",
        make=row_differences,
        select=difference_selections,
        no_reported="papers print no predictions, and a difference to a printed number cannot be tested",
        has_predictions=True,
    ),
    TableKind(
        name="prompt-types",
        title="Prompt types",
        key="prompts",
        description="a column a prompt type (SD4Match's Table 1)",
        make=prompt_types,
        select=prompt_selections,
        is_at_one_alpha=True,
        is_ranked=False,
    ),
    TableKind(
        name="per-category",
        title="Categories",
        key="categories",
        description="a column a category (Table 2)",
        make=per_category,
        select=category_selections,
        is_at_one_alpha=True,
    ),
    TableKind(
        name="generalisation",
        title="Generalisation",
        description="a column a dataset, rows by training data (Table 3)",
        make=generalisation,
        select=generalisation_selections,
    ),
    TableKind(
        name="timesteps",
        title="Timesteps",
        description="a row for each timestep (Fig. 3(b))",
        make=timesteps,
        select=timestep_selections,
        relevant=timestep_records,
        is_at_one_alpha=True,
        is_ranked=False,
        no_reported="no paper printed numbers by timestep; SD4Match's Fig. 3(b) is a drawing",
    ),
    TableKind(
        name="sweep",
        title="Sweep",
        description="a row for each value of the parameter that --by names",
        make=sweep,
        select=sweep_selections,
        relevant=parameter_records,
        is_at_one_alpha=True,
        is_ranked=False,
        no_reported="no paper printed numbers by a parameter's value",
        has_parameter=True,
    ),
)
"""Every kind of table, in the order of help texts and pages."""

CATALOGUE: Mapping[str, TableKind] = {kind.name: kind for kind in KINDS}
"""Name -> kind."""


def page_tables(records: Sequence[Record], view: View) -> list[tuple[str, str, Table]]:
    """(key, title, table) of every table that a page shows of these records."""
    records, view, _ = named(records, view)
    entries = []
    for kind in KINDS:
        entries += kind.page_tables(records, view)
    return entries
