"""Datasets: images, image pairs and the spec that `bench_datasets` collects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

from harness.frames import Size
from harness.specs.bibtex import check_citation
from harness.specs.common import RemoteFile, Scalar, Threshold

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image


def valid_points(pair: ImagePair) -> np.ndarray:
    """(N) bool: keypoints that are finite in both images."""
    import numpy as np

    in_source = np.isfinite(pair.source_points).all(axis=1)
    in_target = np.isfinite(pair.target_points).all(axis=1)
    valid: np.ndarray = in_source & in_target
    return valid


class ImageSource(Protocol):
    """One picture of a dataset, not yet read."""

    @property
    def name(self) -> str:
        """The identifier, by class and name, such as `cat-2008_000591`. Two names may be one picture."""

    def identity(self) -> str:
        """Hash of the picture's content, plus a mark if it is mirrored: the key of caches and noise.

        Raises `DataError` where the file is missing.
        """

    def open(self) -> PIL.Image.Image:
        """The picture, decoded to RGB and mirrored where it should be.

        Raises `DataError` where it is broken.
        """


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images and the keypoints they share.

    Attributes:
        pair_id: unique in its split.
        source, target: the pictures.
        source_size, target_size: their sizes in original pixels.
        category: the dataset's own name of the object's kind.
        source_points, target_points: (N, 2) float64, (x, y) in original pixels; row i of both is one
            keypoint. A row with NaN in either image is an absent point: it is neither predicted nor counted.
        keypoint_ids: N names of the keypoints, unique in the pair.
        source_box, target_box: (x1, y1, x2, y2) in original pixels, where the dataset has them.
        labels: the dataset's own difficulty labels, such as `viewpoint_variation: 2`; None for one that the
            pair does not have.
        source_keypoints, target_keypoints: names of all keypoints that are annotated in each picture, those
            that the other lacks included; None where the dataset does not say it.

    A pair that breaks one of these rules fails by name when its split is read, and the others are scored.
    """

    pair_id: str
    source: ImageSource
    target: ImageSource
    source_size: Size
    target_size: Size
    category: str
    source_points: np.ndarray
    target_points: np.ndarray
    keypoint_ids: tuple[str, ...]
    source_box: tuple[float, float, float, float] | None = None
    target_box: tuple[float, float, float, float] | None = None
    labels: Mapping[str, Scalar] = field(default_factory=dict)
    source_keypoints: tuple[str, ...] | None = None
    target_keypoints: tuple[str, ...] | None = None


class PairDataset(Protocol):
    """One split of a dataset: a sequence of pairs, each read when it is asked for."""

    @property
    def pair_ids(self) -> Sequence[str]:
        """The pairs' identifiers in the dataset's own order, known without reading the pairs.

        An entry that repeats an earlier one has its identifier; such a pair is scored once.
        """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` where its annotation is missing or damaged."""


def is_labelled_dataset(dataset: object) -> TypeGuard[LabelledDataset]:
    """Says whether a dataset, or one that it wraps, has a name of its own in tables."""
    return hasattr(dataset, "label")


def is_threshold_dataset(dataset: object) -> TypeGuard[ThresholdDataset]:
    """Says whether a dataset, or one that it wraps, says which length PCK's alpha multiplies."""
    return hasattr(dataset, "threshold")


def is_noted_dataset(dataset: object) -> TypeGuard[NotedDataset]:
    """Says whether a dataset, or one that it wraps, has notes on how it was read."""
    return isinstance(getattr(dataset, "notes", None), tuple | list)


def is_factual_dataset(dataset: object) -> TypeGuard[FactualDataset]:
    """Says whether a dataset, or one that it wraps, says facts of itself that records keep."""
    return isinstance(getattr(dataset, "facts", None), Mapping)


def is_masked_dataset(dataset: object) -> TypeGuard[MaskedDataset]:
    """Says whether a dataset, or one that it wraps, knows which pixels show an object."""
    return hasattr(dataset, "masks")


@runtime_checkable
class LabelledDataset(Protocol):
    """A `PairDataset` that has a name of its own in tables, such as the name of the user's folder."""

    @property
    def label(self) -> str:
        """Name of the dataset in tables and cell ids, in place of `DatasetSpec.name`."""


@runtime_checkable
class ThresholdDataset(Protocol):
    """A `PairDataset` whose files say which length PCK's alpha multiplies."""

    @property
    def threshold(self) -> Threshold:
        """The length that PCK's alpha multiplies, in place of `DatasetSpec.threshold`."""


@runtime_checkable
class NotedDataset(Protocol):
    """A `PairDataset` that says how it was read, such as which of two lists was there."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the numbers should know, one line each; asked for after all pairs were read."""


@runtime_checkable
class FactualDataset(Protocol):
    """A `PairDataset` that says facts of itself, such as the hash of a list that was made here."""

    @property
    def facts(self) -> Mapping[str, str]:
        """Name -> value, both texts that are the same on every machine: no paths, no times.

        Each record of the split has them (`provenance.facts`). Asked for after all pairs were read.
        """


@runtime_checkable
class MaskedDataset(Protocol):
    """A `PairDataset` that knows which pixels show an object: some matchers are trained on them."""

    def masks(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks of source and target of pair number `index`.

        Each is (height, width) bool in original pixels, as the picture is used (mirrored where it is), True
        where it shows the pair's object. Raises `DataError` where one is missing or damaged.
        """


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset.

    Attributes:
        name: as on the command line.
        open: (folder, split) -> the pairs. Raises `UserError` that says what to fetch where the folder lacks
            something.
        home: folder below `--data-root`; empty for a dataset that needs none.
        splits: names of its splits, none of them with a `[`; the default one first.
        threshold: the length that PCK's alpha multiplies.
        prompt_names: category -> the word that prompts use for it, where that differs from the category's own
            name.
        counts: split -> official numbers of "pairs", "images" (different names) and "keypoints", as far as
            they are known. A split with another number of pairs is told before a run and not ranked.
        symmetric_keypoints: category -> groups of keypoint names that look alike because the object is
            symmetric, such as both eyes; a name is in one group at most. The key "" stands for each category
            that has no entry of its own.
        mirror_partners: category -> keypoint -> the keypoint that takes its place when the picture is
            mirrored, each the other's partner; those without an entry stay what they are. The key ""
            as above.
        files: downloads of `bench data fetch`.
        advice: how to get a dataset that no command can download, such as `unpack X in its folder`.
        prepare: folder -> lines for the user; writes what `open` needs and the official files lack, such as a
            list of pairs, for `bench data prepare`. Raises `UserError` where an official file is missing.
        download_bytes: about what a fetch brings, in bytes; None where nobody says it.
        citation: BibTeX of the paper that brought it, for `bench cite`; empty where there is none.
    """

    name: str
    open: Callable[[Path, str], PairDataset]
    home: str = ""
    splits: tuple[str, ...] = ("test",)
    threshold: Threshold = "box"
    prompt_names: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    symmetric_keypoints: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    mirror_partners: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: tuple[RemoteFile, ...] = ()
    advice: str = ""
    prepare: Callable[[Path], Sequence[str]] | None = None
    download_bytes: int | None = None
    description: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` where the citation is not BibTeX."""
        check_citation(f"dataset '{self.name}'", self.citation)
