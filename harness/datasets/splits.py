"""Splits of datasets, read once: their pairs, the reasons why some are broken, and a hash of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.errors import DataError
from harness.frames import Size
from harness.specs import (
    DatasetSpec,
    ImagePair,
    ImageSource,
    PairDataset,
    Threshold,
    is_labelled_dataset,
    is_threshold_dataset,
    valid_points,
)
from harness.sweep import DatasetChoice


@dataclass(frozen=True, eq=False)
class SplitIndex:
    """The pairs of one split, in the dataset's own order.

    Attributes:
        label: the dataset's name in tables.
        pair_ids: identifiers of all pairs.
        pairs: pair_id -> pair, of those that could be read.
        broken: pair_id -> reason why it could not be read.
        threshold: the length that PCK's alpha multiplies.
        prompt_names: category -> the word that a prompt uses, where that differs.
        official_pairs: number of pairs that the published split has; None where it is not known.
    """

    label: str
    split: str
    pair_ids: Sequence[str]
    pairs: Mapping[str, ImagePair]
    broken: Mapping[str, str]
    threshold: Threshold
    prompt_names: Mapping[str, str] = field(default_factory=dict)
    official_pairs: int | None = None

    def prompt_category(self, pair: ImagePair) -> str:
        """The word a prompt uses for the pair's object."""
        return self.prompt_names.get(pair.category, pair.category)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The words prompts use, sorted."""
        words = {self.prompt_category(pair) for pair in self.pairs.values()}
        return tuple(sorted(words))

    @cached_property
    def manifest(self) -> str:
        """sha256 over everything a prediction or score can depend on: pairs, points, boxes, labels, and the
        pictures' content.
        """
        digest = hashlib.sha256()
        for pair_id in self.pair_ids:
            digest.update(_entry(pair_id, self.pairs.get(pair_id), self.broken.get(pair_id, "")).encode())
        return digest.hexdigest()

    @cached_property
    def valid(self) -> Mapping[str, np.ndarray]:
        """pair_id -> (N,) bool: points that are there in both images. Only these are predicted and
        counted.
        """
        return {pair_id: valid_points(pair) for pair_id, pair in self.pairs.items()}

    @cached_property
    def excluded(self) -> frozenset[str]:
        """Pairs without a single valid point."""
        pair_ids: set[str] = set()
        for pair_id, is_valid in self.valid.items():
            if not is_valid.any():
                pair_ids.add(pair_id)
        return frozenset(pair_ids)

    @cached_property
    def absent_points(self) -> int:
        """Number of points that are missing in one image of their pair, or in both."""
        return sum(int((~is_valid).sum()) for is_valid in self.valid.values())

    def source_points(self, pair_id: str) -> np.ndarray:
        """(N, 2) valid points of a pair in original pixels of the source image: the queries."""
        points: np.ndarray = self.pairs[pair_id].source_points[self.valid[pair_id]]
        return points

    def target(self, pair_id: str) -> Target:
        """The truth that predictions of a pair are compared with; one row per valid point."""
        pair = self.pairs[pair_id]
        return Target(pair.target_points[self.valid[pair_id]], pair.target_size, pair.target_box)

    def keypoint_ids(self, pair_id: str) -> list[str]:
        """Names of a pair's valid points."""
        names = self.pairs[pair_id].keypoint_ids
        return [name for name, is_valid in zip(names, self.valid[pair_id], strict=True) if is_valid]


def dataset_folder(spec: DatasetSpec, choice: DatasetChoice, data_root: Path) -> Path:
    """Returns a dataset's own folder: the path that the user named, or its home below the data root."""
    return choice.path or data_root / spec.home


class Splits:
    """Splits of datasets, each read once.

    Args:
        datasets: name -> dataset.
        data_root: folder that holds the datasets' own folders.
    """

    def __init__(self, datasets: Mapping[str, DatasetSpec], data_root: Path) -> None:
        self._datasets, self._data_root = datasets, data_root
        self._splits: dict[tuple[str, Path, str], SplitIndex] = {}

    def read(self, choice: DatasetChoice, split: str) -> SplitIndex:
        """Returns a split of a dataset. Raises `UserError` where the dataset is not there."""
        spec = self._datasets[choice.name]
        folder = dataset_folder(spec, choice, self._data_root)
        key = (spec.name, folder, split)
        if key not in self._splits:
            self._splits[key] = read_split(spec, folder, split)
        return self._splits[key]


def read_split(spec: DatasetSpec, folder: Path, split: str) -> SplitIndex:
    """Reads every annotation of a split, and no picture. Raises `UserError` where the dataset is not
    there.
    """
    dataset: PairDataset = spec.open(folder, split)
    pairs: dict[str, ImagePair] = {}
    broken: dict[str, str] = {}
    for number, pair_id in enumerate(dataset.pair_ids):
        # A damaged annotation costs its own pair, which is reported as failed, and not the split.
        try:
            pairs[pair_id] = dataset[number]
        except DataError as error:
            broken[pair_id] = str(error)
    label = dataset.label if is_labelled_dataset(dataset) else spec.name
    threshold = dataset.threshold if is_threshold_dataset(dataset) else spec.threshold
    return SplitIndex(
        label=label,
        split=split,
        pair_ids=dataset.pair_ids,
        pairs=pairs,
        broken=broken,
        threshold=threshold,
        prompt_names=spec.prompt_names,
        official_pairs=spec.counts.get(split, {}).get("pairs"),
    )


def _entry(pair_id: str, pair: ImagePair | None, reason: str) -> str:
    """Line of one pair in the text that the manifest hashes."""
    # ASCII's unit and record separators, which names do not contain: fields cannot run into each other.
    if pair is None:
        return f"{pair_id}\x1fbroken\x1f{reason}\x1e"
    fields = [
        pair_id,
        _identity(pair.source),
        _identity(pair.target),
        _hex_bytes(pair.source_points),
        _hex_bytes(pair.target_points),
        pair.category,
        repr(pair.keypoint_ids),
        repr(pair.source_box),
        repr(pair.target_box),
        repr((tuple(pair.source_size), tuple(pair.target_size))),
        repr(sorted(pair.labels.items())),
    ]
    return "\x1f".join(fields) + "\x1e"


def _hex_bytes(points: np.ndarray) -> str:
    # The bits themselves, in one byte order, so that every machine gives the same hash.
    return np.asarray(points, dtype="<f8").tobytes().hex()


def _identity(image: ImageSource) -> str:
    try:
        return image.identity()
    except DataError:  # fails when it is opened; the rest of the split has a manifest all the same
        return "missing"


@dataclass(frozen=True, eq=False)
class Target:
    """The truth that predictions of a pair are compared with.

    Attributes:
        points: (N, 2) original pixels of the target image; rows that are not finite are points that are not
            there.
        size: size of the target image.
        box: (x1, y1, x2, y2) of the target object, in original pixels, where known.
    """

    points: np.ndarray
    size: Size
    box: tuple[float, float, float, float] | None
