"""Confidence intervals by bootstrap over image pairs.

Keypoints of one pair share their images and are correlated, so whole pairs are drawn, never single points.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 2000

LEVEL = 0.95

_CHUNK = 100
"""Draws at a time, to bound memory."""


class Interval(NamedTuple):
    """Ends of confidence intervals, NaN where fewer than two pairs leave none."""

    low: np.ndarray
    high: np.ndarray


def bootstrap_ratios(numerators: np.ndarray, denominators: np.ndarray, seed: int = 0) -> Interval:
    """95 % percentile intervals of sum(numerator) / sum(denominator), clustered by image pair.

    With the pair's PCK over 1 this is the mean over images; with correct points over points, PCK per point. A
    column whose denominator is zero for the pairs outside a slice gives that slice's interval, so that all
    slices share one set of draws.

    Args:
        numerators, denominators: (pairs, K) non-negative.
    """
    pairs, columns = numerators.shape
    low = np.full(columns, np.nan)
    high = np.full(columns, np.nan)
    if not pairs:
        return Interval(low, high)
    random = np.random.default_rng(seed)
    # Side by side, so that one product adds up both.
    parts = np.hstack([numerators, denominators]).astype(np.float64)
    ratios = np.empty((RESAMPLES, columns))
    for start in range(0, RESAMPLES, _CHUNK):
        # How often each pair is drawn stands for the drawn pairs: their sums are a product then.
        draws = [random.integers(0, pairs, pairs) for _ in range(_CHUNK)]
        counts = np.stack([np.bincount(draw, minlength=pairs) for draw in draws])
        sums = counts.astype(np.float64) @ parts
        # A draw may hold no pair of a small slice: its ratio is NaN, and `nanquantile` leaves it out.
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios[start : start + _CHUNK] = sums[:, :columns] / sums[:, columns:]
    # Two pairs at least: a single one has no spread.
    is_enough = (denominators > 0).sum(axis=0) >= 2
    if is_enough.any():
        tail = (1 - LEVEL) / 2
        ends = np.nanquantile(ratios[:, is_enough], [tail, 1 - tail], axis=0)
        low[is_enough], high[is_enough] = ends
    return Interval(low, high)
