"""Rows of tables with the numbers that papers printed, beside measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.messages import listed
from harness.records.schema import Record, Score
from harness.tables.columns import Column
from harness.tables.data_names import plain_dataset
from harness.tables.papers import ReportedMethod, citation
from harness.tables.row import Row
from harness.tables.rows import rows_of
from harness.tables.table import TidyRow
from harness.tables.text import NOTHING, REPORTED, averaging_text
from harness.tables.tidy import tidy_rows
from harness.tables.view import View


def measured_rows(records: Sequence[Record], view: View) -> list[Row]:
    """The rows of records (`rows_of`), with the numbers that papers claim where the view shows those."""
    return [_add_claims(row, view) for row in rows_of(records, view)]


def reported_rows(columns: Sequence[Column], view: View) -> list[Row]:
    """A row for each method with a reported number in one of the columns, best first.

    The list is empty where the view shows no reported numbers.
    """
    reported = view.reported
    if reported is None:
        return []
    rows = []
    for method in reported.methods:
        localizer = method.localizer
        if not method.is_stated:
            localizer = NOTHING
        values: dict[Column, Score] = {}
        for column in columns:
            if column in method.values:
                values[column] = method.score_of(column)
        if not values:
            continue
        source = citation((method, column) for column in values)
        row = Row(
            f"{method.name} {REPORTED}",
            method.prompt,
            localizer,
            method.backbone or NOTHING,
            method.supervision,
            method.trained_on,
            values=values,
            notes=foreign_notes(view, method),
            remarks=(source,),
            is_reported=True,
        )
        rows.append(row)

    def order(row: Row) -> tuple[float, tuple[str, ...]]:
        # Over the columns that the row has: papers print different ones.
        printed = [column for column in columns if column in row.values]
        return -row.mean(printed), row.key

    return sorted(rows, key=order)


def foreign_notes(view: View, method: ReportedMethod) -> tuple[str, ...]:
    """A note that reported numbers are of another protocol or average than the view; else nothing."""
    if view.has_measure_of(method):
        return ()
    return (f"protocol {method.protocol}, mean {averaging_text(method.averaging)}",)


def _add_claims(row: Row, view: View) -> Row:
    """A measured row with the numbers printed for the same method, and a remark where its weights differ.

    A row that cannot be compared, or is of another protocol or averaging, stays as it is. Of several papers
    that print a number, the first counts; where there are several papers, the row says which.
    """
    reported = view.reported
    if reported is None or row.notes:
        return row
    methods = [method for method in reported.methods if method.matches(row) and view.has_measure_of(method)]
    claims: dict[Column, float] = {}
    claimed: dict[str, ReportedMethod] = {}
    for method in methods:
        for column in row.values.keys() & method.values.keys() - claims.keys():
            claims[column] = method.values[column]
            claimed.setdefault(method.source, method)
    if not claims:
        return row
    remarks = list(row.remarks)
    # Papers on other methods, or under other protocols, leave no doubt which one is meant.
    if len({method.source for method in methods if method.values.keys() & row.values.keys()}) > 1:
        remarks.append(f"difference to {listed(list(claimed))}")
    for method in methods:
        remarks += _contradictions(method, claims)
    if not all(method.is_stated for method in claimed.values()):
        remarks.append("settings of the reported number are not stated")
    for method in methods:
        if not method.has_weights_of(row) and method.source in claimed:
            # Weights that a paper does not state are those that its method was published with.
            source = "reported" if method.is_stated else "published"
            remarks.append(f"other weights than the {source} {'+'.join(method.weights)}")
    return replace(row, claims=claims, remarks=tuple(dict.fromkeys(remarks)))


def _contradictions(method: ReportedMethod, claims: Mapping[Column, float]) -> list[str]:
    """A remark where a paper printed other numbers for a method than those that its row is compared with."""
    texts = []
    for column, value in sorted(method.values.items()):
        if column.slice == "all" and claims.get(column, value) != value:
            texts.append(f"{value:.1f} for {column.title}")
    return [f"{method.source} printed {listed(texts)}"] if texts else []


def reported_columns(measured: Sequence[Column], view: View) -> list[Column]:
    """The columns of reported numbers that a table gets besides the measured ones.

    Those of datasets that were measured; where nobody printed a number for any of them, those of
    all datasets, so that the table has what was asked for.
    """
    if view.reported is None:
        return []
    printed: set[Column] = set()
    for method in view.reported.methods:
        for column in method.values:
            if column.slice == "all" and view.shows_alpha(column.alpha):
                printed.add(column)
    datasets = {plain_dataset(column.dataset) for column in measured}
    of_datasets = {column for column in printed if column.dataset in datasets}
    return sorted((of_datasets or printed).difference(measured))


def all_tidy_rows(records: Sequence[Record], view: View, dataset: str | None = None) -> tuple[TidyRow, ...]:
    """Tidy rows of the records and of the reported numbers that the view shows.

    Args:
        dataset: reported numbers are of this dataset alone; None for all.
    """
    rows = tidy_rows(records, view)
    if dataset is not None:
        dataset = plain_dataset(dataset)
    if view.reported:
        rows += view.reported.tidy_rows(dataset)
    return tuple(rows)
