"""Bold and underlined numbers: the best and the second of each column within a group of supervision."""

from __future__ import annotations

from collections.abc import Sequence

from harness.tables.rows import Column, Row
from harness.tables.table import Mark

SUPERVISION = ("Z", "I", "K")
"""Zero-shot, image-level labels or pairs, keypoints: the groups of SD4Match's Table 2, in its order."""


def mark_best(
    lines: Sequence[Row], columns: Sequence[Column], first: int, *, mixed: bool = False
) -> dict[tuple[int, int], Mark]:
    """(row, column) -> best or second, per column within a supervision group, as SD4Match's Tables 2 and 3 have it.

    Numbers that read alike are marked alike. A group of one row has no best. Rows with notes are no part of any group.

    Args:
        first: number of the first of `columns` among the table's.
        mixed: whether reported numbers stand in one group with measured ones.
    """
    found: dict[tuple[int, int], Mark] = {}
    for place, column in enumerate(columns, start=first):
        groups: dict[tuple[str, bool], dict[int, float]] = {}
        for row, line in enumerate(lines):
            if line.complete([column]):
                key = (line.supervision, line.reported and not mixed)
                groups.setdefault(key, {})[row] = round(line.values[column].pck, 1)
        for numbers in groups.values():
            if len(numbers) < 2:
                continue
            order = sorted(set(numbers.values()), reverse=True)
            marks: dict[float, Mark] = {order[0]: "best"}
            # Two that are best leave no second.
            if len(order) > 1 and list(numbers.values()).count(order[0]) == 1:
                marks[order[1]] = "second"
            found |= {(row, place): marks[number] for row, number in numbers.items() if number in marks}
    return found


def supervision_order(line: Row) -> tuple[int, str]:
    """Sorting key: Z, I, K, then whatever else a plugin calls itself."""
    return (
        SUPERVISION.index(line.supervision) if line.supervision in SUPERVISION else len(SUPERVISION),
        line.supervision,
    )


def group_breaks(lines: Sequence[Row]) -> frozenset[int]:
    """Rows at which a group begins: another supervision, or reported after measured."""
    keys = [(line.supervision, line.reported) for line in lines]
    return frozenset(row for row in range(1, len(keys)) if keys[row] != keys[row - 1])
