"""PCK on every dataset by what a method was trained on, in the shape of SD4Match's Table 3."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from harness.records.schema import Record
from harness.tables.captions import (
    numbers_caption,
    pairs_text,
    reported_sentences,
    row_scores,
    text_or_dash,
    trust_sentences,
)
from harness.tables.columns import Column, split_of
from harness.tables.data_names import plain_dataset
from harness.tables.marks import group_breaks, mark_best, supervision_order
from harness.tables.reported import all_tidy_rows, measured_rows, reported_columns, reported_rows
from harness.tables.row import Row
from harness.tables.seeds import tell_seeds
from harness.tables.table import Table
from harness.tables.tuning import tuned_on_text
from harness.tables.view import Selection, View, named

_NAMES = ("sup.", "method", "trained on", "tuned on", "prompt", "localizer", "backbone")

_AT_HOME = "†"


def generalisation(records: Sequence[Record], view: View) -> Table:
    """Methods as rows, by supervision and training data; datasets and alphas as columns.

    Numbers on the dataset that a method was trained on are marked.
    """
    records, view, _ = named(records, view)
    columns = view.columns(records)
    if view.reported:
        # Sorted, unlike the leaderboard's: the columns of one dataset stand together.
        columns = sorted([*columns, *reported_columns(columns, view)])
    rows = [*measured_rows(records, view), *reported_rows(columns, view)]
    rows.sort(key=lambda row: _order(row, view))
    rows, seeds = tell_seeds(rows)
    titles = [column.title for column in columns]
    return Table(
        caption=" ".join(_caption(records, view, rows, columns, seeds)),
        header=(*_NAMES, *titles, "pairs", "note"),
        rows=tuple(_texts(row, columns) for row in rows),
        tidy=all_tidy_rows(records, view),
        names=len(_NAMES),
        marks=mark_best(rows, columns, len(_NAMES), is_mixed=view.ranks_reported),
        breaks=group_breaks(rows),
    )


def generalisation_selections(records: Sequence[Record], view: View) -> list[Selection]:
    """For a page: all records, where they are of several splits or stand beside reported numbers."""
    splits = {split_of(record) for record in records}
    if len(splits) > 1 or view.reported:
        return [Selection(records, view)]
    return []


def _order(row: Row, view: View) -> tuple[object, ...]:
    is_apart = row.is_reported and not view.ranks_reported
    return (is_apart, *supervision_order(row), bool(row.notes), row.trained_on, row.key)


def _caption(
    records: Sequence[Record], view: View, rows: Sequence[Row], columns: Sequence[Column], seeds: str
) -> list[str]:
    numbers = numbers_caption(records, view, row_scores(rows, columns))
    sentences = [numbers, *filter(None, [seeds]), *trust_sentences(records, [])]
    fields = itertools.product(rows, columns)
    if any(itertools.starmap(_is_at_home, fields)):
        sentences.append(f"{_AT_HOME}: trained on this dataset.")
    return [*sentences, *reported_sentences(rows, view)]


def _texts(row: Row, columns: Sequence[Column]) -> tuple[str, ...]:
    training, tuning = text_or_dash(row.trained_on), tuned_on_text(row.tuned_on)
    names = (row.supervision, row.method, training, tuning, row.prompt, row.localizer, row.backbone)
    numbers = [_number_text(row, column) for column in columns]
    return (*names, *numbers, pairs_text(row), row.note)


def _number_text(row: Row, column: Column) -> str:
    text = row.text(column)
    if _is_at_home(row, column):
        return f"{text} {_AT_HOME}"
    return text


def _is_at_home(row: Row, column: Column) -> bool:
    """Says whether a row has a number on the dataset that it was trained on."""
    return plain_dataset(column.dataset) in row.trained_on.split("+") and column in row.values
