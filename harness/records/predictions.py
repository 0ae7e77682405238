"""Files of predictions: tables of points, their reading, writing and merging.

A file is sealed: its metadata hold the cell it belongs to and a hash of everything in it. Reading a damaged
or foreign file is an error. Files of earlier versions have no seal, or no truth beside the predictions
(`harness.records.truth_columns`), and are read without.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.files import parse_json, read_whole, replacing
from harness.frames import FARTHEST
from harness.messages import first_line
from harness.records.folders import FRESH, SHARDS, folder_name
from harness.records.truth_columns import (
    BOX_COLUMNS,
    POINT_SLICE,
    TRUTH,
    has_truth,
    truth_hash,
    truth_types,
    without_truth,
)

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "predictions.parquet"

KEY_COLUMNS = ("pair_id", "keypoint_id", "localizer")

NUMBER_COLUMNS = ("x", "y", "score")

_FINGERPRINTS = b"localizers"
"""Key of the fingerprints in a file's metadata."""

_CELL = b"cell"
"""Key of the cell's id."""

_PLANNED = b"planned"
"""Key of the number of pairs that the run which wrote a shard was to predict."""

_SEAL = b"sha256"
"""Key of the hash of rows, fingerprints, cell and truth."""


class FilePredictions(NamedTuple):
    """Rows of a file, sound or not.

    Attributes:
        unsound: pair -> what is wrong with its rows.
        is_final: whether these are all rows of the file, and it is the one that its record speaks of.
    """

    table: pa.Table
    unsound: Mapping[str, str]
    is_final: bool


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


def write_table(path: Path, table: pa.Table, planned: int | None = None) -> str:
    """Puts a parquet file of the cell in whose folder it lies in place, whole, sealed, with bytes that follow
    from its rows and its cell alone.

    Args:
        planned: pairs that the run is to predict, for a shard.

    Returns:
        The file's sha256.
    """
    import pyarrow.parquet as pq

    cell = _cell_of(path)
    metadata = dict(table.schema.metadata)
    if planned is not None:
        metadata[_PLANNED] = str(planned)
    sealed = table.replace_schema_metadata({**metadata, _CELL: cell, _SEAL: _content_hash(table, cell)})
    buffer = io.BytesIO()
    pq.write_table(sealed, buffer, compression="zstd", row_group_size=1 << 20)
    content = buffer.getvalue()
    with replacing(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_predictions(path: Path, fingerprints: Mapping[str, str] | None = None, sha256: str = "") -> pa.Table:
    """Reads the rows of one parquet file.

    Args:
        fingerprints: leaves out the rows of localizers that have another fingerprint in the file.
        sha256: of the file, as its record has it; empty where there is none.

    Raises:
        UserError: the file is missing, damaged, or of another cell, or not the one that its record was made
            from.
    """
    table, unsound, _ = _read(path, sha256, is_newer_fine=False)
    for pair_id, problem in unsound.items():
        raise UserError(f"{path}: pair {pair_id!r}: {problem}; run the cell again")
    _check_rows(path, table)
    return _select_localizers(table, fingerprints)


def _check_rows(path: Path, table: pa.Table) -> None:
    if not table.num_rows:
        raise UserError(f"{path}: has no predictions; remove the file and run the cell again")


def planned_pairs(path: Path) -> list[int]:
    """The number of pairs that the run which wrote a shard was to predict; empty where it does not say it."""
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        metadata = pq.read_schema(file).metadata or {}
    text = metadata.get(_PLANNED, b"").decode(errors="replace")
    return [int(text)] if text.isdecimal() and len(text) < 12 else []


def read_to_resume(path: Path, fingerprints: Mapping[str, str], sha256: str = "") -> FilePredictions:
    """Reads a file that a run goes on from: rows of unsound pairs are named and left to the caller.

    A sealed file may be newer than its record: a run that was killed between the two writes left it so.
    Arguments and errors: see `read_predictions`.
    """
    table, unsound, is_its_records = _read(path, sha256, is_newer_fine=True)
    _check_rows(path, table)
    rows = _select_localizers(table, fingerprints)
    return FilePredictions(rows, unsound, is_final=is_its_records and rows.num_rows == table.num_rows)


def _read(path: Path, sha256: str, is_newer_fine: bool) -> FilePredictions:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = read_whole(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: is not there; run the cell again") from error
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or error}; make it readable, or run the cell again"
        ) from error
    is_its_records = not sha256 or hashlib.sha256(content).hexdigest() == sha256
    not_its_records = f"{path}: is not the file that the record beside it was made from; run the cell again"
    if not (is_its_records or is_newer_fine):
        raise UserError(not_its_records)
    try:
        # Read through Python: pyarrow's own path handling treats some characters of a path as part of a
        # pattern.
        table = pq.read_table(io.BytesIO(content))
        metadata = table.schema.metadata or {}
        table = _checked(table)
    # Everything that pyarrow raises for a damaged file, and bad text in its metadata.
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, OverflowError) as error:
        raise UserError(
            f"{path}: not readable as predictions ({first_line(error)}); "
            "remove the file and run the cell again"
        ) from error
    owner = metadata.get(_CELL, b"").decode(errors="replace")
    cell = _cell_of(path)
    if _SEAL in metadata and owner != cell:
        raise UserError(f"{path}: has the predictions of cell {owner!r}; run the cell again")
    if _SEAL in metadata and metadata[_SEAL].decode(errors="replace") != _content_hash(table, cell):
        raise UserError(f"{path}: is damaged: its rows are not those that were written; run the cell again")
    if _SEAL not in metadata and not is_its_records:
        raise UserError(not_its_records)
    return FilePredictions(table, _unsound_pairs(table), is_its_records)


def _checked(table: pa.Table) -> pa.Table:
    """The columns of predictions. Raises `KeyError`, `ValueError` or `TypeError` where they are others."""
    import pyarrow as pa

    types = dict.fromkeys(KEY_COLUMNS, pa.string()) | dict.fromkeys(NUMBER_COLUMNS, pa.float64())
    metadata = {_FINGERPRINTS: json.dumps(dict(sorted(fingerprints_of(table).items())))}
    if has_truth(table):
        types |= truth_types()
        if POINT_SLICE not in table.column_names:
            del types[POINT_SLICE]
        metadata[TRUTH] = (table.schema.metadata or {})[TRUTH]
    table = table.select(list(types)).combine_chunks().replace_schema_metadata(metadata)
    for name, kind in types.items():
        column = table[name]
        if column.type != kind:
            raise TypeError(f"column {name} is of type {column.type}, not {kind}")
        if column.null_count and name not in BOX_COLUMNS:
            raise TypeError(f"column {name} has rows without a value")
    # Text that is no UTF-8 is found here, and not where somebody looks at it.
    table.validate(full=True)
    unnamed = set(table["localizer"].unique().to_pylist()) - fingerprints_of(table).keys()
    if unnamed:
        raise KeyError(f"rows of localizer {min(unnamed)}, which the file does not name")
    return table


def _unsound_pairs(table: pa.Table) -> dict[str, str]:
    """Pair -> what is wrong with its rows, of those with a wrong row."""
    import numpy as np

    unsound: dict[str, str] = {}
    is_wrong = np.zeros(table.num_rows, dtype=bool)
    for name in NUMBER_COLUMNS:
        values = table[name].to_numpy()
        is_wrong |= ~np.isfinite(values)
        if name != "score":
            is_wrong |= ~(np.abs(values) <= FARTHEST)
    pair_ids = table["pair_id"]
    for pair_id in pair_ids.filter(is_wrong).unique().to_pylist():
        unsound[pair_id] = "a prediction is not finite, or far beyond any picture"
    keys = table.group_by(list(KEY_COLUMNS)).aggregate([([], "count_all")])
    if keys.num_rows < table.num_rows:
        is_repeated = keys["count_all"].to_numpy() > 1
        for pair_id in keys["pair_id"].filter(is_repeated).unique().to_pylist():
            unsound[pair_id] = "a keypoint is there twice"
    return unsound


def predicted_tasks(table: pa.Table) -> set[tuple[str, str]]:
    """Every pair and localizer that a table has predictions of."""
    # One row for each pair and localizer, in place of one for each point.
    columns = ["pair_id", "localizer"]
    keys = table.select(columns).group_by(columns).aggregate([])
    return set(zip(keys["pair_id"].to_pylist(), keys["localizer"].to_pylist(), strict=True))


def without_pairs(table: pa.Table, pair_ids: Iterable[str]) -> pa.Table:
    """The rows of all other pairs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return table.filter(pc.invert(pc.is_in(table["pair_id"], pa.array(list(pair_ids), pa.string()))))


def _select_localizers(table: pa.Table, fingerprints: Mapping[str, str] | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if fingerprints is None:
        return table
    stored = fingerprints_of(table)
    same: list[str] = []
    for name, fingerprint in stored.items():
        # Localizers that this run does not use keep their rows: `--localizers` adds, and takes nothing away.
        if fingerprints.get(name, fingerprint) == fingerprint:
            same.append(name)
    rows = table.filter(pc.is_in(table["localizer"], pa.array(same, pa.string())))
    return _add_fingerprints(rows, {name: stored[name] for name in same})


def merge_tables(tables: Iterable[pa.Table]) -> pa.Table:
    """Merges the predictions of several tables, each key once, sorted; the first table to have a key wins.

    The truth is left behind: some tables may have it, and others not.
    """
    return _merge([without_truth(table) for table in tables])


def merge_with_truth(tables: Sequence[pa.Table]) -> pa.Table:
    """Merges as `merge_tables` does, with the truth of all rows, which every table has.

    Raises:
        ValueError: the tables say different things of the split as a whole.
    """
    facts = {(table.schema.metadata or {})[TRUTH] for table in tables}
    if len(facts) > 1:
        raise ValueError("their files say different things of the split")
    if not all(POINT_SLICE in table.column_names for table in tables):
        # Of a part of the pairs it would be the slice of other pairs.
        tables = [
            table.drop_columns([POINT_SLICE]) if POINT_SLICE in table.column_names else table
            for table in tables
        ]
    merged = _merge(tables)
    return merged.replace_schema_metadata({**merged.schema.metadata, TRUTH: facts.pop()})


def _merge(tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

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
    fingerprints = parse_json((table.schema.metadata or {})[_FINGERPRINTS])
    if not isinstance(fingerprints, dict) or not all(isinstance(text, str) for text in fingerprints.values()):
        raise ValueError("its localizers are not named as this version names them")
    return fingerprints


def _add_fingerprints(table: pa.Table, fingerprints: Mapping[str, str]) -> pa.Table:
    # Sorted, since equal rows must give equal bytes.
    text = json.dumps(dict(sorted(fingerprints.items())))
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _FINGERPRINTS: text})


def _cell_of(path: Path) -> str:
    """Id of the cell that a file of predictions belongs to: the name of the cell's folder."""
    return folder_name(path.parent.parent if path.parent.name in (SHARDS, FRESH) else path.parent)


def _content_hash(table: pa.Table, cell: str) -> str:
    """Hash of a table's rows, the fingerprints kept with it, its cell, and its truth where it has it."""
    import pyarrow.compute as pc

    digest = hashlib.sha256(json.dumps([cell, sorted(fingerprints_of(table).items())]).encode())
    for name in KEY_COLUMNS:
        # Lengths first: `ab`, `c` is not `a`, `bc`.
        digest.update(pc.binary_length(table[name]).to_numpy().astype("<i4").tobytes())
        digest.update("".join(table[name].to_pylist()).encode())
    for name in NUMBER_COLUMNS:
        digest.update(table[name].to_numpy().astype("<f8").tobytes())
    if has_truth(table):
        digest.update(truth_hash(table).encode())
    return digest.hexdigest()
