"""Paired differences on pairs that share images: intervals and p-values by bootstrap over images, McNemar's
test, Holm's correction.

Image pairs are no independent draws: SPair-71k's 12,234 test pairs are made of about 500 images, and an image
that is hard for a method is hard in each of its 50 pairs. Such data are *dyadic*: two pairs are correlated if
they share an image, in whichever role. Papers of the field give no intervals; evaluations elsewhere draw
clusters of one kind (Miller 2024, arXiv 2411.00640), but no one image owns a pair, and connected components
are whole categories, too few to draw from. So images are drawn, and a pair follows both of its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.scoring.intervals import LEVEL

if TYPE_CHECKING:
    import scipy.sparse

RESAMPLES = 10_000

_CHUNK = 250


class Difference(NamedTuple):
    """Differences and what is known of them, (K,) each; `low`, `high` and `p` are NaN with fewer than two
    pairs of different images.
    """

    value: np.ndarray
    low: np.ndarray
    """Lower end of the 95 % percentile interval."""
    high: np.ndarray
    p: np.ndarray
    """Two-sided, for no difference, from the same draws: at least 2 / (RESAMPLES + 1)."""


def image_bootstrap(
    numerators: np.ndarray, denominators: np.ndarray, images: np.ndarray, seed: int = 0
) -> Difference:
    """Differences of the form sum(numerator) / sum(denominator), with intervals by bootstrap over images.

    Args:
        numerators, denominators, images: see `image_draws`.
    """
    drawn = image_draws(numerators, denominators, images, seed)
    return drawn.difference()


class Draws(NamedTuple):
    """Differences and what they come to on other images."""

    value: np.ndarray
    """(K,)"""
    deviations: np.ndarray
    """(RESAMPLES, K), to be added to `value`."""
    known: np.ndarray
    """(K,) bool: whether there are two pairs of different images, without which nothing is known of the
    spread."""

    def difference(self) -> Difference:
        """Intervals and p-values from the draws."""
        # Rounded, so that no tie hangs on the order of adding.
        drawn = np.round(self.value + self.deviations, 12)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
        beyond = np.minimum((drawn <= 0).sum(axis=0), (drawn >= 0).sum(axis=0))
        p = np.minimum(1, 2 * (1 + beyond) / (RESAMPLES + 1))
        return Difference(self.value, *(np.where(self.known, one, np.nan) for one in (low, high, p)))


def mean_of(draws: Sequence[Draws]) -> Draws:
    """The mean of differences on several datasets that share no image. Their draws must come from different
    seeds.
    """
    value, deviations = (
        sum(getattr(one, name) for one in draws) / len(draws) for name in ("value", "deviations")
    )
    return Draws(value, deviations, np.logical_and.reduce([one.known for one in draws]))


def image_draws(numerators: np.ndarray, denominators: np.ndarray, images: np.ndarray, seed: int = 0) -> Draws:
    """Draws of differences of the form sum(numerator) / sum(denominator) by bootstrap over images.

    A score bootstrap (Kline and Santos 2012, J. Econometric Methods 1): a pair's score is what it adds to the
    difference, an image's the sum over its pairs, and images are drawn with replacement. That is the
    first-order part of the pigeonhole bootstrap (Owen 2007, Ann. Appl. Stat. 1), where a pair weighs the
    product of its images' counts, and has no ratios that blow up in small slices.

    Such draws count a pair's own variance once for each of its images. The dyadic cluster-robust variance
    (Aronow, Samii and Assenova 2015, Political Analysis 23, after Cameron, Gelbach and Miller 2011, JBES 29)
    takes one of them off; draws are shrunk to it. Where it is below the variance of independent pairs, as
    chance can make it, pairs are drawn instead.

    Args:
        numerators, denominators: (pairs, K); both are zero outside a column's slice, and no column is zero
            throughout.
        images: (pairs, 2) numbers of the source and the target image, from 0.
    """
    total = denominators.sum(axis=0)
    value = numerators.sum(axis=0) / total
    scores = (numerators - value * denominators) / total
    _, dyads = np.unique(np.sort(images, axis=1), axis=0, return_inverse=True)
    other = images[:, 0] != images[:, 1]
    rows = np.arange(len(images))
    of_image = _sums(np.concatenate([rows, rows[other]]), np.concatenate([images[:, 0], images[other, 1]]))
    of_dyad = _sums(rows, dyads)

    inside = (denominators > 0).astype(np.float64)
    number, number_of_dyads = ((one @ inside > 0).sum(axis=0) for one in (of_image, of_dyad))
    by_image, by_dyad = ((one @ scores) / _leverage(one @ denominators, total) for one in (of_image, of_dyad))
    twice, independent = (by_image**2).sum(axis=0), (by_dyad**2).sum(axis=0)
    robust = twice - ((of_dyad @ (scores * other[:, None])) ** 2).sum(axis=0)
    shared = robust > independent
    shrunk = np.sqrt(robust[shared] / twice[shared])
    deviations = np.empty((RESAMPLES, len(total)))
    deviations[:, shared] = _deviations(by_image[:, shared] * shrunk * _tails(number[shared]), seed)
    deviations[:, ~shared] = _deviations(by_dyad[:, ~shared] * _tails(number_of_dyads[~shared]), seed)

    return Draws(value, deviations, number_of_dyads >= 2)


def _leverage(parts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """What residuals of clusters are too small by, as the mean follows the clusters: CR2 of Bell and
    McCaffrey (2002), one regressor.
    """
    root: np.ndarray = np.sqrt(1 - parts / total)
    # All pairs have this image: its sum is zero whatever it is divided by.
    return np.where(root > 0, root, 1)


def _tails(clusters: np.ndarray) -> np.ndarray:
    """Student's quantile over the normal one: few clusters tell little about their own spread (Cameron and
    Miller 2015, JHR 50).
    """
    from scipy.stats import norm, t

    tail = (1 - LEVEL) / 2
    wider: np.ndarray = t.ppf(tail, np.maximum(clusters - 1, 1)) / norm.ppf(tail)
    return wider


def _sums(rows: np.ndarray, clusters: np.ndarray) -> scipy.sparse.csr_array:
    """(clusters, pairs) matrix that adds up rows of a cluster."""
    import scipy.sparse

    return scipy.sparse.csr_array((np.ones(len(rows)), (clusters, rows)))


def _deviations(scores: np.ndarray, seed: int) -> np.ndarray:
    """(RESAMPLES, K) sums of as many rows as there are, drawn with replacement, less the sum of all.

    Args:
        scores: (clusters, K).
    """
    clusters, columns = scores.shape
    random = np.random.default_rng(seed)
    found = np.empty((RESAMPLES, columns))
    for start in range(0, RESAMPLES if columns else 0, _CHUNK):
        times = np.stack(
            [np.bincount(random.integers(0, clusters, clusters), minlength=clusters) for _ in range(_CHUNK)]
        )
        found[start : start + _CHUNK] = (times - 1.0) @ scores
    return found


def mcnemar(only_first: int, only_other: int) -> float:
    """Exact two-sided p-value of McNemar's test (1947): discordant keypoints fall on either side like a fair
    coin.

    It takes keypoints as independent. Those of one pair are not, so p is too small as far as they agree.

    Args:
        only_first, only_other: keypoints that one of two runs alone got right.
    """
    from scipy.stats import binomtest

    discordant = only_first + only_other
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, step down (Holm 1979, Scand. J. Statistics 6): valid however the
    tests depend on each other.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(one) for one in adjusted]
