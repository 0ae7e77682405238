"""Files that are either there whole or not at all, also after a power cut; JSON read without surprises."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from harness.errors import NotWritten, UserError
from harness.interrupts import holding_interrupts


def with_home(path: str | os.PathLike[str]) -> Path:
    """The path with `~` as the user's home, and `~name` as that of another user.

    A name that no user has is left as it is, and then told as a path that is not there.
    """
    # `Path.expanduser` raises a RuntimeError for it.
    return Path(os.path.expanduser(path))  # noqa: PTH111


MOST_LINKS = 4
"""Links to folders, one inside the folder of another, that a listing follows."""


def paths_below(folder: Path, levels: int | None = None) -> Iterator[Path]:
    """Yields the files and folders below a folder, in order of name; links to folders are followed.

    A link to a folder that it lies in is not followed, so that a circle of links ends.

    Args:
        levels: of folders that are entered, the given one included; None for all.

    Raises:
        UserError: a folder cannot be read.
    """
    return _paths_below(folder, levels, MOST_LINKS, frozenset())


def _paths_below(folder: Path, levels: int | None, links: int, above: frozenset[Path]) -> Iterator[Path]:
    if levels == 0:
        return
    above |= {folder.resolve()}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from error
    for path in paths:
        yield path
        if not path.is_dir():
            continue
        links_left = links - path.is_symlink()
        if links_left >= 0 and path.resolve() not in above:
            yield from _paths_below(path, None if levels is None else levels - 1, links_left, above)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Names what is being written where the system refuses it.

    Args:
        path: file or folder. The system's own error has a temporary name, the folder above, or none.

    Raises:
        NotWritten: in place of any error of the system; errors of libraries have no number and are left.
    """
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        raise NotWritten(error.errno, error.strerror or type(error).__name__, str(path)) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a binary file that replaces `path` when the block ends; on an error nothing changes.

    Libraries that write through the file's number or in threads lose the system's error: what they make is
    for a buffer in memory, and this is for its bytes.

    Raises:
        NotWritten: the system refuses it.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent, f".{path.name}.")
        handle, temporary = _open_temporary(path)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                # mkstemp's files are for their owner alone; this one gets the rights of any new file.
                temporary.chmod(0o666 & ~_umask())
                # While it is open, and so locked: until it has its name, it is not abandoned.
                temporary.replace(path)
        except BaseException:  # an interruption, too, must not leave the temporary file behind
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def _open_temporary(path: Path) -> tuple[int, Path]:
    """Makes and locks a temporary file for `path`, in the same folder: a rename there is atomic."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with suppress(BlockingIOError):
            try_lock(handle)
            # Another process may have taken it for abandoned before it was locked.
            if os.fstat(handle).st_nlink:
                return handle, Path(name)
        os.close(handle)


def remove_abandoned(folder: Path, start: str = ".") -> None:
    """Removes temporary files that a killed process was writing; those that are being written stay.

    Args:
        start: of the names of those that are looked at, the point in front included.
    """
    # What cannot be looked at or removed stops nothing: it is somebody else's, or gone already.
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.name.startswith(start):
                with suppress(OSError), _locked_if_abandoned(Path(entry.path)) as is_locked:
                    if is_locked:
                        Path(entry.path).unlink()


def is_abandoned(path: Path) -> bool:
    """Says whether a path is a temporary file of `replacing` that nobody is writing any more."""
    with _locked_if_abandoned(path) as is_locked:
        return is_locked


@contextmanager
def _locked_if_abandoned(path: Path) -> Iterator[bool]:
    """Locks a temporary file that nobody has locked, which whoever writes one has; tells whether it did.

    On a file system without locks nothing can be said: False.
    """
    is_temporary = TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink()
    try:
        handle = os.open(path, os.O_RDONLY) if is_temporary else None
    except OSError:
        handle = None
    if handle is None:
        yield False
        return
    try:
        try:
            is_locked = try_lock(handle)
        except OSError:  # it is being written, or cannot be locked
            is_locked = False
        yield is_locked
    finally:
        os.close(handle)


TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
"""Names of temporary files: the file's, and what `tempfile` adds to it."""


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, unless it is there. Raises `NotWritten`."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def try_writing(folder: Path) -> None:
    """Writes to a folder and leaves nothing there, which shows what permissions do not: a read-only disk.

    Raises:
        OSError: it cannot be written to.
    """
    # Of a file that never has a name, no kill can leave anything. Where a file system has no such files, it
    # has a name for a moment, which no signal breaks into; a kill just then leaves it to 'bench clean'.
    with (
        holding_interrupts(),
        tempfile.TemporaryFile(dir=folder, prefix=".writable.", suffix=".tmp") as file,
    ):
        file.write(b"-")
        file.flush()


def remove_files(paths: Iterable[Path]) -> None:
    """Removes files; those that are gone already are no error. Raises `NotWritten`."""
    for path in paths:
        with writing(path):
            path.unlink(missing_ok=True)


def put_file(path: Path, content: bytes) -> None:
    """Puts a user's file in place, whole or not at all. Raises `UserError` where it cannot be written."""
    target = check_place(path)
    try:
        with replacing(target) as file:
            file.write(content)
    except NotWritten as error:
        raise UserError(str(error)) from error


def check_place(path: Path) -> Path:
    """Checks, before the work begins, that a user's file can be written.

    Returns:
        The path to write to: the path itself or, of a link, its target.

    Raises:
        UserError: it cannot be written, or something other than a file is there, which would be lost.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    if target.exists() and not target.is_file():
        raise UserError(f"{path}: is not a file but a device, a pipe or the like; name a file")
    if not target.parent.is_dir():
        raise UserError(f"{path}: {target.parent} is not a folder; make it first")
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"{path}: {target.parent} cannot be written to; choose another folder")
    return target


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable, on file systems that can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot do this for folders: the file is there all the same.
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(handle)


_NOT_SUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF)
"""Errors of a file system that lacks what it is asked for, such as Lustre's and some of NFS."""


def try_lock(handle: int) -> bool:
    """Locks an open file or folder until it is closed; returns False where its file system has no locks.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Besides the errors above, a lock server may be absent, or have no room for another lock.
        if error.errno in (*_NOT_SUPPORTED, errno.ENOLCK):
            return False
        raise
    return True


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_whole(path: Path) -> bytes:
    """Reads a file. Raises `OSError` where it cannot be read, or is a device or a pipe, without an end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "is not a file but a device, a pipe or the like", str(path))
    return path.read_bytes()


def read_json(path: Path, *, unique_keys: bool = False) -> Any:
    """Reads a JSON file in UTF-8, with or without a byte-order mark.

    Args:
        unique_keys: refuse an object that has a key twice, of which Python would keep the last.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is a device or a pipe, which might never end, or not JSON; the message is one line.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError("is not a file but a device, a pipe or the like")
    return parse_json(path.read_bytes(), unique_keys=unique_keys)


def parse_json(content: str | bytes, *, unique_keys: bool = False) -> Any:
    """Parses JSON, and raises `ValueError` with a message of one line for whatever is wrong with it.

    `json.loads` alone also raises for numbers of more digits than Python converts, and for nesting deeper
    than Python's own stack.
    """
    hook = _unique_keys if unique_keys else None
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        parsed = json.loads(text, object_pairs_hook=hook)
        _refuse_deep(parsed)
    except _TooDeep as error:
        raise ValueError(f"not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError("not text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"not valid JSON: {_TOO_DEEP}") from error
    except _RepeatedKey:
        raise
    except ValueError as error:  # the limit on digits, whose message advises programmers
        raise ValueError(f"not valid JSON: {_TOO_LONG}") from error
    return parsed


def parse_toml(content: str | bytes) -> dict[str, Any]:
    """Parses TOML in UTF-8, and raises `ValueError` with a message of one line for whatever is wrong with it.

    Raises:
        tomllib.TOMLDecodeError: a `ValueError` that may say the place.
        ValueError: it is not text, or beyond what Python reads, as in `parse_json`.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        parsed = tomllib.loads(text)
        _refuse_deep(parsed)
    except UnicodeDecodeError as error:
        raise ValueError("not text in UTF-8") from error
    except (tomllib.TOMLDecodeError, _TooDeep):
        raise
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except ValueError as error:
        raise ValueError(_TOO_LONG) from error
    return parsed


MOST_LEVELS = 100
"""Lists and objects in each other that are read: whoever walks through them calls itself for each level."""

_TOO_DEEP = "lists or objects are nested too deeply"

_TOO_LONG = "a number has too many digits"


class _TooDeep(ValueError):
    """Lists or objects are nested deeper than is read."""


def _refuse_deep(content: object) -> None:
    level: list[Any] = [content] if isinstance(content, dict | list) else []
    for _ in range(MOST_LEVELS):
        inner: list[Any] = []
        for container in level:
            values = container.values() if isinstance(container, dict) else container
            inner += [value for value in values if isinstance(value, dict | list)]
        level = inner
        if not level:
            return
    raise _TooDeep(_TOO_DEEP)


class _RepeatedKey(ValueError):
    """An object has a key twice."""


def _unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(items)
    if len(content) < len(items):
        keys = [key for key, _ in items]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _RepeatedKey(f"key {twice!r} occurs twice in one object")
    return content
