"""The four averages of a score, as weights of pairs and strata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.specs import Averaging


class Weighting(NamedTuple):
    """An average of P pairs as a ratio of two sums over pairs, or as the mean of such ratios over strata.

    Attributes:
        divisor: (P,) a pair's correct keypoints are divided by it before they are added up.
        weight: (P,) what a pair adds to the sum below.
        strata: (P,) number of each pair's stratum, from 0.
    """

    divisor: np.ndarray
    weight: np.ndarray
    strata: np.ndarray


def weigh_pairs(averaging: Averaging, total: np.ndarray, categories: Sequence[str]) -> Weighting:
    """Makes the weights of an average.

    Args:
        total: (P,) keypoints of each pair.
        categories: of each pair; pairs without one are a category of their own.
    """
    ones = np.ones(len(total))
    strata = np.zeros(len(total), dtype=np.int64)
    if averaging in ("category-image", "category-point"):
        _, strata = np.unique(categories, return_inverse=True)
    if averaging in ("image", "category-image"):
        return Weighting(total, ones, strata)
    return Weighting(ones, total.astype(np.float64), strata)


class PointCounts(NamedTuple):
    """The points of P pairs that are in a slice of points.

    Attributes:
        right: (..., P, alphas) correct ones of each pair.
        total: (P,) all of them; 0 in pairs that are not in the slice.
    """

    right: np.ndarray
    total: np.ndarray


def all_columns(
    averaging: Averaging,
    counts: PointCounts,
    categories: Sequence[str],
    slices: Mapping[str, np.ndarray],
    point_slices: Mapping[str, PointCounts],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numerators and denominators as `slice_columns` has them, and (P,) the strata.

    Columns of slices of pairs come first, then those of slices of points.

    Args:
        counts: of all points.
        categories: of each pair.
    """
    weighting = weigh_pairs(averaging, counts.total, categories)
    parts = [slice_columns(counts.right, slices, weighting)]
    for part in point_slices.values():
        # A pair without such a point has no share: it is left out, and not divided by zero.
        own = weigh_pairs(averaging, np.maximum(part.total, 1), categories)
        parts.append(slice_columns(part.right, {"": part.total > 0}, own))
    numerators, denominators = zip(*parts, strict=True)
    return np.concatenate(numerators, axis=-1), np.concatenate(denominators, axis=-1), weighting.strata


def slice_columns(
    right: np.ndarray, slices: Mapping[str, np.ndarray], weighting: Weighting
) -> tuple[np.ndarray, np.ndarray]:
    """Numerators, (..., P, columns), and denominators, (P, columns), of an average in each slice.

    Columns are slices times alphas, the alphas of the first slice first.

    Args:
        right: (..., P, alphas) correct keypoints of each pair.
        slices: name -> (P,) bool.
    """
    inside = np.stack(list(slices.values()), axis=1).astype(np.float64)
    share = right / weighting.divisor[:, None]
    numerators = (share[..., None, :] * inside[:, :, None]).reshape(*right.shape[:-1], -1)
    return numerators, np.repeat(inside * weighting.weight[:, None], right.shape[-1], axis=1)
