"""Scores of one method under several seeds: their mean, with intervals over images and seeds together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import UserError
from harness.frames import Size
from harness.scoring.averages import PointCounts, all_columns
from harness.scoring.bootstrap import estimate
from harness.scoring.correctness import (
    count_correct,
    count_in_point_slices,
    image_numbers,
    scorable_points,
)
from harness.scoring.criteria import Criterion
from harness.scoring.points import Points
from harness.scoring.scores import slices_of
from harness.scoring.truth import Truth
from harness.specs import Averaging


class SeedScore(NamedTuple):
    """A share from 0 to 1, mean over seeds, with its 95 % interval, whose ends are NaN where it has none."""

    value: float
    low: float
    high: float
    images: int


def score_seeds(
    runs: Sequence[tuple[Truth, Points]],
    criterion: Criterion,
    fed: Size,
    averaging: Averaging,
    slices: Sequence[str] | None = None,
) -> dict[tuple[str, float], SeedScore]:
    """Scores of several seeds as one: (slice, alpha) -> the mean over seeds, images and seeds drawn together.

    Args:
        runs: predictions of each seed, and the truth of their pairs.
        fed: size in pixels of the image the extractor was fed.
        slices: names of those wanted; None for all.

    Raises:
        UserError: if seeds have predictions of different pairs, or of none that can be scored.
    """
    scorable = [(truth, scorable_points(truth, points, criterion)) for truth, points in runs]
    truth, first = scorable[0]
    pair_ids = first.pair_ids
    if not pair_ids:
        raise UserError("no pair can be scored")
    if any(points.pair_ids != pair_ids for _, points in scorable):
        raise UserError("seeds have predictions of different pairs")
    counts = [count_correct(own_truth, points, criterion, fed) for own_truth, points in scorable]
    # Each seed has the same keypoints.
    right, total = np.stack([count for count, _ in counts]), counts[0][1]
    inside = {
        name: is_inside
        for name, is_inside in slices_of(truth, pair_ids).items()
        if slices is None or name in slices
    }
    images = image_numbers(truth, pair_ids)
    categories = [truth.categories[number] for number in truth.numbers(pair_ids)]
    point_slices = _count_in_point_slices(scorable, criterion, fed, slices)
    numerators, weights, strata = all_columns(
        averaging, PointCounts(right, total), categories, inside, point_slices
    )
    inside |= {name: part.total > 0 for name, part in point_slices.items()}
    estimates = estimate(numerators, weights, images, strata)
    low, high = estimates.draws().share_interval()
    scores: dict[tuple[str, float], SeedScore] = {}
    column = 0
    for name, is_inside in inside.items():
        count = len(np.unique(images[is_inside]))
        for alpha in criterion.alphas:
            ends = float(low[column]), float(high[column])
            scores[name, alpha] = SeedScore(float(estimates.value[column]), *ends, count)
            column += 1
    return scores


def _count_in_point_slices(
    runs: Sequence[tuple[Truth, Points]], criterion: Criterion, fed: Size, slices: Sequence[str] | None
) -> dict[str, PointCounts]:
    """Slice of points -> (S, P, alphas) correct points under each seed, and all of them.

    A slice that the truth of some seed lacks, as one of an earlier version does, is left out.
    """
    counts = [count_in_point_slices(truth, points, criterion, fed) for truth, points in runs]
    joined: dict[str, PointCounts] = {}
    for name, first in counts[0].items():
        is_wanted = slices is None or name in slices
        if is_wanted and all(name in of_seed for of_seed in counts):
            joined[name] = PointCounts(np.stack([of_seed[name].right for of_seed in counts]), first.total)
    return joined
