"""Files of predictions: tables of points, their reading, writing and merging."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.files import replacing
from harness.messages import first_line

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "predictions.parquet"

KEY_COLUMNS = ("pair_id", "keypoint_id", "localizer")

NUMBER_COLUMNS = ("x", "y", "score")

_FINGERPRINTS = b"localizers"
"""Key of the fingerprints in a file's metadata."""


def prediction_table(rows: Mapping[str, Sequence[object]], fingerprints: Mapping[str, str]) -> pa.Table:
    """Makes a table of predictions, sorted by key.

    Args:
        rows: columns pair_id, keypoint_id, localizer (strings), x, y (float64, original pixels of the target)
            and score (float64).
        fingerprints: localizer -> what its predictions depend on; kept with the rows, so that a changed
            localizer is run again.
    """
    import pyarrow as pa

    strings = {name: pa.array(rows[name], pa.string()) for name in KEY_COLUMNS}
    numbers = {name: pa.array(rows[name], pa.float64()) for name in NUMBER_COLUMNS}
    return _add_fingerprints(_sort(pa.table({**strings, **numbers})), fingerprints)


def write_table(path: Path, table: pa.Table) -> None:
    """Puts a parquet file in place, whole, with bytes that follow from its rows alone."""
    import pyarrow.parquet as pq

    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=1 << 20)


def read_predictions(path: Path, fingerprints: Mapping[str, str] | None = None) -> pa.Table:
    """Reads the rows of one parquet file.

    Args:
        fingerprints: leaves out the rows of localizers that have another fingerprint in the file.

    Raises:
        UserError: if the file is damaged or missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        # Read through Python: pyarrow's own path handling treats some characters of a path as part of a
        # pattern.
        with path.open("rb") as file:
            table = pq.read_table(file)
        stored = fingerprints_of(table)
        table = table.select([*KEY_COLUMNS, *NUMBER_COLUMNS])
    except FileNotFoundError as error:
        raise UserError(f"{path}: is not there; run the cell again") from error
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: not readable as predictions ({first_line(error)}); "
            "remove the file and run the cell again"
        ) from error
    if fingerprints is None:
        return table
    same: list[str] = []
    for name, fingerprint in stored.items():
        # Localizers that this run does not use keep their rows: `--localizers` adds, and takes nothing away.
        if fingerprints.get(name, fingerprint) == fingerprint:
            same.append(name)
    rows = table.filter(pc.is_in(table["localizer"], pa.array(same, pa.string())))
    return _add_fingerprints(rows, {name: stored[name] for name in same})


def merge_tables(tables: Iterable[pa.Table]) -> pa.Table:
    """Merges the rows of several tables, each key once, sorted; the first table to have a key wins."""
    import pyarrow as pa

    tables = list(tables)  # gone through twice
    fingerprints: dict[str, str] = {}
    for table in tables:
        fingerprints |= fingerprints_of(table)
    # Tables of different fingerprints differ in metadata, which is put together below.
    rows = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
    # The lowest row number of a key is that of the first table to have it.
    numbered = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    first_rows = numbered.group_by(list(KEY_COLUMNS)).aggregate([("row", "min")])["row_min"]
    merged = _sort(rows.take(first_rows).combine_chunks())
    localizers = set(merged["localizer"].to_pylist())
    present = {name: fingerprints[name] for name in fingerprints if name in localizers}
    return _add_fingerprints(merged, present)


def _sort(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in KEY_COLUMNS])


def fingerprints_of(table: pa.Table) -> dict[str, str]:
    """The fingerprints kept with a table. Raises `KeyError` or `ValueError` where there are none."""
    fingerprints: dict[str, str] = json.loads((table.schema.metadata or {})[_FINGERPRINTS])
    return fingerprints


def _add_fingerprints(table: pa.Table, fingerprints: Mapping[str, str]) -> pa.Table:
    # Sorted, since equal rows must give equal bytes.
    text = json.dumps(dict(sorted(fingerprints.items())))
    return table.replace_schema_metadata({_FINGERPRINTS: text})
