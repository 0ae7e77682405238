"""Ranks with intervals, from simultaneous intervals of all differences between rows.

Rows are scored on the same pairs, so their errors are correlated and their differences are better known than
they are themselves. All differences are drawn together, and the interval of each is as many standard errors
wide as the largest of all draws' deviations needs (maximum statistic; Romano and Wolf 2005, Econometrica 73):
in 95 % of all experiments every one of them holds the true difference. The maximum is that of deviations on
the normal scale, and each interval has its own Student's quantile at that level: a difference that few images
tell of lengthens no other. A row's rank is then at best one more than the number of rows that are above it
beyond doubt, and at worst the number of rows that are not below it (Mogstad, Romano, Shaikh and Wilhelm 2024,
Review of Economic Studies 91). Ranks of the draws themselves would be too sure of rows that are nearly equal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harness.scoring.bootstrap import LEVEL, Estimates, quantile_factor, tail_factors

POWER = 0.8
"""Share of experiments in which a difference of the detectable size is found."""


class Ranks(NamedTuple):
    """Ranks of n rows, from 1, with 95 % intervals that hold for all of them together."""

    best: np.ndarray
    """(n,)"""
    worst: np.ndarray
    """(n,)"""
    difference: np.ndarray
    """(n, n) of each row less each other."""
    low: np.ndarray
    """(n, n) lower end of its simultaneous 95 % interval; NaN with too few images."""
    high: np.ndarray
    detectable: np.ndarray
    """(n, n) least true difference that is told from zero in `POWER` of all experiments like this one; NaN
    likewise, and 0 on the diagonal."""


def rank_estimates(estimates: Estimates, seed: int = 0) -> Ranks:
    """Ranks the columns of estimates on the same pairs, the largest first."""
    from scipy.special import ndtr

    rows = len(estimates.value)
    errors, freedom = np.zeros((rows, rows)), np.ones((rows, rows))
    # The deviation that most exceeds its standard error, in each draw.
    largest = np.zeros(0)
    for row in range(rows - 1):
        contrast = estimates.contrast(_differences_from(row, rows))
        error = np.sqrt(contrast.spread.variance)
        error = np.where(contrast.is_known, error, np.nan)
        errors[row, row + 1 :] = errors[row + 1 :, row] = error
        freedom[row, row + 1 :] = freedom[row + 1 :, row] = contrast.spread.freedom
        # Rows of equal predictions differ by nothing in every draw.
        is_tested = error > 0
        if is_tested.any():
            # On the normal scale: a difference that is known by few images would lengthen all others.
            scale = (error * tail_factors(contrast.spread.freedom))[is_tested]
            most = (np.abs(contrast.draws(seed).deviations[:, is_tested]) / scale).max(axis=1)
            largest = np.maximum(largest, most) if len(largest) else most
    normal = float(np.quantile(largest, LEVEL)) if len(largest) else 0.0
    # Few seeds have draws with shorter tails than the normal distribution's: at least as long as the draws.
    critical = np.maximum(quantile_factor(freedom, float(ndtr(normal))), normal * tail_factors(freedom))
    # Rounded, so that no rank depends on the order of adding.
    difference = np.round(estimates.value[:, None] - estimates.value[None, :], 12)
    low = difference - critical * errors
    high = difference + critical * errors
    best = 1 + (high < 0).sum(axis=1)
    worst = rows - (low > 0).sum(axis=1)
    return Ranks(best, worst, difference, low, high, detectable_difference(errors, critical))


def detectable_difference(error: np.ndarray, critical: np.ndarray | float) -> np.ndarray:
    """The least true difference that is told from zero in `POWER` of all experiments like this one.

    Args:
        error: standard error of the difference.
        critical: how many standard errors beyond zero a difference must be to be told from it.
    """
    from scipy.special import ndtri

    least: np.ndarray = error * (critical + float(ndtri(POWER)))
    return least


def detectable_estimates(estimates: Estimates) -> np.ndarray:
    """The least true value of each estimate that `POWER` of all experiments like this one tell from zero.

    (K,); NaN where the spread is not known, and where there is none: equal predictions tell nothing of it.
    """
    spread = estimates.spread
    critical = quantile_factor(spread.freedom, (1 + LEVEL) / 2)
    least = detectable_difference(np.sqrt(spread.variance), critical)
    return np.where(estimates.is_known & (spread.variance > 0), least, np.nan)


def _differences_from(row: int, rows: int) -> np.ndarray:
    """Returns (rows, later rows) weights of the row less each later one."""
    weights = np.zeros((rows, rows - row - 1))
    weights[row] = 1
    weights[np.arange(row + 1, rows), np.arange(rows - row - 1)] = -1
    return weights
