"""Tables of numbers in which only the points of a slice count: what sets them apart from all others."""

from __future__ import annotations

from dataclasses import replace

from harness.records.slices import POINT_SLICE_TEXTS, points_in
from harness.tables.table import Table, TidyRow


def named_slice(table: Table, point_slice: str) -> Table:
    """The table with the slice in its caption and in each tidy row; itself where all points count."""
    if not point_slice:
        return table
    sentence = f"Slice {point_slice}: only {POINT_SLICE_TEXTS[point_slice]} count."
    tidy = tuple(_named(row, point_slice) for row in table.tidy)
    return replace(table, caption=f"{sentence} {table.caption}", tidy=tidy)


def _named(row: TidyRow, point_slice: str) -> TidyRow:
    if row.get("slice"):
        return {**row, "slice": points_in(point_slice, str(row["slice"]))}
    # Differences of rows have no such column; a cell without numbers has nothing to be taken for others.
    return {**row, "data": f"{row['data']} [{point_slice}]"} if "data" in row else row
