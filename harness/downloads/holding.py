"""A folder that one process at a time fetches files into."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from harness.errors import UserError
from harness.files import make_folder, remove_files, try_lock, writing
from harness.messages import printable

FETCHING = ".bench-fetching"
"""In a folder while a process fetches into it: who does. A fetch that was killed leaves it."""


@contextmanager
def holding(folder: Path, is_unfinished: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Holds a folder, which is made, until the block ends.

    Args:
        is_unfinished: asked where the block ends with an error: whether the mark stays, because the folder
            looks complete to who does not know what is missing.

    Raises:
        UserError: another process holds the folder.
        NotWritten: the folder cannot be written to.
    """
    path = folder / FETCHING
    make_folder(folder)
    with _lock(path) as file:
        with writing(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        is_done = False
        try:
            yield
            is_done = True
        finally:
            # Still locked: who opened it meanwhile finds that the lock is that of no file, and makes its own.
            if is_done or not is_unfinished():
                remove_files([path])


def _lock(path: Path) -> FileIO:
    while True:
        with writing(path):
            # Without a buffer: what a full disk refuses would be tried again as the file is closed.
            file = path.open("ab", buffering=0)
        try:
            try_lock(file.fileno())
        except BlockingIOError as error:
            file.close()
            raise UserError(
                f"{path.parent}: {_holder(path)} is fetching into it; wait until it is done, "
                "then run the same command again"
            ) from error
        except BaseException:
            file.close()
            raise
        if _is_at(file, path):
            return file
        # The one before removed it between our opening and our locking.
        file.close()


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    """`process 12 on host`, as the holder has written it; `another process` where that cannot be read."""
    try:
        text = path.read_bytes()[:200].decode("utf-8", "replace")
    except OSError:
        text = ""
    return printable(text).strip() or "another process"
