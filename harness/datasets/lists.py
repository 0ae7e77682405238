"""Parts that the loaders share: lists and pictures found and read, and the message for a missing dataset."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.datasets.values import first_repeated
from harness.errors import DataError, UserError
from harness.files import read_json
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
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"{path}: is not a file but a device, a pipe or the like; name a file")
        # With or without the mark that Excel puts first.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; put the file there or fetch the dataset again"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8; save it as that, or fetch the dataset again") from error
    except ValueError as error:  # a name that no file can have
        raise DataError(f"{str(path)!a}: {error}; mend the name") from error


def read_annotation(path: Path, advice: str = "fetch the dataset again") -> Any:
    """What a JSON file holds, in which no object has a key twice. Raises `DataError` that names the file."""
    try:
        return read_json(path, unique_keys=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; put the file there or {advice}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}; {advice}") from error


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Names a JSON file in what is wrong with its content.

    Raises:
        DataError: in place of a `KeyError`, whose key the content lacks, or of a `ValueError`.
    """
    try:
        yield
    except KeyError as error:
        raise DataError(f"{path}: key {error} is missing; fetch the dataset again") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}; fetch the dataset again") from error


def read_csv(path: Path, needed: Iterable[str], known: Iterable[str] = ()) -> list[dict[str, str]]:
    """Rows of a CSV file with a header.

    Args:
        needed: columns that must be there.
        known: all columns that may be there; any are allowed where none are given.

    Raises:
        UserError: if a column is missing, unknown or there twice, or a row has more or fewer fields than the
            header.
    """
    try:
        # `newline=""` leaves line breaks to the reader, which knows those inside quotes.
        rows = list(csv.reader(io.StringIO(read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from error
    except DataError as error:  # the list of all pairs
        raise UserError(str(error)) from error
    header = rows[0] if rows else []
    lines = rows[1:]
    missing = [column for column in needed if column not in header]
    if missing:
        raise UserError(
            f"{path}: column {', '.join(missing)} is missing; the header is {','.join(header) or 'empty'}"
        )
    # Published lists may end in commas: columns without a name are not read.
    twice = first_repeated([column for column in header if column])
    if twice is not None:
        raise UserError(f"{path}: column '{twice}' is there twice; remove one")
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


def find_file(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of several files below a folder that is there."""
    return next((folder / name for name in names if is_file(folder / name)), None)


def is_file(path: Path) -> bool:
    """Says whether a file is there; a name that no file can have is that of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_picture(folder: Path, names: Iterable[str]) -> Path:
    """The first of several names of a picture under which it is there, below a folder.

    A name is tried as it stands, with backslashes as slashes, and with accents composed and decomposed (file
    systems of Apple store é as two characters).

    Returns:
        The first name's own path where none is there; whoever opens it says that it is missing.
    """
    tried = list(names)
    for name in tried:
        for spelling in _spellings(name):
            try:
                if (folder / spelling).exists():
                    return folder / spelling
            except (OSError, ValueError):  # a name that no file can have, or too long a one
                continue
    return folder / tried[0]


def _spellings(name: str) -> list[str]:
    paths = [name, name.replace("\\", "/")]
    forms = [unicodedata.normalize(form, path) for path in paths for form in ("NFC", "NFD")]
    return list(dict.fromkeys([*paths, *forms]))


def number_entries(keys: Sequence[Hashable]) -> list[int]:
    """The number of each entry of a list, from 1; an entry that repeats an earlier one has its number."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(key, number) for number, key in enumerate(keys, start=1)]


def missing_dataset(spec: DatasetSpec, folder: Path, path: Path) -> UserError:
    """An error that names the file that a dataset lacks, and how to get it."""
    return UserError(
        f"dataset {spec.name}: {path} is not there; 'bench data fetch {spec.name}' downloads it, "
        f"or point --data-root at the folder that holds {spec.home or folder.name}/"
    )
