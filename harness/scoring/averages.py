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
