"""Locks on the folders of cells, and who holds them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from harness.errors import BenchError
from harness.files import read_json, try_lock

OWNER = ".owner.tmp"
"""Says who works in a folder. It is true only while the folder is locked: what a killed run leaves is no
lock, and goes with its other temporary files."""


class CellIsRunning(BenchError):
    """Another process works in a cell's folder.

    Attributes:
        who: `process 4711 on host, since 22:31`; empty where it did not say it.
    """

    def __init__(self, message: str, who: str = "") -> None:
        super().__init__(message)
        self.who = who


@contextmanager
def lock_folder(folder: Path, warn: Callable[[str, str], None], *, writes: bool = False) -> Iterator[None]:
    """Keeps other processes from working in a cell's folder at the same time.

    Args:
        warn: called with a subject and a message where the file system has no locks: the work goes on.
        writes: whether others are told in the folder who works in it. Not for a look, which may be at a
            folder that cannot be written to.

    Raises:
        CellIsRunning: another process works in the folder.
        BenchError: it cannot be locked.
    """
    # The folder itself is locked: no lock file that a killed run would leave behind.
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            is_locked = try_lock(handle)
        except BlockingIOError as error:
            who = _read_owner(folder)
            raise CellIsRunning(
                f"{folder}: another process is running this cell{f' ({who})' if who else ''}; "
                "wait for it, or choose another --out",
                who,
            ) from error
        except OSError as error:
            raise BenchError(
                f"{folder}: cannot be locked ({error.strerror or error}); choose another --out"
            ) from error
        if not is_locked:
            warn(
                f"results folder {folder.parent}",
                "its file system has no locks; let no other command write to it before this one has ended",
            )
        if writes:
            _write_owner(folder)
        try:
            yield
        finally:
            if writes:
                # Before the lock is given up: later it might be that of the next process.
                with suppress(OSError):
                    (folder / OWNER).unlink()
    finally:
        os.close(handle)


def leftovers(folder: Path) -> list[Path]:
    """The temporary files in a locked folder, which killed processes left, whatever its depth."""
    return [path for path in folder.rglob(".*.tmp") if path.name != OWNER]


def _write_owner(folder: Path) -> None:
    owner = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    # For a message alone: no run ends since its disk has no room for this.
    with suppress(OSError):
        (folder / OWNER).write_text(json.dumps(owner))


def _read_owner(folder: Path) -> str:
    """Who holds the lock; empty where it did not say, or is saying it just now."""
    try:
        owner = read_json(folder / OWNER)
        process, host, since = owner["process"], owner["host"], datetime.fromisoformat(owner["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    here = "" if host == socket.gethostname() else f" on {host}"
    return f"process {process}{here}, since {since.astimezone():%H:%M}"
