"""A disk that refuses: every change to the files below a folder is counted, and fails from a given one on.

Works on what Python code does to files. What libraries do in their own compiled code is not seen: files that
count on it are those of `tests/survival`, on disks that are truly full.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAKING = frozenset({"open", "mkdir", "write", "fsync", "rename", "replace", "link", "symlink"})
"""Changes that need room."""

REMOVING = frozenset({"unlink", "remove", "rmdir", "chmod", "truncate"})
"""Changes that need none, and are refused by a disk that must not be written to."""


@dataclass(frozen=True)
class Refusal:
    """How a disk refuses.

    Attributes:
        number: the system's `errno`.
        changes: those that it refuses.
        lasts: whether it goes on refusing, as a full disk does, or is well again afterwards.
    """

    number: int
    changes: frozenset[str] = MAKING
    lasts: bool = True

    @property
    def words(self) -> str:
        """What the system calls it."""
        return os.strerror(self.number)


REFUSALS = {
    "full": Refusal(errno.ENOSPC),
    "quota": Refusal(errno.EDQUOT),
    "read-only": Refusal(errno.EROFS, MAKING | REMOVING),
    "limit": Refusal(errno.EFBIG, frozenset({"write"}), lasts=False),
    "broken": Refusal(errno.EIO, MAKING | REMOVING, lasts=False),
}


@dataclass
class FaultyDisk:
    """The disk below a folder.

    Args:
        refusal: None for a disk that only counts.
        at: the change, from 1, that is the first to be refused.
        meanwhile: called once, just before that change.

    Attributes:
        changes: those that were asked for, as `write results/x/.record.json.tmp`.
        refused: whether anything was.
    """

    root: Path
    refusal: Refusal | None = None
    at: int = 0
    meanwhile: Callable[[], object] | None = None
    changes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def step(self, change: str, path: object, folder: int | None = None) -> None:
        """Counts a change, or refuses it by an `OSError`, which has no file name where it is a write."""
        place = _place(path, folder)
        if place is None or not place.is_relative_to(self.root):
            return
        self.changes.append(f"{change} {place.relative_to(self.root)}")
        if self.meanwhile is not None and len(self.changes) == self.at:
            self.meanwhile()
        refusal = self.refusal
        if refusal is None or change not in refusal.changes or len(self.changes) < self.at:
            return
        if self.refused and not refusal.lasts:
            return
        self.refused.append(self.changes[-1])
        raise OSError(refusal.number, refusal.words, *([] if change in ("write", "fsync") else [str(place)]))

    def is_below(self, path: object) -> bool:
        """Says whether a path is on this disk."""
        place = _place(path)
        return place is not None and place.is_relative_to(self.root)

    @contextmanager
    def in_place(self) -> Iterator[FaultyDisk]:
        """Has everything in this process use the disk."""
        patched: list[tuple[Any, str, Any]] = []

        def patch(module: Any, name: str, stand_in: Any) -> None:
            patched.append((module, name, getattr(module, name)))
            setattr(module, name, stand_in)

        opened = _opening(self, io.open)
        patch(builtins, "open", opened)
        patch(io, "open", opened)
        patch(os, "open", _opening_number(self, os.open))
        for name in ("mkdir", "rmdir", "unlink", "remove", "chmod", "truncate", "fsync"):
            patch(os, name, _first_path(self, name, getattr(os, name)))
        for name in ("rename", "replace", "link", "symlink"):
            patch(os, name, _second_path(self, name, getattr(os, name)))
        try:
            yield self
        finally:
            for module, name, original in reversed(patched):
                setattr(module, name, original)


def _place(path: object, folder: int | None = None) -> Path | None:
    try:
        if isinstance(path, int):
            return Path(f"/proc/self/fd/{path}").readlink()
        place = Path(os.fsdecode(path))  # type: ignore[arg-type]
        if folder is not None and not place.is_absolute():
            return Path(f"/proc/self/fd/{folder}").readlink() / place
        return Path.cwd() / place
    except (OSError, TypeError):
        return None


class _CountedFile(io.FileIO):
    """A file whose writes are counted."""

    def __init__(self, disk: FaultyDisk, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._disk, self._path = disk, _place(self.fileno())

    def write(self, content: Any, /) -> int:
        self._disk.step("write", self._path)
        return super().write(content)

    def truncate(self, size: int | None = None, /) -> int:
        self._disk.step("truncate", self._path)
        return super().truncate(size)


def _opening(disk: FaultyDisk, original: Callable[..., Any]) -> Callable[..., Any]:
    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+") or not disk.is_below(file):
            return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int):
            disk.step("open", file)
        raw = _CountedFile(disk, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

    return opened


def _opening_number(disk: FaultyDisk, original: Callable[..., int]) -> Callable[..., int]:
    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE:
            disk.step("open", path, dir_fd)
        return original(path, flags, mode, dir_fd=dir_fd)

    return opened


def _first_path(disk: FaultyDisk, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def change(path: Any, *arguments: Any, **options: Any) -> Any:
        disk.step(name, path, options.get("dir_fd"))
        return original(path, *arguments, **options)

    return change


def _second_path(disk: FaultyDisk, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def change(source: Any, target: Any, *arguments: Any, **options: Any) -> Any:
        disk.step(name, target)
        return original(source, target, *arguments, **options)

    return change
