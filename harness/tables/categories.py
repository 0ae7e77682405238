"""PCK by category at one threshold: methods as rows, categories as columns, like SD4Match's Table 2."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.schema import Record
from harness.records.slices import category_of
from harness.tables.averages import order_sentence
from harness.tables.captions import (
    numbers_caption,
    reported_sentences,
    row_scores,
    text_or_dash,
    trust_sentences,
)
from harness.tables.columns import Column, Split, split_of
from harness.tables.marks import group_breaks, mark_best, supervision_order
from harness.tables.reported import all_tidy_rows, measured_rows, reported_rows
from harness.tables.row import Row
from harness.tables.seeds import tell_seeds
from harness.tables.table import Table
from harness.tables.text import alpha_text, split_name
from harness.tables.tuning import tuned_on_text
from harness.tables.view import Selection, View, named

_NAMES = ("sup.", "method", "prompt", "localizer", "backbone", "trained on", "tuned on")


def per_category(records: Sequence[Record], view: View) -> list[Table]:
    """A table for each dataset and split, at one threshold.

    Rows are in groups of supervision, within a group in order of PCK over all pairs, best first. Reported
    numbers stand in the tables of their datasets.
    """
    alpha = view.one_alpha(records)
    records, view, _ = named(records, view)
    tables = []
    for (dataset, split), group in _by_split(records).items():
        rows = measured_rows(group, view)
        whole = Column(dataset, split, alpha)
        tables.append(_table(group, rows, whole, view))
    return tables


def category_selections(records: Sequence[Record], view: View) -> list[Selection]:
    """For a page: the records of each split with several categories."""
    selections = []
    for (dataset, split), group in _by_split(records).items():
        categories = set()
        for record in group:
            categories |= {category_of(score.slice) for score in record.scores} - {None}
        # One category alone says what the leaderboard says.
        if len(categories) > 1:
            selections.append(Selection(group, view, split_name(dataset, split)))
    return selections


def _by_split(records: Sequence[Record]) -> dict[Split, list[Record]]:
    by_split: dict[Split, list[Record]] = {}
    for record in records:
        by_split.setdefault(split_of(record), []).append(record)
    return by_split


def _table(records: Sequence[Record], measured: Sequence[Row], whole: Column, view: View) -> Table:
    """The table of one split; `whole` is its column over all pairs."""
    categories: set[Column] = set()
    for row in measured:
        for column in row.values:
            if category_of(column.slice) is not None:
                categories.add(whole._replace(slice=column.slice))
    columns = [*sorted(categories), whole]
    rows = list(measured)
    for row in reported_rows(columns, view):
        # A number over all pairs alone says nothing by category.
        if set(row.values) != {whole}:
            rows.append(row)
    rows.sort(key=lambda row: _order(row, whole, view))
    rows, seeds = tell_seeds(rows)
    titles = [category_of(column.slice) or column.slice for column in columns]
    return Table(
        caption=" ".join(_caption(records, rows, columns, view, seeds)),
        header=(*_NAMES, *titles, "note"),
        rows=tuple(_texts(row, columns) for row in rows),
        tidy=all_tidy_rows(records, view, whole.dataset),
        names=len(_NAMES),
        marks=mark_best(rows, columns, len(_NAMES), is_mixed=view.ranks_reported),
        breaks=group_breaks(rows),
    )


def _order(row: Row, whole: Column, view: View) -> tuple[object, ...]:
    is_apart = row.is_reported and not view.ranks_reported
    pck = 0.0
    if whole in row.values:
        pck = row.values[whole].pck
    is_without = whole not in row.values
    # The key last: rows of equal numbers stand in the same order in every printout.
    return (is_apart, *supervision_order(row), bool(row.notes), is_without, -pck, row.key)


def _caption(
    records: Sequence[Record], rows: Sequence[Row], columns: Sequence[Column], view: View, seeds: str
) -> list[str]:
    whole = columns[-1]
    return [
        # Categories are printed without intervals.
        numbers_caption(records, view, row_scores(rows, [whole])),
        f"Alpha {alpha_text(whole.alpha)}; {split_name(whole.dataset, whole.split)}; a column a category.",
        _sizes_text(rows, columns),
        *filter(None, [seeds, order_sentence(_groups(rows), [whole], view)]),
        *trust_sentences(records, []),
        *reported_sentences(rows, view),
    ]


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The measured rows of each group of supervision that can be compared, in order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if not row.notes and not row.is_reported:
            groups.setdefault(row.supervision, []).append(row)
    return list(groups.values())


def _texts(row: Row, columns: Sequence[Column]) -> tuple[str, ...]:
    names = (row.supervision, row.method, row.prompt, row.localizer, row.backbone)
    # An interval in each of some twenty columns would double the table's width.
    numbers = [row.text(column, interval=column.slice == "all") for column in columns]
    data = (text_or_dash(row.trained_on), tuned_on_text(row.tuned_on))
    return (*names, *data, *numbers, row.note)


def _sizes_text(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The number of pairs in each column, in whole rows: `900 pairs, 50 in each category.`"""
    counts: dict[str, int] = {}
    for column in columns:
        pairs = [0]
        for row in rows:
            if column in row.values:
                pairs.append(row.values[column].pairs)
        name = category_of(column.slice) or column.slice
        # The most: limited runs have fewer, and say so in their notes; reported numbers have none.
        counts[name] = max(pairs)
    *categories, whole = counts.values()
    if len(set(categories)) == 1 and len(categories) > 1:
        return f"{whole} pairs, {categories[0]} in each category."
    texts = [f"{name} {count}" for name, count in counts.items()]
    return f"Pairs: {', '.join(texts)}."
