"""The folders below a results folder that are cells: what is in them, and what in them is not ours."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import is_abandoned
from harness.records.folders import FRESH, RECORD, SHARDS
from harness.records.predictions import PREDICTIONS

_CELL_NAME = re.compile(r".+\.[0-9a-f]{12}")
"""A readable name, and twelve digits of a hash."""

_OWN = (RECORD, PREDICTIONS, SHARDS, FRESH)

_SHARD = re.compile(r"\d{6,}\.parquet")

_TEMPORARY = re.compile(r"\..+\.tmp")

_LEAST_AGE = 3_600.0
"""Seconds after which no command still writes a temporary file."""


@dataclass(frozen=True)
class CellFolder:
    """A cell's folder.

    Attributes:
        contents: files and folders in it, the record first.
        temporary: those of them that a killed run was writing.
        foreign: something in it that no command wrote, or that it is a link; empty where there is nothing.
    """

    path: Path
    contents: tuple[Path, ...]
    temporary: tuple[Path, ...]
    foreign: str

    @property
    def shards(self) -> tuple[Path, ...]:
        """Folders of predictions of a run that has not come to its end."""
        return tuple(path for path in self.contents if path.name in (SHARDS, FRESH))


def cell_folders_in(folder: Path) -> list[CellFolder]:
    """The cells' folders directly below a results folder, in order of name.

    Raises:
        UserError: a folder cannot be read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if _CELL_NAME.fullmatch(path.name) and path.is_dir())
        return [_look_at(path) for path in paths]
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror}; make it readable") from error


def _look_at(path: Path) -> CellFolder:
    contents = sorted(path.iterdir(), key=lambda each: (each.name != RECORD, each.name))
    temporary = tuple(each for each in contents if _is_temporary(each))
    foreign = "files elsewhere, since it is a link" if path.is_symlink() else ""
    for each in contents:
        if not foreign and not _is_own(each):
            foreign = each.name
    return CellFolder(path, tuple(contents), temporary, foreign)


def _is_own(path: Path) -> bool:
    if path.name in (SHARDS, FRESH) and path.is_dir() and not path.is_symlink():
        return all(_SHARD.fullmatch(each.name) or _is_temporary(each) for each in path.iterdir())
    return path.name in _OWN or _is_temporary(path)


def _is_temporary(path: Path) -> bool:
    return bool(_TEMPORARY.fullmatch(path.name)) and path.is_file()


def stray_files(folder: Path) -> list[Path]:
    """Temporary files beside the cells that were left behind by a killed command.

    Where their locks do not tell, as on file systems without locks: those that are more than an hour old.
    """
    oldest = time.time() - _LEAST_AGE
    files = sorted(path for path in folder.iterdir() if _is_temporary(path))
    return [path for path in files if is_abandoned(path) or path.stat().st_mtime < oldest]


def last_changes(folder: Path) -> dict[Path, int]:
    """Everything in a cell's folder -> when it was last written to, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
