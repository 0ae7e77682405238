"""A dataset's official files: downloaded or put there by hand, checked, and unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.downloads.download import Progress
from harness.downloads.files import FetchedFile, fetch_files
from harness.errors import UserError
from harness.specs import DatasetSpec


def fetch_dataset(
    spec: DatasetSpec,
    folder: Path,
    progress: Progress,
    *,
    keep_archives: bool = False,
) -> Iterator[FetchedFile]:
    """Gets what a dataset lacks, one file after the other, and unpacks archives.

    Args:
        folder: the dataset's own.
        keep_archives: leave downloaded archives beside what was unpacked. One that was put there by hand is
            always left.

    Raises:
        UserError: nothing can be downloaded for this dataset, or a file cannot be had or is not the
            expected one. One line that says what to download by hand and where to put it.
        NotWritten: a full or read-only disk. What has arrived is kept.
    """
    if not spec.files and spec.advice:
        raise UserError(f"dataset {spec.name} cannot be downloaded by a command: in {folder}, {spec.advice}")
    if not spec.files:
        raise UserError(
            f"dataset {spec.name} has nothing to download ({spec.description or 'its plugin names no files'})"
        )
    yield from fetch_files(f"dataset {spec.name}", spec.files, folder, progress, keep_archives=keep_archives)
