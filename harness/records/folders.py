"""The files of a results folder: writes and reads records, removes shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pydantic

from harness.errors import UserError
from harness.files import parse_json, read_whole, replacing, try_writing
from harness.records.consistency import contradiction
from harness.records.schema import SCHEMA, Record
from harness.records.seal import SEAL, seal_of

RECORD = "record.json"

SHARDS = "shards"

FRESH = "fresh"
"""Shards of a run that computes a finished cell anew, until all of it is there."""


FindFolder = Callable[[Record], Path]
"""Record -> the folder of its cell."""


class DamagedRecord(UserError):
    """A `record.json` that can be read and is not as it was written: to be removed and made again."""


def write_record(folder: Path, record: Record) -> None:
    """Puts `record.json` in place, whole and sealed."""
    sealed = record.model_copy(update={SEAL: seal_of(_as_json(record))})
    with replacing(folder / RECORD) as file:
        file.write(_as_json(sealed).encode() + b"\n")


def _as_json(record: Record) -> str:
    return record.model_dump_json(by_alias=True, indent=1)


def read_record(path: Path) -> Record:
    """Reads the `record.json` of a cell's folder.

    Raises:
        UserError: it is damaged, newer than this reader, contradicts itself, is that of another folder's
            cell, or was changed after it was written.
    """
    try:
        content = read_whole(path)
        # Strict: a text or a truth value in the place of a number is damage, not a number.
        record = Record.model_validate_json(content, strict=True)
    except OSError as error:
        raise _damaged_record(path, f"not a readable record ({error.strerror or error})") from error
    except pydantic.ValidationError as error:
        raise _refused_record(path, content, error) from error
    if record.schema_ > SCHEMA:
        raise _newer_record(path, record.schema_)
    if record.schema_ != SCHEMA:
        raise _damaged_record(path, f"has record schema {record.schema_}, this version reads {SCHEMA}")
    problem = contradiction(record)
    if problem:
        raise _damaged_record(path, f"contradicts itself: {problem}")
    if record.cell.id != folder_name(path.parent):
        raise UserError(
            f"{path}: is the record of cell {record.cell.id!r} and not of its folder, as in a copy; "
            "give the folder its cell's name, or move it out of the results folder"
        )
    # Last: of what is wrong with an edited record, all else says more.
    if record.sealed and record.sealed != seal_of(content):
        raise _damaged_record(path, "was changed after 'bench' wrote it")
    return record


def folder_name(folder: Path) -> str:
    """The name of a cell's folder, which is the cell's id; of a link its own, not that of its target."""
    # The folder that the user is in has no name in a path.
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def _refused_record(path: Path, content: bytes, refusal: pydantic.ValidationError) -> UserError:
    """The error for a record that does not fit the schema."""
    try:
        parsed = parse_json(content)
    except ValueError as error:
        return _damaged_record(path, f"not a readable record ({error})")
    # Before all else: a newer record's fields are not unknown, but newer.
    schema = parsed.get("schema") if isinstance(parsed, dict) else None
    if type(schema) is int and schema > SCHEMA:
        return _newer_record(path, schema)
    problem = refusal.errors()[0]  # a damaged record may have dozens; one line is enough to see it
    field = ".".join(map(str, problem["loc"])) or "the whole"
    return _damaged_record(path, f"{field}: {problem['msg']}")


def _newer_record(path: Path, schema: int) -> UserError:
    return UserError(
        f"{path}: has record schema {schema}, this version reads up to {SCHEMA}; upgrade correspondence-bench"
    )


def _damaged_record(path: Path, problem: str) -> DamagedRecord:
    return DamagedRecord(
        f"{path}: {problem}; remove this file and run the cell again, its predictions are kept"
    )


def cell_folders(folder: Path) -> FindFolder:
    """What finds the cells of one results folder."""
    return lambda record: folder / record.cell.id


def record_paths(folder: Path) -> list[Path]:
    """Paths of every `record.json` in the folders directly below a results folder, in order of name.

    Raises `UserError` where the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(f"no results folder {folder}; 'bench run --out {folder}' makes one")
    return sorted(folder.glob(f"*/{RECORD}"))


def make_results_folder(out: Path) -> None:
    """Makes a results folder and checks that it can be written to. Raises `UserError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        try_writing(out)
    except OSError as error:
        raise UserError(
            f"results folder {out}: {error.strerror or error}; choose another with --out"
        ) from error


def remove_shards(folder: Path) -> None:
    """Removes the shards of a cell whose predictions are all in one file."""
    shutil.rmtree(folder / SHARDS, ignore_errors=True)


def remove_fresh_shards(folder: Path) -> None:
    """Removes the shards of a cell that was computed anew, once its one file has them."""
    shutil.rmtree(folder / FRESH, ignore_errors=True)
