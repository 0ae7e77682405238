"""From stored predictions to the numbers of a record."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.frames import Size
from harness.records.schema import Score
from harness.records.slices import CATEGORY, shown_labels, slice_name
from harness.scoring.averages import PointCounts, all_columns
from harness.scoring.bootstrap import estimate
from harness.scoring.correctness import count_correct, count_in_point_slices, image_numbers, scorable_points
from harness.scoring.criteria import Criterion
from harness.scoring.pck import percent
from harness.scoring.points import Points, select_points
from harness.scoring.thresholds import threshold_text
from harness.scoring.truth import Truth
from harness.specs import AVERAGINGS

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class _Pairs:
    """P pairs that are scored together.

    Attributes:
        categories: of each pair.
        images: (P, 2) numbers of its images.
        slices: name -> (P,) bool.
        point_slices: name -> its points in each pair.
    """

    categories: Sequence[str]
    images: np.ndarray
    slices: Mapping[str, np.ndarray]
    point_slices: Mapping[str, PointCounts]

    def sizes(self, total: np.ndarray) -> dict[str, _Size]:
        """Slice -> its size, those of pairs first.

        Args:
            total: (P,) keypoints of each pair.
        """
        sizes = {name: self._size(is_inside, total) for name, is_inside in self.slices.items()}
        for name, part in self.point_slices.items():
            sizes[name] = self._size(part.total > 0, part.total)
        return sizes

    def _size(self, is_inside: np.ndarray, total: np.ndarray) -> _Size:
        images = len(np.unique(self.images[is_inside]))
        return _Size(int(is_inside.sum()), images, int(total[is_inside].sum()))


class _Size(NamedTuple):
    """Numbers of a slice's pairs, of their different images, and of its keypoints."""

    pairs: int
    images: int
    keypoints: int


class _Share(NamedTuple):
    """A score from 0 to 1 with its interval, whose ends are NaN where there is none."""

    value: float
    low: float
    high: float


def slices_of(truth: Truth, pair_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Slices of a split's pairs: name -> (pairs,) bool.

    `all` comes first, then each category and each value of each difficulty label, in order of name.
    """
    numbers = truth.numbers(pair_ids)
    slices = {"all": np.ones(len(numbers), dtype=bool)}
    _add_slices(slices, CATEGORY, [truth.categories[number] for number in numbers])
    pair_labels = [truth.labels[number] for number in numbers]
    labels: set[str] = set()
    for values in pair_labels:
        labels.update(values)
    for label, shown in sorted(shown_labels(labels).items()):
        _add_slices(slices, shown, [str(values.get(label, "")) for values in pair_labels])
    return slices


def _add_slices(slices: dict[str, np.ndarray], label: str, values: Sequence[str]) -> None:
    # Pairs without this label are in none of its slices.
    for value in sorted(set(values) - {""}):
        slices[slice_name(label, value)] = np.array([pair_value == value for pair_value in values])


def score_points(
    truth: Truth, points: Points, localizer: str, criterion: Criterion, fed: Size
) -> list[Score]:
    """PCK of one localizer under one protocol: every alpha, averaging and slice, with intervals.

    Pairs that lack the protocol's threshold are left out.

    Args:
        points: those that the localizer predicted.
        fed: size in pixels of the image the extractor was fed.
    """
    points = scorable_points(truth, points, criterion)
    if not points:
        return []
    right, total = count_correct(truth, points, criterion, fed)
    pair_ids = list(points)
    pairs = _Pairs(
        [truth.categories[number] for number in truth.numbers(pair_ids)],
        image_numbers(truth, pair_ids),
        slices_of(truth, pair_ids),
        count_in_point_slices(truth, points, criterion, fed),
    )
    return _scores(localizer, criterion, pairs, right, total)


def score_all(
    truth: Truth,
    predictions: pa.Table,
    criteria: Sequence[Criterion],
    fed: Size,
    path: Path,
) -> tuple[list[Score], dict[str, str]]:
    """Scores every localizer under every criterion, in order of protocol.

    Args:
        criteria: those that apply to the split.
        path: file of the predictions, for the message of an error.

    Returns:
        The scores, and for each protocol what its alpha multiplies.

    Raises:
        UserError: if the predictions are not those of the split.
    """
    criteria = sorted(criteria, key=lambda criterion: criterion.protocol.name)
    points: dict[str, Points] = {}
    for localizer in sorted(set(predictions["localizer"].to_pylist())):
        points[localizer] = select_points(truth, predictions, localizer, path)
    scores: list[Score] = []
    for criterion in criteria:
        for localizer, localizer_points in points.items():
            scores += score_points(truth, localizer_points, localizer, criterion, fed)
    thresholds: dict[str, str] = {}
    for criterion in criteria:
        thresholds[criterion.protocol.name] = threshold_text(criterion, truth)
    return scores, thresholds


def _scores(
    localizer: str, criterion: Criterion, pairs: _Pairs, right: np.ndarray, total: np.ndarray
) -> list[Score]:
    """
    Args:
        right, total: (P, alphas) correct keypoints and (P,) keypoints of each pair.
    """
    shares: dict[tuple[str, str, float], _Share] = {}
    sizes = pairs.sizes(total)
    for averaging in AVERAGINGS:
        numerators, weights, strata = all_columns(
            averaging, PointCounts(right, total), pairs.categories, pairs.slices, pairs.point_slices
        )
        estimates = estimate(numerators, weights, pairs.images, strata)
        low, high = estimates.draws().share_interval()
        keys = itertools.product(sizes, criterion.alphas)
        for column, (name, alpha) in enumerate(keys):
            shares[name, averaging, alpha] = _Share(estimates.value[column], low[column], high[column])
    scores: list[Score] = []
    for name, averaging, alpha in itertools.product(sizes, AVERAGINGS, criterion.alphas):
        share_of = shares[name, averaging, alpha]
        is_known = not np.isnan(share_of.low)
        scores.append(
            Score(
                localizer=localizer,
                protocol=criterion.protocol.name,
                averaging=averaging,
                alpha=alpha,
                slice=name,
                pck=percent(share_of.value),
                low=percent(share_of.low) if is_known else None,
                high=percent(share_of.high) if is_known else None,
                **sizes[name]._asdict(),
            )
        )
    return scores
