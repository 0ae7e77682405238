"""Is a dataset whole? Every pair read, every picture decoded, numbers compared with the official ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.datasets.splits import SplitIndex, read_split
from harness.errors import BenchError, DataError, UserError
from harness.frames import Size
from harness.specs import DatasetSpec, ImageSource

Progress = Callable[[Sequence[Any]], Iterable[Any]]
"""Hands on what it is given, and may draw a bar."""


@dataclass(frozen=True)
class SplitReport:
    """What was found in one split.

    Attributes:
        label: the dataset's name in tables.
        found: "pairs" that can be read, "images" of different names in them, and "keypoints" that both images
            of a pair have; empty where the split could not be opened.
        expected: official numbers, of those that are known.
        faults: what is missing or damaged, one line each.
        same_as: an earlier split with exactly the same pairs (`trn` is `train`); it was not gone through
            again.
    """

    label: str
    split: str
    found: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    same_as: str = ""

    @property
    def deviations(self) -> tuple[str, ...]:
        """Numbers that are not the official ones."""
        return tuple(
            f"{self.found[kind]:,} {kind} instead of {number:,}"
            for kind, number in self.expected.items()
            if self.found.get(kind, number) != number
        )

    @property
    def is_whole(self) -> bool:
        """True where nothing is missing, damaged or of another number."""
        return not (self.faults or self.deviations)


def verify_dataset(
    spec: DatasetSpec, folder: Path, splits: Sequence[str], progress: Progress = iter
) -> list[SplitReport]:
    """Goes through splits of a dataset; a fault is noted and stops nothing.

    Raises:
        UserError: none of the splits is there; the line says how to get them.
    """
    reports: list[SplitReport] = []
    indexes: dict[str, SplitIndex] = {}
    sizes: dict[str, Size] = {}
    absent: list[UserError] = []
    for split in splits:
        try:
            index = read_split(spec, folder, split)
        except UserError as error:
            absent.append(error)
            reports.append(_unread(spec, split, error))
            continue
        except DataError as error:
            reports.append(_unread(spec, split, error))
            continue
        twin = next((name for name, other in indexes.items() if _same(index, other)), "")
        if twin:
            reports.append(SplitReport(index.label, split, same_as=twin))
            continue
        indexes[split] = index
        faults = [*_broken_pairs(index), *_bad_pictures(index, sizes, progress)]
        if index.pairs and len(index.excluded) == len(index.pairs):
            faults.append("no pair has a keypoint that is there in both pictures")
        reports.append(SplitReport(index.label, split, _count(index), _expected(spec, split), tuple(faults)))
    if absent and len(absent) == len(reports):
        raise absent[0]
    return reports


def _count(index: SplitIndex) -> dict[str, int]:
    pairs = index.pairs.values()
    return {
        "pairs": len(index.pairs),
        "images": len({image.name for pair in pairs for image in (pair.source, pair.target)}),
        "keypoints": sum(int(is_valid.sum()) for is_valid in index.valid.values()),
    }


def _unread(spec: DatasetSpec, split: str, error: BenchError) -> SplitReport:
    return SplitReport(spec.name, split, expected=_expected(spec, split), faults=(str(error),))


def _expected(spec: DatasetSpec, split: str) -> dict[str, int]:
    return dict(spec.counts.get(split, {}))


def _same(one: SplitIndex, other: SplitIndex) -> bool:
    # The manifest settles it, but reads every picture.
    return tuple(one.pair_ids) == tuple(other.pair_ids) and one.manifest == other.manifest


def _broken_pairs(index: SplitIndex) -> list[str]:
    """Why pairs could not be read. Many pairs may lack the same picture, which is told once."""
    reasons = Counter(index.broken.values())
    return [reason if count == 1 else f"{reason} ({count} pairs)" for reason, count in reasons.items()]


def _bad_pictures(index: SplitIndex, sizes: dict[str, Size], progress: Progress) -> list[str]:
    """Decodes each picture once, in all splits together, and compares its size with the annotation's."""
    wanted: dict[tuple[str, Size], ImageSource] = {}
    for pair in index.pairs.values():
        for image, size in ((pair.source, pair.source_size), (pair.target, pair.target_size)):
            wanted.setdefault((image.name, size), image)
    faults: dict[str, None] = {}  # in order, each once
    for (name, size), image in progress(list(wanted.items())):
        try:
            found = _decoded(image, sizes)
        except DataError as error:
            faults[str(error)] = None
            continue
        if found != size:
            told = f"{found.width} x {found.height} pixels, its annotation says {size.width} x {size.height}"
            faults[f"image {name} has {told}; replace the picture"] = None
    return list(faults)


def _decoded(image: ImageSource, sizes: dict[str, Size]) -> Size:
    """Size of a picture after reading all of it; remembered by content, since splits share pictures."""
    identity = image.identity()
    if identity not in sizes:
        with image.open() as picture:
            sizes[identity] = Size(*picture.size)
    return sizes[identity]
