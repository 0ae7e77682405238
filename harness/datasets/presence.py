"""The presence of a dataset on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.downloads.files import is_present
from harness.messages import counted, one_line
from harness.specs import DatasetSpec


@dataclass(frozen=True)
class Presence:
    """Presence of a dataset.

    Attributes:
        state: `bundled` datasets need no files; of `partly` present ones some files are missing.
            Of one that is `not whole`, a list has another number of pairs than the published one.
        missing: absent paths, the reason why the dataset cannot be opened, or numbers of pairs.
    """

    state: Literal["present", "partly", "not whole", "absent", "bundled"]
    missing: tuple[str, ...] = ()


def _deviations(spec: DatasetSpec, folder: Path) -> tuple[str, ...]:
    """Numbers of pairs that are not the published ones; lists are read, and neither pairs nor pictures."""
    lines: list[str] = []
    for split in spec.splits:
        official = spec.counts.get(split, {}).get("pairs")
        if official is None:
            continue
        try:
            # A pair that a list names several times is one pair.
            pairs = len(set(spec.open(folder, split).pair_ids))
        except Exception as error:  # noqa: BLE001 - a plugin's code; the other datasets are of interest
            lines.append(f"{split}: {one_line(error)}")
            continue
        if pairs != official:
            lines.append(f"{split}: {counted(pairs, 'pair')} instead of the official {official:,}")
    return tuple(lines)


def dataset_presence(spec: DatasetSpec, folder: Path) -> Presence:
    """Looks for a dataset's files; its pictures are not read."""
    if spec.files:
        absent = [file for file in spec.files if not is_present(file, folder)]
        missing = tuple(str(folder / (file.provides or file.path)) for file in absent)
        if not missing:
            deviations = _deviations(spec, folder)
            return Presence("not whole" if deviations else "present", deviations)
        if len(missing) == len(spec.files):
            return Presence("absent", missing)
        return Presence("partly", missing)
    # Where a dataset names no files, opening it is the only test.
    try:
        spec.open(folder, spec.splits[0])
    except Exception as error:  # noqa: BLE001 - a plugin's code; the other datasets are of interest
        return Presence("absent", (one_line(error),))
    return Presence("present" if spec.home else "bundled")
