"""Rows of tables with the numbers that papers printed, beside measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.records.schema import Record, Score
from harness.tables.columns import Column
from harness.tables.data_names import plain_dataset
from harness.tables.papers import ReportedNumbers, citation
from harness.tables.row import Row
from harness.tables.rows import rows_of
from harness.tables.table import TidyRow
from harness.tables.text import NOTHING, averaging_text
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
    notes = foreign_notes(view, reported)
    rows = []
    for method in reported.methods:
        localizer = method.localizer
        if not method.is_stated:
            localizer = NOTHING
        values: dict[Column, Score] = {}
        for column in columns:
            if column in method.values:
                values[column] = reported.score_of(method, column)
        if not values:
            continue
        source = citation((method, column) for column in values)
        row = Row(
            f"{method.name} (reported)",
            method.prompt,
            localizer,
            method.backbone or NOTHING,
            method.supervision,
            method.trained_on,
            values=values,
            notes=notes,
            remarks=(source,),
            is_reported=True,
        )
        rows.append(row)

    def order(row: Row) -> tuple[float, tuple[str, ...]]:
        # Over the columns that the row has: papers print different ones.
        printed = [column for column in columns if column in row.values]
        return -row.mean(printed), row.key

    return sorted(rows, key=order)


def foreign_notes(view: View, reported: ReportedNumbers) -> tuple[str, ...]:
    """A note that reported numbers are of another protocol or average than the view; else nothing."""
    if view.has_averaging_of(reported):
        return ()
    return (f"protocol {reported.protocol}, mean {averaging_text(reported.averaging)}",)


def _add_claims(row: Row, view: View) -> Row:
    """A measured row with the numbers printed for the same method, and a remark where its weights differ.

    A row that cannot be compared, or is of another protocol or averaging, stays as it is.
    """
    reported = view.reported
    if reported is None or row.notes or not view.has_averaging_of(reported):
        return row
    methods = [method for method in reported.methods if method.matches(row)]
    claims: dict[Column, float] = {}
    for method in methods:
        for column, value in method.values.items():
            if column in row.values:
                claims[column] = value
    if not claims:
        return row
    weights = "+".join(methods[0].weights)
    is_stated = methods[0].is_stated
    remarks = list(row.remarks)
    if not is_stated:
        remarks.append("settings of the reported number are not stated")
    if not all(method.has_weights_of(row) for method in methods):
        # Weights that a paper does not state are those that its method was published with.
        source = "reported" if is_stated else "published"
        remarks.append(f"other weights than the {source} {weights}")
    return replace(row, claims=claims, remarks=tuple(remarks))


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
