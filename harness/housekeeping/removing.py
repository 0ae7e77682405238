"""Removes what is superseded, while nobody else works in a cell's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from harness.errors import BenchError
from harness.files import writing
from harness.housekeeping.cell_folder import last_changes
from harness.housekeeping.superseded import Superseded
from harness.records.locks import CellIsRunning, lock_folder


def remove(item: Superseded, warn: Callable[[str, str], None]) -> None:
    """Removes a superseded cell, a part of one, or a stray file.

    Args:
        warn: called with a subject and a message where the file system has no locks.

    Raises:
        BenchError: another process works in the cell, it has changed since it was judged, or something cannot
            be removed.
    """
    try:
        if item.folder is None:
            for path in item.paths:
                path.unlink(missing_ok=True)
            return
        with lock_folder(item.folder, warn):
            if last_changes(item.folder) != item.changes:
                raise BenchError(f"{item.folder}: has changed since it was looked at; clean again")
            for path in item.paths:
                _remove_path(path)
            if not any(item.folder.iterdir()):
                item.folder.rmdir()
    except CellIsRunning as error:
        raise CellIsRunning(f"{item.folder}: another process is running this cell; left alone") from error
    except OSError as error:
        place = error.filename or item.folder
        raise BenchError(
            f"{place}: {error.strerror}; not removed, make it writable and clean again"
        ) from error


def _remove_path(path: Path) -> None:
    # The system names a file within a folder alone, without the folder.
    with writing(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
