"""Paired differences on pairs that share images.

Intervals and p-values by bootstrap over images, McNemar's test, Holm's correction.

Image pairs are not independent draws: SPair-71k's 12,234 test pairs are made of about 500 images, and an
image that is hard for a method is hard in each of its 50 pairs. Such data are *dyadic*: two pairs are
correlated if they share an image, in whichever role. Papers of the field give no intervals; evaluations
elsewhere draw clusters of one kind (Miller 2024, arXiv 2411.00640), but a pair belongs to no single image,
and connected components are whole categories, too few to draw from. So images are drawn, and a pair follows
both of its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.scoring.intervals import LEVEL

if TYPE_CHECKING:
    import scipy.sparse

RESAMPLES = 10_000

LEAST_P = 2 / (RESAMPLES + 1)
"""The least p-value that so many draws can give: the true one may be smaller."""

_CHUNK = 250
"""Draws at a time, to bound memory."""


class Difference(NamedTuple):
    """Differences with intervals and p-values, (K,) each.

    `low`, `high` and `p` are NaN with fewer than two pairs of different images.
    """

    value: np.ndarray
    low: np.ndarray
    """Lower end of the 95 % percentile interval."""
    high: np.ndarray
    p: np.ndarray
    """Two-sided, for no difference, from the same draws: at least `LEAST_P`."""


def image_bootstrap(
    numerators: np.ndarray,
    denominators: np.ndarray,
    images: np.ndarray,
    seed: int = 0,
) -> Difference:
    """Differences of the form sum(numerator) / sum(denominator), with intervals by bootstrap over images.

    Args:
        numerators, denominators, images: see `image_draws`.
    """
    return image_draws(numerators, denominators, images, seed).difference()


class Draws(NamedTuple):
    """Differences, and their deviations in draws of other images."""

    value: np.ndarray
    """(K,)"""
    deviations: np.ndarray
    """(RESAMPLES, K), to be added to `value`."""
    is_known: np.ndarray
    """(K,) bool: False with fewer than two pairs of different images, which leave the spread unknown."""

    def difference(self) -> Difference:
        """Intervals and p-values from the draws."""
        # Rounded, so that no tie depends on the order of adding.
        differences = np.round(self.value + self.deviations, 12)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(differences, [tail, 1 - tail], axis=0)
        below = (differences <= 0).sum(axis=0)
        above = (differences >= 0).sum(axis=0)
        # The measured difference counts as one of the draws, so that p is never 0; twice, for two sides.
        p = np.minimum(1, 2 * (1 + np.minimum(below, above)) / (RESAMPLES + 1))
        low = np.where(self.is_known, low, np.nan)
        high = np.where(self.is_known, high, np.nan)
        p = np.where(self.is_known, p, np.nan)
        return Difference(self.value, low, high, p)


def mean_of(draws: Sequence[Draws]) -> Draws:
    """The mean of differences on several datasets that share no image.

    Their draws must come from different seeds.
    """
    value, deviations, is_known = draws[0]
    for dataset_draws in draws[1:]:
        value = value + dataset_draws.value
        deviations = deviations + dataset_draws.deviations
        is_known = is_known & dataset_draws.is_known
    return Draws(value / len(draws), deviations / len(draws), is_known)


def image_draws(
    numerators: np.ndarray,
    denominators: np.ndarray,
    images: np.ndarray,
    seed: int = 0,
) -> Draws:
    """Draws differences of the form sum(numerator) / sum(denominator) by bootstrap over images.

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
    # What each pair adds to the difference; the sum over all pairs is zero.
    scores = (numerators - value * denominators) / total
    # A pair and its reverse, or several pairs of the same two images, are one dyad.
    _, dyads = np.unique(np.sort(images, axis=1), axis=0, return_inverse=True)
    is_mixed = images[:, 0] != images[:, 1]
    rows = np.arange(len(images))
    # A pair of an image with itself counts once for that image.
    pair_rows = np.concatenate([rows, rows[is_mixed]])
    of_image = _sums(pair_rows, np.concatenate([images[:, 0], images[is_mixed, 1]]))
    of_dyad = _sums(rows, dyads)

    inside = (denominators > 0).astype(np.float64)
    image_count = (of_image @ inside > 0).sum(axis=0)
    dyad_count = (of_dyad @ inside > 0).sum(axis=0)
    by_image = (of_image @ scores) / _leverage(of_image @ denominators, total)
    by_dyad = (of_dyad @ scores) / _leverage(of_dyad @ denominators, total)
    # Variances: with each pair's own part counted twice, of independent pairs, and dyadic cluster-robust.
    twice = (by_image**2).sum(axis=0)
    independent = (by_dyad**2).sum(axis=0)
    robust = twice - ((of_dyad @ (scores * is_mixed[:, None])) ** 2).sum(axis=0)
    # Columns whose pairs are correlated through their images; the others are drawn as independent pairs.
    shared = robust > independent
    shrunk = np.sqrt(robust[shared] / twice[shared])
    deviations = np.empty((RESAMPLES, len(total)))
    image_scores = by_image[:, shared] * shrunk * _tails(image_count[shared])
    deviations[:, shared] = _deviations(image_scores, seed)
    dyad_scores = by_dyad[:, ~shared] * _tails(dyad_count[~shared])
    deviations[:, ~shared] = _deviations(dyad_scores, seed)

    return Draws(value, deviations, dyad_count >= 2)


def _leverage(parts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The factor by which residuals of clusters are too small, as the mean follows the clusters.

    CR2 of Bell and McCaffrey (2002), one regressor.
    """
    root: np.ndarray = np.sqrt(1 - parts / total)
    # All pairs have this image: its sum is zero whatever it is divided by.
    return np.where(root > 0, root, 1)


def _tails(clusters: np.ndarray) -> np.ndarray:
    """Student's quantile over the normal one, since the spread of few clusters is uncertain itself.

    Cameron and Miller (2015, JHR 50).
    """
    from scipy.stats import norm, t

    tail = (1 - LEVEL) / 2
    # One cluster has no degree of freedom; its column is NaN in the end, and needs a number until then.
    freedom = np.maximum(clusters - 1, 1)
    wider: np.ndarray = t.ppf(tail, freedom) / norm.ppf(tail)
    return wider


def _sums(rows: np.ndarray, clusters: np.ndarray) -> scipy.sparse.csr_array:
    """Returns a (clusters, pairs) matrix that adds up the rows of each cluster."""
    import scipy.sparse

    return scipy.sparse.csr_array((np.ones(len(rows)), (clusters, rows)))


def _deviations(scores: np.ndarray, seed: int) -> np.ndarray:
    """Returns (RESAMPLES, K) sums of as many rows as there are, drawn with replacement, less the sum of all.

    Args:
        scores: (clusters, K).
    """
    clusters, columns = scores.shape
    random = np.random.default_rng(seed)
    deviations = np.empty((RESAMPLES, columns))
    # Drawing is the expensive part, and needless where no column is asked for.
    if not columns:
        return deviations
    for start in range(0, RESAMPLES, _CHUNK):
        draws = [random.integers(0, clusters, clusters) for _ in range(_CHUNK)]
        times = np.stack([np.bincount(draw, minlength=clusters) for draw in draws])
        deviations[start : start + _CHUNK] = (times - 1.0) @ scores
    return deviations


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test (1947).

    Under its hypothesis, discordant keypoints fall on either side like a fair coin. It takes keypoints as
    independent. Those of one pair are not, so p is too small as far as they agree.

    Args:
        only_a, only_b: keypoints that one of two runs alone got right.
    """
    from scipy.stats import binomtest

    discordant = only_a + only_b
    return float(binomtest(only_a, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for their number, step down (Holm 1979, Scand. J. Statistics 6).

    Valid whatever the dependence between the tests.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    # The smallest is multiplied by the number of tests, the next by one less; none gets below one before it.
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(p_value) for p_value in adjusted]
