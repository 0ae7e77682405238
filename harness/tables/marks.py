"""Bold and underlined numbers: the best and the second of each column within a group of supervision."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from harness.tables.columns import Column
from harness.tables.row import Row
from harness.tables.table import Mark

SUPERVISION = ("Z", "I", "K")
"""Zero-shot, image-level labels or pairs, keypoints: the groups of SD4Match's Table 2, in its order."""


def mark_best(
    rows: Sequence[Row], columns: Sequence[Column], offset: int, *, is_mixed: bool = False
) -> dict[tuple[int, int], Mark]:
    """(row, column) -> best or second, per column and supervision group, as in SD4Match's Tables 2 and 3.

    Numbers that read alike are marked alike. A group of one row has no best. Rows with notes belong to no
    group.

    Args:
        offset: number of the first of `columns` among the table's.
        is_mixed: whether reported numbers stand in one group with measured ones.
    """
    marks: dict[tuple[int, int], Mark] = {}
    for number, column in enumerate(columns, start=offset):
        # (supervision, apart from measured rows) -> row -> number
        groups: dict[tuple[str, bool], dict[int, float]] = {}
        for index, row in enumerate(rows):
            if row.is_complete([column]):
                group = (row.supervision, row.is_reported and not is_mixed)
                # Rounded as printed: numbers that read alike are alike.
                number_as_printed = round(row.values[column].pck, 1)
                groups.setdefault(group, {})[index] = number_as_printed
        for values in groups.values():
            for index, mark in _mark_group(values).items():
                marks[index, number] = mark
    return marks


def _mark_group(values: Mapping[int, float]) -> dict[int, Mark]:
    """Row -> mark, of the rounded numbers of one column and group."""
    if len(values) < 2:
        return {}
    order = sorted(set(values.values()), reverse=True)
    marks: dict[float, Mark] = {order[0]: "best"}
    best_count = list(values.values()).count(order[0])
    # Two that are best leave no second.
    if len(order) > 1 and best_count == 1:
        marks[order[1]] = "second"
    row_marks: dict[int, Mark] = {}
    for index, value in values.items():
        if value in marks:
            row_marks[index] = marks[value]
    return row_marks


def supervision_order(row: Row) -> tuple[int, str]:
    """Sorting key: Z, I, K, then whatever else a plugin calls itself."""
    if row.supervision in SUPERVISION:
        return SUPERVISION.index(row.supervision), row.supervision
    return len(SUPERVISION), row.supervision


def group_breaks(rows: Sequence[Row]) -> frozenset[int]:
    """Rows at which a group begins: another supervision, or reported after measured."""
    breaks = set()
    for index, (row, following) in enumerate(itertools.pairwise(rows), start=1):
        is_like_row = following.supervision == row.supervision
        if not is_like_row or following.is_reported != row.is_reported:
            breaks.add(index)
    return frozenset(breaks)
