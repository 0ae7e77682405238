"""The folders that are written to or hold caches: whether that can be done, free space and sizes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.doctor.entries import Entry
from harness.files import with_home
from harness.messages import bytes_text, one_line
from harness.weights.places import hub_cache, weights_root

SECONDS = 0.5
"""Longest time spent on adding up the files of one folder, which may be on a slow drive and hold millions."""


@dataclass(frozen=True)
class Folders:
    """Folders that the user names.

    Attributes:
        out: results folder.
        cache: the one of `--cache`; None where there is none.
        weights_root: folder of fetched weights; None for the usual one.
        data_root: folder that holds the datasets' own folders.
    """

    out: Path
    data_root: Path
    cache: Path | None = None
    weights_root: Path | None = None


def storage(folders: Folders) -> Iterator[Entry]:
    """Lines about folders. One that must be written to and cannot be is a fault; nothing is written."""
    yield _written("results", folders.out)
    yield _temporary()
    if folders.cache is not None:
        yield _written("--cache-dir", folders.cache, with_size=True)
    yield _written("fetched weights", weights_root(folders.weights_root), with_size=True)
    yield _read_only("data", folders.data_root)
    yield _read_only("Hugging Face's cache", hub_cache(), with_size=True)
    yield _token()


def _temporary() -> Entry:
    name = "temporary files"
    try:
        return _written(name, Path(tempfile.gettempdir()))
    except OSError as error:  # none of the usual folders can be written to
        return Entry(name, one_line(error), "failed", "set TMPDIR to a folder that can be written to")


def _written(name: str, folder: Path, with_size: bool = False) -> Entry:
    """A folder that runs or fetches write into."""
    folder = with_home(folder).absolute()
    try:
        present = _nearest_present(folder)
        if not present.is_dir():
            return Entry(name, f"{folder}: {present} is a file", "failed", "choose another folder")
        if not os.access(present, os.W_OK | os.X_OK):
            detail = f"{folder}: {present} must not be written to"
            return Entry(name, detail, "failed", "choose another folder, or allow it")
        free = f"{bytes_text(shutil.disk_usage(present).free)} free"
        if present != folder:
            return Entry(name, f"{folder} (made when it is needed), {free}", "ok")
        size = f"{_size_text(folder)}, " if with_size else ""
        return Entry(name, f"{folder}, {size}{free}", "ok")
    except OSError as error:
        return Entry(name, f"{folder}: {one_line(error)}", "failed", "choose another folder")


def _read_only(name: str, folder: Path, with_size: bool = False) -> Entry:
    """A folder that runs only read."""
    folder = with_home(folder).absolute()
    try:
        if not folder.is_dir():
            return Entry(name, f"{folder} is not there", "skipped")
        size = f", {_size_text(folder)}" if with_size else ""
    except OSError as error:
        return Entry(name, f"{folder}: {one_line(error)}", "failed")
    return Entry(name, f"{folder}{size}", "ok")


def _nearest_present(folder: Path) -> Path:
    """The folder, or the first above it that is there. Raises OSError where none can be looked at."""
    for path in (folder, *folder.parents):
        # A link that leads nowhere is there, too: nothing can be made under its name.
        if path.exists() or path.is_symlink():
            return path
    return folder


def _size_text(folder: Path) -> str:
    """Size of a folder's files, or as much of it as could be added up in `SECONDS`."""
    end = time.monotonic() + SECONDS
    size, waiting = 0, [folder]
    while waiting:
        try:
            # Links are not followed: a snapshot of the hub is links to files that are counted anyway.
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                    if time.monotonic() > end:
                        return f"more than {bytes_text(size)}"
        except OSError:  # a folder of somebody else, or one that has just been deleted
            continue
    return bytes_text(size)


def _token() -> Entry:
    """Says whether there is a token for the hub, and never which."""
    name = "hub token"
    try:
        from huggingface_hub import get_token

        is_present = bool(get_token())
    except (ImportError, OSError) as error:
        return Entry(name, one_line(error), "warned")
    if is_present:
        return Entry(name, "present")
    return Entry(name, "none; only gated weights need one ('hf auth login', or HF_TOKEN)")
