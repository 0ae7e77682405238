"""Verifies a dataset: reads every pair, decodes every picture, compares numbers with the official ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.datasets.notes import find_warnings
from harness.datasets.shapes.pairs import ShapesImage
from harness.datasets.splits import SplitIndex, read_split
from harness.errors import BenchError, DataError, UserError
from harness.frames import Size
from harness.messages import counted
from harness.specs import DatasetSpec, ImageSource

Progress = Callable[[Sequence[Any]], Iterable[Any]]
"""Yields the items it gets, and may draw a bar."""


_COUNT_WORDS = {"pairs": "pair", "images": "image name", "keypoints": "keypoint"}
"""Kind of number -> what is counted, once: a picture may have several names."""


def count_text(kind: str, number: int) -> str:
    """What was counted, in words: `1 pair`, `298 image names`."""
    return counted(number, _COUNT_WORDS[kind]) if kind in _COUNT_WORDS else f"{number:,} {kind}"


DRAWN_SAMPLE = 60
"""Pictures of a split that are drawn as a check, where they are made by this package and not stored."""


@dataclass(frozen=True)
class SplitReport:
    """Result of verifying one split.

    Attributes:
        label: the dataset's name in tables.
        found: "pairs" of the list, "images" of different names in those that can be read, and "keypoints"
            that both images of a pair have; empty where the split could not be opened.
        unreadable: number of pairs that cannot be read.
        expected: official numbers, of those that are known.
        faults: what is missing or damaged, one line each.
        warnings: what can be read and may be wrong all the same, one line each.
        same_as: an earlier split with exactly the same pairs (`trn` is `train`); it was not gone through
            again.
        sample: number of pictures that were drawn, where not all were: drawn ones cannot be damaged.
    """

    label: str
    split: str
    found: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    same_as: str = ""
    sample: int | None = None
    unreadable: int = 0

    @property
    def deviations(self) -> tuple[str, ...]:
        """Numbers that are not the official ones."""
        lines: list[str] = []
        for kind, number in self.expected.items():
            # Nothing is found in a split that could not be opened: its fault says so already.
            if self.found.get(kind, number) != number:
                lines.append(f"{count_text(kind, self.found[kind])} instead of the official {number:,}")
        return tuple(lines)

    @property
    def is_whole(self) -> bool:
        """True where nothing is missing, damaged or of another number, whatever there is to warn of."""
        return not (self.faults or self.deviations)


def verify_dataset(
    spec: DatasetSpec,
    folder: Path,
    splits: Sequence[str],
    progress: Progress = iter,
) -> list[SplitReport]:
    """Verifies splits of a dataset; a fault is reported and stops nothing.

    Raises:
        UserError: no split is there; the line says how to get them.
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
            reports.append(_failure_report(spec, split, error))
            continue
        except DataError as error:
            reports.append(_failure_report(spec, split, error))
            continue
        twin = _find_equal(index, indexes)
        if twin:
            reports.append(SplitReport(index.label, split, same_as=twin))
            continue
        indexes[split] = index
        images = _pictures(index)
        checked = _sample_drawn(images)
        faults = [*_pair_faults(index), *_bad_pictures(checked, sizes, progress)]
        for pair_id, problem in index.lacking(index.threshold).items():
            faults.append(f"pair {pair_id}: {problem}")
        if index.pairs and len(index.excluded) == len(index.pairs):
            faults.append("no pair has a keypoint that is there in both pictures")
        report = SplitReport(
            index.label,
            split,
            found=_count(index),
            expected=_official_counts(spec, split),
            faults=tuple(faults),
            warnings=(*index.notes, *find_warnings(index)),
            sample=len(checked) if len(checked) < len(images) else None,
            unreadable=len(index.broken),
        )
        reports.append(report)
    # With a part of the splits there, the others are reported among them.
    if absent and len(absent) == len(reports):
        raise absent[0]
    return reports


def _count(index: SplitIndex) -> dict[str, int]:
    images: set[str] = set()
    for pair in index.pairs.values():
        images.update((pair.source.name, pair.target.name))
    keypoints = 0
    for is_valid in index.valid.values():
        keypoints += int(is_valid.sum())
    return {"pairs": len(index.pair_ids), "images": len(images), "keypoints": keypoints}


def _failure_report(spec: DatasetSpec, split: str, error: BenchError) -> SplitReport:
    return SplitReport(spec.name, split, expected=_official_counts(spec, split), faults=(str(error),))


def _official_counts(spec: DatasetSpec, split: str) -> dict[str, int]:
    return dict(spec.counts.get(split, {}))


def _find_equal(index: SplitIndex, earlier: Mapping[str, SplitIndex]) -> str:
    """Name of an earlier split with the same pairs; empty where there is none."""
    for name, candidate in earlier.items():
        # The manifest decides alone, but reads every picture.
        if tuple(index.pair_ids) == tuple(candidate.pair_ids) and index.manifest == candidate.manifest:
            return name
    return ""


def _pair_faults(index: SplitIndex) -> list[str]:
    """Reasons why pairs could not be read, each once: many pairs may lack the same picture."""
    faults: list[str] = []
    for reason, count in Counter(index.broken.values()).items():
        faults.append(reason if count == 1 else f"{reason} ({count} pairs)")
    return faults


Pictures = list[tuple[tuple[str, Size], ImageSource]]
"""Name and annotated size -> picture."""


def _pictures(index: SplitIndex) -> Pictures:
    images: dict[tuple[str, Size], ImageSource] = {}
    for pair in index.pairs.values():
        images.setdefault((pair.source.name, pair.source_size), pair.source)
        images.setdefault((pair.target.name, pair.target_size), pair.target)
    return list(images.items())


def _sample_drawn(images: Pictures) -> Pictures:
    """All stored pictures, and some of those that are drawn, from the whole split: they follow from the
    package's code, so that one is as good as another, and drawing thousands takes a minute.
    """
    drawn = [item for item in images if isinstance(item[1], ShapesImage)]
    step = -(-len(drawn) // DRAWN_SAMPLE)
    return [item for item in images if not isinstance(item[1], ShapesImage)] + drawn[:: step or 1]


def _bad_pictures(images: Pictures, sizes: dict[str, Size], progress: Progress) -> list[str]:
    """Decodes each picture once, in all splits together, and compares its size with the annotation's."""
    # A dict: in order, each fault once.
    faults: dict[str, None] = {}
    for (name, annotated), image in progress(images):
        try:
            size = _decode_size(image, sizes)
        except DataError as error:
            faults[str(error)] = None
            continue
        if size != annotated:
            problem = (
                f"{size.width} x {size.height} pixels, "
                f"its annotation says {annotated.width} x {annotated.height}"
            )
            faults[f"image {name} has {problem}; replace the picture"] = None
    return list(faults)


def _decode_size(image: ImageSource, sizes: dict[str, Size]) -> Size:
    """Size of a picture after decoding all of it; kept in `sizes` by content, since splits share pictures."""
    identity = image.identity()
    if identity not in sizes:
        with image.open() as picture:
            sizes[identity] = Size(*picture.size)
    return sizes[identity]
