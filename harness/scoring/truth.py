"""The truth of a split's pairs: what scores need to know of them besides predictions, in arrays."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from harness.datasets.checks import LEAST_LENGTH, check_text, threshold_problem
from harness.datasets.images import MIRRORED
from harness.datasets.splits import SplitIndex, Target
from harness.frames import Size
from harness.scoring.geometry import geometry_slices
from harness.specs import ImageSource, Scalar, Threshold


@dataclass(frozen=True, eq=False)
class Truth:
    """Pairs with their true points, in order of name, and each pair's points in order of name.

    The order is the same wherever the truth comes from, so that sums over pairs are the same to the last bit.

    Attributes:
        dataset, split: as records name them.
        threshold: the length that PCK's alpha multiplies where a criterion does not choose one.
        lacks: lengths that no pair of the whole split has, of which these may be a part.
        pair_ids: P pairs with a point that is there in both images, sorted.
        keypoint_ids: N names of those points: the first pair's, sorted, then the second pair's, and so on.
        starts: (P + 1,) number of each pair's first point; N at the end.
        points: (N, 2) float64, original pixels of the target image.
        sizes: (P, 2) width and height of the target image.
        boxes: (P, 4) float64 (x1, y1, x2, y2) of the target object in original pixels; NaN where there is
            none.
        categories: P names.
        labels: P times the dataset's own difficulty labels.
        identify: number of a pair -> identities of source and target picture, by content, the same for a
            picture and its mirror image. Raises `DataError` where a picture is missing or has none.
        point_slices: name -> (N,) bool: slices of points, not of pairs; None where nobody says them, as in a
            file of an earlier version.
        only: the slice of points that alone count; empty where all do. Lengths that alpha multiplies are
            those of all points.
    """

    dataset: str
    split: str
    threshold: Threshold
    lacks: frozenset[Threshold]
    pair_ids: tuple[str, ...]
    keypoint_ids: tuple[str, ...]
    starts: np.ndarray
    points: np.ndarray
    sizes: np.ndarray
    boxes: np.ndarray
    categories: tuple[str, ...]
    labels: tuple[Mapping[str, Scalar], ...]
    identify: Callable[[int], tuple[str, str]]
    point_slices: Mapping[str, np.ndarray] | None = None
    only: str = ""

    @cached_property
    def is_counted(self) -> np.ndarray:
        """(N,) bool: the points that count."""
        if self.only:
            return (self.point_slices or {})[self.only]
        return np.ones(len(self.keypoint_ids), dtype=bool)

    @cached_property
    def counted_pairs(self) -> frozenset[str]:
        """The pairs with a point that counts."""
        if not self.only:
            return frozenset(self.pair_ids)
        numbers = np.flatnonzero(np.add.reduceat(self.is_counted, self.starts[:-1]))
        return frozenset(self.pair_ids[number] for number in numbers)

    @cached_property
    def number_of(self) -> Mapping[str, int]:
        """Pair -> its number."""
        return {pair_id: number for number, pair_id in enumerate(self.pair_ids)}

    def numbers(self, pair_ids: Iterable[str]) -> np.ndarray:
        """Returns (pairs,) their numbers."""
        return np.array([self.number_of[pair_id] for pair_id in pair_ids], dtype=np.int64)

    @cached_property
    def counts(self) -> np.ndarray:
        """(P,) number of points of each pair; at least 1."""
        return np.diff(self.starts)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the numbers of the points of some pairs, the first pair's before the second's, and so on.

        Args:
            numbers: (pairs,) of the pairs.
        """
        counts = self.counts[numbers]
        # Within its pair, each point lies as far behind the first as the points before it are many.
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows: np.ndarray = np.repeat(self.starts[numbers], counts) + within
        return rows

    @cached_property
    def number_of_name(self) -> Mapping[str, int]:
        """Name of a point -> its number among all names, in their order."""
        return {name: number for number, name in enumerate(sorted(set(self.keypoint_ids)))}

    @cached_property
    def keys(self) -> np.ndarray:
        """(N,) int64: a number for each point, in ascending order: its pair's times that of names, plus its
        name's.
        """
        names = np.array([self.number_of_name[name] for name in self.keypoint_ids], dtype=np.int64)
        pairs = np.repeat(np.arange(len(self.pair_ids)), self.counts)
        keys: np.ndarray = pairs * len(self.number_of_name) + names
        return keys

    def names(self, pair_id: str) -> tuple[str, ...]:
        """Names of a pair's points."""
        return self.keypoint_ids[self._part(pair_id)]

    def target(self, pair_id: str) -> Target:
        """A pair's points, in the order of `names`, with the size of its target image and the box."""
        number = self.number_of[pair_id]
        box = self.boxes[number]
        return Target(
            self.points[self._part(pair_id)],
            Size(*map(int, self.sizes[number])),
            None if np.isnan(box).any() else tuple(map(float, box)),  # type: ignore[arg-type]
        )

    def _part(self, pair_id: str) -> slice:
        number = self.number_of[pair_id]
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def lacking(self, kind: Threshold) -> Mapping[str, str]:
        """Pair -> the reason why it has no length that alpha could multiply."""
        if kind == "image":
            return {}
        if kind == "box":
            lengths = (self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1)
        else:
            lengths = extents(self.points, self.counts)
        problems: dict[str, str] = {}
        # NaN, where there is no box, is not a length either.
        for number in np.flatnonzero(~(lengths >= LEAST_LENGTH)):
            pair_id = self.pair_ids[number]
            target = self.target(pair_id)
            problems[pair_id] = threshold_problem(kind, target.box, target.points)
        return problems


def are_equal(truth: Truth, other: Truth, pair_ids: Sequence[str]) -> bool:
    """Says whether two truths say the same of some pairs that both have."""
    if truth is other:
        return True
    one, two = truth.numbers(pair_ids), other.numbers(pair_ids)
    if truth.threshold != other.threshold or not np.array_equal(truth.counts[one], other.counts[two]):
        return False
    rows_one, rows_two = truth.rows(one), other.rows(two)
    return (
        _have_equal_slices(truth, other, rows_one, rows_two)
        and np.array_equal(truth.points[rows_one], other.points[rows_two])
        and np.array_equal(truth.sizes[one], other.sizes[two])
        and np.array_equal(truth.boxes[one], other.boxes[two], equal_nan=True)
        and all(
            (truth.categories[a], truth.labels[a], truth.identify(a))
            == (other.categories[b], other.labels[b], other.identify(b))
            for a, b in zip(one.tolist(), two.tolist(), strict=True)
        )
        and all(
            truth.keypoint_ids[a] == other.keypoint_ids[b]
            for a, b in zip(rows_one.tolist(), rows_two.tolist(), strict=True)
        )
    )


def _have_equal_slices(truth: Truth, other: Truth, rows: np.ndarray, other_rows: np.ndarray) -> bool:
    ours, theirs = truth.point_slices, other.point_slices
    # A file of an earlier version says nothing, and contradicts nothing.
    if ours is None or theirs is None:
        return True
    names = ours.keys() | theirs.keys()
    nothing = np.zeros(len(rows), dtype=bool)
    return all(
        np.array_equal(
            ours[name][rows] if name in ours else nothing,
            theirs[name][other_rows] if name in theirs else nothing,
        )
        for name in names
    )


def extents(corners: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The larger extent, in x or y, of each of several sets of points.

    Args:
        corners: (N, 2) points of all sets, one set after another.
        counts: (P,) how many each set has; at least 1.

    Returns:
        (P,)
    """
    starts = np.cumsum(counts) - counts
    sides = np.maximum.reduceat(corners, starts) - np.minimum.reduceat(corners, starts)
    longest: np.ndarray = sides.max(axis=1)
    return longest


# As many as a command works on at a time; a run asks for that of each of its splits again and again.
@lru_cache(maxsize=16)
def truth_of(index: SplitIndex) -> Truth:
    """The truth of all pairs of a split that have a point to score."""
    pair_ids = sorted(pair_id for pair_id in index.pairs if pair_id not in index.excluded)
    pairs = [index.pairs[pair_id] for pair_id in pair_ids]
    names: list[list[str]] = []
    counts: list[int] = []
    points: list[np.ndarray] = []
    for pair_id in pair_ids:
        pair_names = index.keypoint_ids(pair_id)
        order = sorted(range(len(pair_names)), key=pair_names.__getitem__)
        names.append([pair_names[number] for number in order])
        counts.append(len(order))
        points.append(index.target(pair_id).points[order])
    boxes = [pair.target_box or (np.nan,) * 4 for pair in pairs]

    def identify(number: int) -> tuple[str, str]:
        pair = pairs[number]
        return _identity(pair.pair_id, pair.source), _identity(pair.pair_id, pair.target)

    lacks: set[Threshold] = set()
    if pairs and all(pair.target_box is None for pair in pairs):
        lacks.add("box")
    if pairs and max(counts) < 2:
        lacks.add("points")
    return Truth(
        dataset=index.label,
        split=index.split,
        threshold=index.threshold,
        lacks=frozenset(lacks),
        pair_ids=tuple(pair_ids),
        keypoint_ids=tuple(itertools.chain.from_iterable(names)),
        starts=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        points=np.concatenate([np.empty((0, 2)), *points]),
        sizes=np.array([pair.target_size for pair in pairs], dtype=np.int64).reshape(-1, 2),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        categories=tuple(pair.category for pair in pairs),
        labels=tuple(parse_labels(labels_text(pair.labels)) for pair in pairs),
        identify=identify,
        point_slices=geometry_slices(index, pairs, names),
    )


def _identity(pair_id: str, image: ImageSource) -> str:
    # By content, not by name: PF-WILLOW has a hundred names of seventy pictures.
    identity = image.identity().removesuffix(MIRRORED)
    return check_text(f"pair {pair_id}", "the identity of a picture", identity)


def labels_text(labels: Mapping[str, Scalar]) -> str:
    """A pair's labels as JSON, in order of name."""
    return json.dumps(dict(sorted(labels.items())), ensure_ascii=False)


# Many pairs have the same labels.
@lru_cache(maxsize=10_000)
def parse_labels(text: str) -> Mapping[str, Scalar]:
    """The labels in a text of `labels_text`."""
    labels: dict[str, Scalar] = json.loads(text)
    return labels
