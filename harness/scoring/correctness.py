"""The one way from predicted points to correct keypoints, of scores, comparisons, places and galleries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.errors import DataError
from harness.frames import Frame, Size
from harness.scoring.averages import PointCounts
from harness.scoring.criteria import Criterion
from harness.scoring.own_lengths import own_lengths
from harness.scoring.pck import count_per_pair, distances, is_correct, threshold_length
from harness.scoring.points import Points
from harness.scoring.protocols import frame_of
from harness.scoring.thresholds import kind_of, lacking_pairs
from harness.scoring.truth import Truth, extents


def correct_keypoints(truth: Truth, points: Points, criterion: Criterion, fed: Size) -> np.ndarray:
    """Returns (keypoints of all pairs, alphas) bool: the keypoints that are correct.

    Args:
        points: of pairs that can be scored; see `scorable_points`.
        fed: size in pixels of the image the extractor was fed.

    Raises:
        DataError: if a pair lacks the protocol's threshold.
    """
    protocol = criterion.protocol
    numbers = truth.numbers(points.pair_ids)
    true = truth.points[truth.rows(numbers)]
    errors = np.empty(len(true))
    # Pairs of one size share a frame: the arithmetic is that of one pair, over all of them at once.
    for size, pairs, rows in _by_size(truth.sizes[numbers], points.counts):
        frame = frame_of(protocol, size, fed)
        lengths = _threshold_lengths(truth, numbers[pairs], criterion, frame, fed)
        distance = distances(protocol, frame, true[rows], points.coordinates[rows])
        errors[rows] = distance / np.repeat(lengths, points.counts[pairs])
    # A relative error does not depend on alpha: measured once, compared with each.
    columns = [is_correct(errors, alpha, protocol.strict) for alpha in criterion.alphas]
    return np.stack(columns, axis=1)


def _by_size(sizes: np.ndarray, counts: np.ndarray) -> Iterator[tuple[Size, np.ndarray, np.ndarray]]:
    """Yields each size with the numbers of its pairs and of their points, both in ascending order.

    Args:
        sizes: (P, 2).
        counts: (P,) points of each pair.
    """
    kinds, kind_of_pair = np.unique(sizes, axis=0, return_inverse=True)
    kind_of_pair = kind_of_pair.reshape(-1)
    pairs_of = _members(kind_of_pair, len(kinds))
    points_of = _members(np.repeat(kind_of_pair, counts), len(kinds))
    for (width, height), pairs, points in zip(kinds.tolist(), pairs_of, points_of, strict=True):
        yield Size(width, height), pairs, points


def _members(kinds: np.ndarray, count: int) -> list[np.ndarray]:
    """For each kind, from 0, the positions at which it is."""
    order = np.argsort(kinds, kind="stable")
    return np.split(order, np.searchsorted(kinds[order], np.arange(1, count)))


def _threshold_lengths(
    truth: Truth, numbers: np.ndarray, criterion: Criterion, frame: Frame, fed: Size
) -> np.ndarray:
    """Returns (pairs,) what alpha multiplies on pairs whose target images have one size.

    Args:
        numbers: of the pairs.
        frame: of these pairs.

    Raises:
        DataError: if a pair has none.
    """
    kind = kind_of(criterion, truth)
    if callable(kind):
        own: np.ndarray = own_lengths(truth, criterion.protocol, fed)[numbers]
        for number in numbers[np.isnan(own)]:
            pair_id = truth.pair_ids[number]
            name = criterion.protocol.name
            raise DataError(
                f"protocol '{name}': its threshold has a length on pair {pair_id} in original pixels, and "
                "none in the protocol's frame; return None in both or in neither"
            )
        return own
    if not isinstance(kind, str):
        return np.full(len(numbers), float(kind))
    counts = np.full(len(numbers), 2)
    if kind == "box":
        corners = truth.boxes[numbers].reshape(-1, 2)
    elif kind == "image":
        corners = np.tile([(0.0, 0.0), frame.original], (len(numbers), 1))
    else:
        corners, counts = truth.points[truth.rows(numbers)], truth.counts[numbers]
    lengths = extents(frame.from_original(corners), counts)
    for number in numbers[~(lengths > 0)]:
        # Raises the error that says what is wrong.
        threshold_length(kind, truth.target(truth.pair_ids[number]), frame)
    return lengths


def scorable_points(truth: Truth, points: Points, criterion: Criterion) -> Points:
    """The points of those pairs that can be scored under a criterion: with a length, and a point to count."""
    lacking = lacking_pairs(truth, criterion)
    if not lacking and not truth.only:
        return points
    return points.of_pairs(truth.counted_pairs.intersection(points) - lacking.keys())


def count_correct(
    truth: Truth, points: Points, criterion: Criterion, fed: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Counts correct keypoints in each pair: (P, alphas) correct ones and (P,) all of them. See
    `correct_keypoints`.
    """
    is_right = correct_keypoints(truth, points, criterion, fed)
    is_counted = counted_points(truth, points)
    return count_per_pair(is_right[is_counted], points.pair_of[is_counted], len(points))


def counted_points(truth: Truth, points: Points) -> np.ndarray:
    """Returns (keypoints of all pairs,) bool: those that count."""
    is_counted: np.ndarray = truth.is_counted[truth.rows(truth.numbers(points.pair_ids))]
    return is_counted


def count_in_point_slices(
    truth: Truth, points: Points, criterion: Criterion, fed: Size
) -> dict[str, PointCounts]:
    """Slice of points -> its points in each pair, correct ones and all; without slices that have none. See
    `correct_keypoints`.
    """
    if not truth.point_slices or truth.only:
        return {}
    is_right = correct_keypoints(truth, points, criterion, fed)
    rows = truth.rows(truth.numbers(points.pair_ids))
    counts: dict[str, PointCounts] = {}
    for name, flags in truth.point_slices.items():
        is_inside = flags[rows]
        if is_inside.any():
            counts[name] = PointCounts(
                *count_per_pair(is_right[is_inside], points.pair_of[is_inside], len(points))
            )
    return counts


def image_numbers(truth: Truth, pair_ids: Sequence[str]) -> np.ndarray:
    """Returns (P, 2) numbers of each pair's source and target image, from 0; an image and its mirror image
    are one.
    """
    return number_images(image_identities(truth, pair_ids))


def image_identities(truth: Truth, pair_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Identities of each pair's source and target image; an image and its mirror image are one."""
    return [truth.identify(truth.number_of[pair_id]) for pair_id in pair_ids]


def number_images(identities: Sequence[tuple[str, str]]) -> np.ndarray:
    """Returns (P, 2) numbers of the images of P pairs, from 0, in order of identity."""
    _, numbers = np.unique(np.array(identities, dtype=object).astype(str), return_inverse=True)
    return numbers.reshape(-1, 2)
