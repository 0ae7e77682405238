"""Results on disk: one folder per cell, with `record.json`, `predictions.parquet` and, while it runs, `shards/`."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pydantic

from harness.atomic import replacing
from harness.errors import BenchError, UserError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 1
RECORD = "record.json"
PREDICTIONS = "predictions.parquet"
SHARDS = "shards"
KEY_COLUMNS = ("pair_id", "keypoint_id", "localizer")

Status = Literal["ok", "partial", "failed", "not-applicable"]
Scalar = str | int | float | bool | None


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class CellInfo(_Model):
    """Which cell this is."""

    id: str
    """The name of the cell's folder."""
    method: str
    label: str
    """The method, with the parameters the user set: what tables print."""
    extractor: str
    prompt: str
    dataset: str
    split: str
    seed: int
    params: dict[str, Scalar]
    """The extractor's parameters."""
    backbone: str
    """The weight sources used, and the first hex digits of a hash over their files: `tiny-stable-diffusion@1a2b3c4d`. The user's own files
    are marked with where they lie, `stable-diffusion-2-1=my-folder@...`; `none` without weights."""
    features: str = ""
    """The same for the extractor's weights alone: what cells that differ in their prompt have in common."""
    supervision: str
    trained_on: str | None = None
    fed: tuple[int, int] | None
    """Width and height in pixels of the image the extractor was fed: the frame of protocol `sd4match`. None where method and prompt do
    not fit together: no weights were looked for that would tell."""
    notes: str = ""


class LocalizerInfo(_Model):
    """How points were located, and how far."""

    options: dict[str, Scalar]
    pairs: int
    """Pairs with predictions."""
    keypoints: int
    failed: int
    """Pairs that raised."""


class Score(_Model):
    """One number of a table."""

    localizer: str
    protocol: str
    averaging: Literal["image", "point"]
    alpha: float
    slice: str
    """`all`, `category=cat`, `viewpoint=2` ..."""
    pck: float
    """Percent."""
    low: float | None
    """Lower end of the 95 % interval by bootstrap over image pairs, in percent; null with fewer than two pairs."""
    high: float | None
    pairs: int
    keypoints: int


class Failure(_Model):
    """A pair that raised."""

    pair_id: str
    localizer: str | None
    """The localizer that failed, null where there were no features to locate in."""
    error: str


class Counts(_Model):
    """Pairs of the split."""

    pairs: int
    """All there are."""
    excluded: int
    """Without a single valid point."""
    absent_points: int
    """Points that are not finite in one of the images: neither predicted nor counted."""
    limit: int | None
    """The --limit of the last run, null where every pair was asked for."""


class Stage(_Model):
    """What one stage of the last run cost."""

    seconds: float
    peak_memory_bytes: int
    """High-water mark of the process's memory when the stage ended."""


class CacheUse(_Model):
    """What a store of `--cache` was good for in the last run."""

    found: int
    """Pictures whose arrays were read."""
    computed: int
    """Pictures whose arrays were not there."""


class Provenance(_Model):
    """What made the numbers."""

    versions: dict[str, str]
    commit: str | None
    """Of the package's source, where it is a git checkout."""
    dirty: bool | None
    """Whether the package's source differs from that commit."""
    plugins: dict[str, str]
    """Extractor, prompt and localizers -> plugin that brought it."""
    weights: dict[str, dict[str, str]]
    """Weight source -> file -> sha256."""
    weight_origins: dict[str, str] = {}
    """Weight source -> repository and commit, or address, that its files came from, where that is known."""
    manifest: str
    """Hash of the dataset split: pairs, points, boxes and the pictures' content."""
    hardware: dict[str, str]
    precision: str
    compiled: bool = False
    """Whether `--compile` was given; records from before it have no such field."""
    device: str
    batch_size: int
    started: str
    """UTC."""
    computed_pairs: int
    """Pairs that the last run extracted features for; `stages` speaks of those."""
    stages: dict[str, Stage]
    cache: dict[str, CacheUse] = {}
    """Folder below that of `--cache` -> its use."""
    gpu_peak_memory_bytes: int | None


class Error(_Model):
    """Why a cell failed as a whole."""

    type: str
    message: str
    traceback: str


class Record(_Model):
    """What a finished cell leaves behind."""

    schema_: int = pydantic.Field(default=SCHEMA, alias="schema")
    status: Status
    cell: CellInfo
    counts: Counts | None = None
    localizers: dict[str, LocalizerInfo] = {}
    thresholds: dict[str, str] = {}
    """Protocol -> what its alpha multiplies."""
    scores: list[Score] = []
    failures: list[Failure] = []
    error: Error | None = None
    reason: str = ""
    """Why the cell is not applicable."""
    provenance: Provenance | None = None

    def coverage(self, localizer: str) -> Literal["ok", "partial", "limited", "failed"]:
        """How far one localizer got: every pair (ok), all but failed ones (partial), the first few (limited), none (failed)."""
        info = self.localizers.get(localizer)
        if info is None or self.counts is None or not info.pairs:
            return "failed"
        if info.pairs + info.failed + self.counts.excluded < self.counts.pairs:
            return "limited"
        return "partial" if info.failed else "ok"


# ---------------------------------------------------------------------------------------------------------------- records


def write_record(folder: Path, record: Record) -> None:
    """Puts `record.json` in place, whole."""
    with replacing(folder / RECORD) as file:
        file.write(record.model_dump_json(by_alias=True, indent=1).encode() + b"\n")


def read_record(path: Path) -> Record:
    """Reads a `record.json`. Raises `UserError` where it is damaged or newer than this reader."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path}: not a readable record ({error}); remove this file and run the cell again, its predictions are kept"
        ) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(f"{path}: has record schema {schema}, this version reads up to {SCHEMA}; upgrade correspondence-bench")
    try:
        return Record.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{path}: {where}: {first['msg']}; remove this file and run the cell again, its predictions are kept") from error


def record_paths(folder: Path) -> list[Path]:
    """Every `record.json` in the folders directly below a results folder, in order of name."""
    if not folder.is_dir():
        raise UserError(f"no results folder {folder}; 'bench run --out {folder}' makes one")
    return sorted(folder.glob(f"*/{RECORD}"))


def read_records(folder: Path) -> list[Record]:
    """Every record of a results folder. Raises `UserError` where there is none, or one is damaged."""
    records = [read_record(path) for path in record_paths(folder)]
    if not records:
        raise UserError(f"no finished cell in {folder}; 'bench run --out {folder}' makes some")
    return records


# ------------------------------------------------------------------------------------------------------------ predictions


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
        raise UserError(f"{path}: not readable as predictions ({_first_line(error)}); remove the file and run the cell again") from error
    if signatures is None:
        return table
    same = [name for name in stored if stored[name] == signatures.get(name, stored[name])]
    return _signed(table.filter(pc.is_in(table["localizer"], pa.array(same, pa.string()))), {name: stored[name] for name in same})


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
    return _signed(merged, {name: signatures[name] for name in sorted(set(frame["localizer"])) if name in signatures})


def _signed(table: pa.Table, signatures: Mapping[str, str]) -> pa.Table:
    return table.replace_schema_metadata({"localizers": json.dumps(dict(sorted(signatures.items())))})


def _first_line(error: BaseException) -> str:
    return re.split(r"[\r\n]", str(error).strip() or type(error).__name__)[0]


# ----------------------------------------------------------------------------------------------------------------- folders


def make_results_folder(out: Path) -> None:
    """Makes a results folder and checks that it can be written to. Raises `UserError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with replacing(out / ".writable") as file:
            file.write(b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(f"results folder {out}: {error.strerror or error}; choose another with --out") from error


def remove_shards(folder: Path) -> None:
    """Drops what the finished predictions contain."""
    shutil.rmtree(folder / SHARDS, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from running the same cell at the same time. Raises `BenchError` where one does."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchError(f"{folder}: another process is running this cell; wait for it, or choose another --out") from error
        yield
    finally:
        os.close(handle)
