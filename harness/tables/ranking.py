"""Which rows of a leaderboard have places, on which columns, and in which order all of them stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from harness.datasets.chosen_categories import whole_split
from harness.tables.columns import Column, Split, ranking_columns
from harness.tables.data_names import plain_dataset
from harness.tables.row import Row
from harness.tables.text import split_name


@dataclass(frozen=True)
class Ranking:
    """Rows in the order of the table.

    Attributes:
        ranked: rows with places, best first.
        unranked: measured rows without a place.
        reported: rows of papers without a place.
        columns: those that a row must have to be ranked.
        lacking: number of rows that have no place for want of a column alone.
    """

    ranked: Sequence[Row]
    unranked: Sequence[Row]
    reported: Sequence[Row]
    columns: Sequence[Column]
    lacking: int

    @property
    def rows(self) -> list[Row]:
        """All rows, in order."""
        return [*self.ranked, *self.unranked, *self.reported]


def rank_rows(
    measured: Sequence[Row],
    reported: Sequence[Row],
    columns: Sequence[Column],
    aside: Collection[Split],
    *,
    ranks_reported: bool,
) -> Ranking:
    """Orders rows, best first, and says of those without a place what they lack.

    Where a single method has all of the columns and others have some, no row has a place: the method would
    stand as the first above rows that are better wherever both have numbers.

    Args:
        columns: the table's.
        aside: splits of other data than those that rows are ranked on.
        ranks_reported: whether reported rows that have the ranking columns are ranked among the measured.
    """
    compared = _compared_columns(measured, columns, aside)
    # Every column, not only the ranking ones: a row that lacks a dataset has no mean over all of them.
    ranked, unranked = _split_complete(measured, compared)
    unranked_reported = list(reported)
    lacking = 0
    for row in unranked:
        # Rows on other data alone are no rivals: nobody can tell which are better.
        has_some = any(column in row.values for column in compared)
        lacking += has_some and not row.notes
    if lacking and len({(row.method, row.prompt, row.backbone) for row in ranked}) < 2:
        unranked += ranked
        ranked = []
    elif ranks_reported:
        # Papers print few thresholds: those that rows are ranked by are enough.
        ranked_reported, unranked_reported = _split_complete(reported, ranking_columns(compared))
        ranked += ranked_reported
    ranked.sort(key=lambda row: (-row.mean(compared), row.key))
    unranked.sort(key=lambda row: _unranked_order(row, [*compared, *columns]))
    unranked = [_with_remarks(row, compared, aside) for row in unranked]
    return Ranking(ranked, unranked, unranked_reported, compared, lacking)


def _compared_columns(
    rows: Sequence[Row], columns: Sequence[Column], aside: Collection[Split]
) -> Sequence[Column]:
    """The columns that rows must have to be ranked.

    Not those of other data under a dataset's name, nor those in which only rows with notes have numbers.
    """
    main = [column for column in columns if (column.dataset, column.split) not in aside]
    comparable = [row for row in rows if not row.notes]
    return [column for column in main if any(column in row.values for row in comparable)] or main or columns


def _split_complete(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[list[Row], list[Row]]:
    """Rows that can be compared in all of the columns, and the others."""
    complete: list[Row] = []
    incomplete: list[Row] = []
    for row in rows:
        if row.is_complete(columns):
            complete.append(row)
        else:
            incomplete.append(row)
    return complete, incomplete


def _unranked_order(row: Row, columns: Sequence[Column]) -> tuple[bool, int, float, tuple[str, ...]]:
    """Sorting key: rows without notes first, each by its number in the first column of ranking that it has.

    So rows that share a column stand together, the best above.
    """
    ranking = ranking_columns(columns)
    for number, column in enumerate(ranking):
        if column in row.values:
            return bool(row.notes), number, -row.values[column].pck, row.key
    return bool(row.notes), len(ranking), 0.0, row.key


def _with_remarks(row: Row, compared: Sequence[Column], aside: Collection[Split]) -> Row:
    """A row without place that says what it lacks: `no pf-willow`, or the data that rows are ranked on."""
    remarks = []
    elsewhere = set()
    for split in sorted(row.pairs):
        name = plain_dataset(split[0])
        has_main = any(plain_dataset(column.dataset) == name and column in row.values for column in compared)
        if split in aside and not has_main:
            elsewhere.add(name)
            if whole_split(split[1]) == split[1]:
                remarks.append(f"{name}: other data than those that rows are ranked on")
            else:
                remarks.append(f"{split_name(*split)}: rows are ranked on whole splits")
    absent = [
        column
        for column in compared
        if column not in row.values and plain_dataset(column.dataset) not in elsewhere
    ]
    # A row without any number has a note with the reason.
    if absent and row.values:
        remarks.append(f"no {', '.join(_absent_names(row, absent))}")
    return replace(row, remarks=(*row.remarks, *remarks))


def _absent_names(row: Row, columns: Sequence[Column]) -> list[str]:
    """Names of columns that a row lacks: of a split without any number once, else with the threshold."""
    splits = {(column.dataset, column.split) for column in row.values}
    names = []
    for column in columns:
        split = (column.dataset, column.split)
        names.append(column.title if split in splits else split_name(*split))
    return list(dict.fromkeys(names))
