"""Parts that the loaders share: reading lists, and the message for a missing dataset."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from harness.errors import DataError, UserError
from harness.specs import DatasetSpec

VOC_CATEGORIES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""The PASCAL VOC classes in their official order; files number them from 1."""


def read_text(path: Path) -> str:
    """A text file's content. Raises `DataError` that names the file."""
    try:
        # With or without the mark that Excel puts first.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; put the file there or fetch the dataset again"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8; save it as that, or fetch the dataset again") from error


def read_csv(path: Path, needed: Iterable[str], known: Iterable[str] = ()) -> list[dict[str, str]]:
    """Rows of a CSV file with a header.

    Args:
        needed: columns that must be there.
        known: all columns that may be there; any are allowed where none are given.

    Raises:
        UserError: if a column is missing or unknown, or a row has more or fewer fields than the header.
    """
    try:
        rows = list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from error
    header = rows[0] if rows else []
    lines = rows[1:]
    missing = [column for column in needed if column not in header]
    if missing:
        raise UserError(
            f"{path}: column {', '.join(missing)} is missing; the header is {','.join(header) or 'empty'}"
        )
    for column in header:
        # Published lists may have columns of their own; in the user's one it is a misspelling.
        if known and column not in known:
            raise UserError(f"{path}: unknown column '{column}'; known: {', '.join(known)}")
    records: list[dict[str, str]] = []
    for number, fields in enumerate(lines, start=2):
        if not fields:  # an empty line, as many editors leave at the end
            continue
        if len(fields) != len(header):
            raise UserError(f"{path}: row {number} has {len(fields)} fields, the header {len(header)}")
        records.append(dict(zip(header, fields, strict=True)))
    return records


def missing_dataset(spec: DatasetSpec, folder: Path, path: Path) -> UserError:
    """An error that names the file that a dataset lacks, and how to get it."""
    return UserError(
        f"dataset {spec.name}: {path} is not there; 'bench data fetch {spec.name}' downloads it, "
        f"or point --data-root at the folder that holds {spec.home or folder.name}/"
    )
