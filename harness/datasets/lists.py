"""What the loaders share: reading lists, and saying what is missing."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from harness.errors import DataError, UserError
from harness.specs import DatasetSpec

VOC_CATEGORIES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The PASCAL VOC classes in their official order; files number them from 1."""


def read_text(path: Path) -> str:
    """A text file's content. Raises `DataError` that names the file."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; put the file there or fetch the dataset again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file; fetch the dataset again") from error


def read_csv(path: Path, needed: Iterable[str]) -> list[dict[str, str]]:
    """Rows of a CSV file with a header. Raises `UserError` where a needed column is missing."""
    try:
        rows = csv.DictReader(read_text(path).splitlines())
        missing = [column for column in needed if column not in (rows.fieldnames or ())]
        if missing:
            raise UserError(f"{path}: column {', '.join(missing)} is missing; the header is {','.join(rows.fieldnames or ()) or 'empty'}")
        return list(rows)
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from error


def missing_dataset(spec: DatasetSpec, folder: Path, wanted: Path) -> UserError:
    """An error that says which file a dataset lacks and how to get it."""
    return UserError(
        f"dataset {spec.name}: {wanted} is not there; 'bench data fetch {spec.name}' downloads it, or point --data-root at the folder "
        f"that holds {spec.home or folder.name}/"
    )
