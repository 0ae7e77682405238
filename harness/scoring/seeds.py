"""Scores of one method under several seeds: their mean, with intervals over images and seeds together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import UserError
from harness.frames import Size
from harness.scoring.averages import slice_columns, weigh_pairs
from harness.scoring.bootstrap import estimate
from harness.scoring.correctness import count_correct, image_numbers, scorable_points
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
    weighting = weigh_pairs(averaging, total, categories)
    numerators, weights = slice_columns(right, inside, weighting)
    estimates = estimate(numerators, weights, images, weighting.strata)
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
