"""Small disks in memory, for tests that fill them up or make them read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096
"""Bytes by which a disk in memory is filled."""


@contextmanager
def small_disk(place: Path, options: str = "size=8m") -> Iterator[Path]:
    """Mounts a disk in memory at a folder; skips the test where this process may not."""
    place.mkdir(parents=True, exist_ok=True)
    problem = _mount("-t", "tmpfs", "-o", options, "tmpfs", str(place))
    if problem:
        pytest.skip(f"no disk in memory can be mounted here: {problem}")
    try:
        yield place
    finally:
        os.chdir("/")
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def set_read_only(place: Path, is_read_only: bool) -> bool:
    """Makes a mounted disk read-only, or writable again; says whether it could be done."""
    return not _mount("-o", f"remount,{'ro' if is_read_only else 'rw'}", str(place))


def _mount(*words: str) -> str:
    """Why `mount` failed; empty where it did not."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    return done.stderr.strip() or ("failed" if done.returncode else "")


def fill(disk: Path, room: int) -> Path:
    """Fills a disk up to so many bytes by one file, and returns that."""
    status = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as file:
        left = status.f_bavail * status.f_frsize - room
        if left > 0:
            os.posix_fallocate(file.fileno(), 0, left)
    return filler
