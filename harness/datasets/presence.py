"""Where a dataset is expected, and whether it is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.downloads.files import is_present
from harness.errors import BenchError
from harness.specs import DatasetSpec


@dataclass(frozen=True)
class Presence:
    """Whether a dataset is there.

    Attributes:
        state: `bundled` datasets need no files; of `partly` present ones some files are missing.
        missing: paths that are not there, or why the dataset cannot be opened.
    """

    state: Literal["present", "partly", "absent", "bundled"]
    missing: tuple[str, ...] = ()


def dataset_presence(spec: DatasetSpec, folder: Path) -> Presence:
    """Whether a dataset is there, without reading its pictures."""
    if spec.files:
        missing = tuple(
            str(folder / (file.provides or file.path)) for file in spec.files if not is_present(file, folder)
        )
        return Presence(
            "present" if not missing else "absent" if len(missing) == len(spec.files) else "partly", missing
        )
    try:
        spec.open(folder, spec.splits[0])
    except BenchError as error:
        return Presence("absent", (str(error),))
    return Presence("present" if spec.home else "bundled")
