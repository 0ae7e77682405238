"""The presence of a dataset on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.downloads.files import is_present
from harness.errors import BenchError
from harness.specs import DatasetSpec


@dataclass(frozen=True)
class Presence:
    """Presence of a dataset.

    Attributes:
        state: `bundled` datasets need no files; of `partly` present ones some files are missing.
        missing: absent paths, or the reason why the dataset cannot be opened.
    """

    state: Literal["present", "partly", "absent", "bundled"]
    missing: tuple[str, ...] = ()


def dataset_presence(spec: DatasetSpec, folder: Path) -> Presence:
    """Looks for a dataset's files; its pictures are not read."""
    if spec.files:
        absent = [file for file in spec.files if not is_present(file, folder)]
        missing = tuple(str(folder / (file.provides or file.path)) for file in absent)
        if not missing:
            return Presence("present")
        if len(missing) == len(spec.files):
            return Presence("absent", missing)
        return Presence("partly", missing)
    # Where a dataset names no files, opening it is the only test.
    try:
        spec.open(folder, spec.splits[0])
    except BenchError as error:
        return Presence("absent", (str(error),))
    return Presence("present" if spec.home else "bundled")
