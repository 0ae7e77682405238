"""Files of predictions: tables of points, their reading, writing and merging."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

Points = Mapping[str, Mapping[str, tuple[float, float]]]
"""Pair -> keypoint -> (x, y) in original pixels of the target."""


def stored_points(place: Path, localizer: str) -> Points:
    """What a cell predicted by one localizer.

    Args:
        place: the cell's folder.

    Raises:
        UserError: if the predictions are damaged.
    """
    return predicted_points(read_predictions(place / PREDICTIONS), localizer)


PREDICTIONS = "predictions.parquet"

KEY_COLUMNS = ("pair_id", "keypoint_id", "localizer")


def prediction_table(rows: Mapping[str, Sequence[object]], signatures: Mapping[str, str]) -> pa.Table:
    """Rows of predictions, sorted by key.

    Args:
        rows: columns pair_id, keypoint_id, localizer (strings), x, y (float64, original pixels of the target) and score (float64).
        signatures: localizer -> what its predictions depend on; kept with the rows, so that a changed localizer is run again.
    """
    import pyarrow as pa

    strings = {name: pa.array(rows[name], pa.string()) for name in KEY_COLUMNS}
    numbers = {name: pa.array(rows[name], pa.float64()) for name in ("x", "y", "score")}
    table = pa.table({**strings, **numbers}).sort_by([(name, "ascending") for name in KEY_COLUMNS])
    return _signed(table, signatures)


def write_table(path: Path, table: pa.Table) -> None:
    """Puts a parquet file in place, whole, with bytes that follow from its rows alone."""
    import pyarrow.parquet as pq

    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=1 << 20)


def read_predictions(path: Path, signatures: Mapping[str, str] | None = None) -> pa.Table:
    """Rows of one parquet file; with `signatures`, only of localizers that are still the same.

    Raises:
        UserError: if the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        # Read through Python: pyarrow's own path handling treats some characters of a path as part of a pattern.
        with path.open("rb") as file:
            table = pq.read_table(file)
        stored: dict[str, str] = json.loads((table.schema.metadata or {})[b"localizers"])
        table = table.select([*KEY_COLUMNS, "x", "y", "score"])
    except FileNotFoundError as error:
        raise UserError(f"{path}: is not there; run the cell again") from error
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: not readable as predictions ({_first_line(error)}); remove the file and run the cell again"
        ) from error
    if signatures is None:
        return table
    same = [name for name in stored if stored[name] == signatures.get(name, stored[name])]
    return _signed(
        table.filter(pc.is_in(table["localizer"], pa.array(same, pa.string()))),
        {name: stored[name] for name in same},
    )


def merge_tables(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows of several tables, each key once, sorted; the first table to have a key wins."""
    import pyarrow as pa

    tables = list(tables)
    signatures: dict[str, str] = {}
    for table in tables:
        signatures |= json.loads(table.schema.metadata[b"localizers"])
    frame = pa.concat_tables([table.replace_schema_metadata(None) for table in tables]).to_pandas()
    frame = frame.drop_duplicates(list(KEY_COLUMNS)).sort_values(list(KEY_COLUMNS), kind="stable")
    merged = prediction_table({name: frame[name].tolist() for name in frame.columns}, signatures)
    return _signed(
        merged, {name: signatures[name] for name in sorted(set(frame["localizer"])) if name in signatures}
    )


def _signed(table: pa.Table, signatures: Mapping[str, str]) -> pa.Table:
    return table.replace_schema_metadata({"localizers": json.dumps(dict(sorted(signatures.items())))})


def _first_line(error: BaseException) -> str:
    return re.split(r"[\r\n]", str(error).strip() or type(error).__name__)[0]


def predicted_points(predictions: pa.Table, localizer: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Pair -> keypoint -> (x, y) in original pixels of the target, of one localizer."""
    import pyarrow.compute as pc

    rows = predictions.filter(pc.equal(predictions["localizer"], localizer))
    found: dict[str, dict[str, tuple[float, float]]] = {}
    columns = (rows[name].to_pylist() for name in ("pair_id", "keypoint_id", "x", "y"))
    for pair_id, keypoint_id, x, y in zip(*columns, strict=True):
        found.setdefault(pair_id, {})[keypoint_id] = (x, y)
    return found
