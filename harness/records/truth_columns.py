"""The truth beside predictions: columns that say which pictures a row is of, and where its point really is.

With them a file of predictions is scored without its dataset. Files of earlier versions have none of them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

PICTURE_COLUMNS = ("source_image", "target_image")

TEXT_COLUMNS = (*PICTURE_COLUMNS, "category", "labels")

POINT_COLUMNS = ("true_x", "true_y")

SIZE_COLUMNS = ("target_width", "target_height")

BOX_COLUMNS = ("box_x1", "box_y1", "box_x2", "box_y2")
"""Null where the target has no box."""

TRUTH_COLUMNS = (*TEXT_COLUMNS, *POINT_COLUMNS, *SIZE_COLUMNS, *BOX_COLUMNS)

POINT_SLICE = "point_slice"
"""Name of the slice of points that a row is in, empty for none. Files of earlier versions, and of datasets
without such a slice, lack it.
"""

TRUTH = b"truth"
"""Key in a file's metadata of what the rows do not say: facts about the split as a whole, as JSON."""


def has_truth(table: pa.Table) -> bool:
    """Says whether a table has the truth, or a part of it."""
    return TRUTH in (table.schema.metadata or {}) or not set(TRUTH_COLUMNS).isdisjoint(table.column_names)


def truth_types() -> dict[str, pa.DataType]:
    """Column -> its type, in the order of the file, which may lack `POINT_SLICE`."""
    import pyarrow as pa

    types = dict.fromkeys(TRUTH_COLUMNS, pa.float64())
    types |= dict.fromkeys(TEXT_COLUMNS, pa.string())
    return types | dict.fromkeys(SIZE_COLUMNS, pa.int64()) | {POINT_SLICE: pa.string()}


def without_truth(table: pa.Table) -> pa.Table:
    """The predictions alone."""
    if not has_truth(table):
        return table
    metadata = {key: text for key, text in (table.schema.metadata or {}).items() if key != TRUTH}
    names = [name for name in table.column_names if name not in (*TRUTH_COLUMNS, POINT_SLICE)]
    return table.select(names).replace_schema_metadata(metadata)


def with_truth(table: pa.Table, columns: dict[str, pa.Array], facts: str) -> pa.Table:
    """A table of predictions with the truth of its rows.

    Args:
        columns: TRUTH_COLUMNS, a value for each row, and POINT_SLICE where the dataset has one.
        facts: about the split as a whole, as JSON.
    """
    table = without_truth(table)
    for name in (*TRUTH_COLUMNS, *([POINT_SLICE] if POINT_SLICE in columns else [])):
        table = table.append_column(name, columns[name])
    return table.replace_schema_metadata({**(table.schema.metadata or {}), TRUTH: facts})


def truth_hash(table: pa.Table) -> str:
    """Hash of a table's truth."""
    import pyarrow.compute as pc

    digest = hashlib.sha256((table.schema.metadata or {})[TRUTH])
    point_slice = [POINT_SLICE] if POINT_SLICE in table.column_names else []
    for name in (*TEXT_COLUMNS, *point_slice):
        texts = pc.dictionary_encode(table[name].combine_chunks())
        digest.update(repr(texts.dictionary.to_pylist()).encode())
        digest.update(texts.indices.to_numpy().astype("<i4").tobytes())
    for name in (*POINT_COLUMNS, *SIZE_COLUMNS, *BOX_COLUMNS):
        numbers = table[name]
        digest.update(pc.is_null(numbers).to_numpy().tobytes())
        digest.update(
            pc.fill_null(numbers, 0).to_numpy().astype("<i8" if name in SIZE_COLUMNS else "<f8").tobytes()
        )
    return digest.hexdigest()
