"""The one bootstrap behind every interval, rank and p-value: over images, and over seeds of several runs.

Image pairs are not independent draws: SPair-71k's 12,234 test pairs are made of about 500 images, and an
image that is hard for a method is hard in each of its 50 pairs. Such data are *dyadic*: two pairs are
correlated if they share an image, in whichever role. Papers of the field give no intervals; evaluations
elsewhere draw clusters of one kind (Miller 2024, arXiv 2411.00640), but a pair belongs to no single image,
and connected components are whole categories, too few to draw from. So images are drawn, and a pair follows
both of its images.

It is a score bootstrap (Kline and Santos 2012, J. Econometric Methods 1): a pair's score is what it adds to
the estimate, an image's the sum over its pairs, and images are drawn with replacement. That is the
first-order part of the pigeonhole bootstrap (Owen 2007, Ann. Appl. Stat. 1), where a pair weighs the product
of its images' counts, and has no ratios that blow up in small slices.

Such draws count a pair's own variance once for each of its images. The dyadic cluster-robust variance
(Aronow, Samii and Assenova 2015, Political Analysis 23, after Cameron, Gelbach and Miller 2011, JBES 29)
takes one of them off; draws are scaled to it, and never below the variance of independent pairs, as chance
could make it. How often such intervals hold the truth: docs/explanation/statistics.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from harness.caching.lru import ByteLRU
from harness.scoring.dyads import Dyads, Sums

RESAMPLES = 10_000

LEVEL = 0.95

LEAST_IMAGES = 10
"""Fewer images give no interval: the spread of so few is itself unknown."""

LEAST_P = 2 / (RESAMPLES + 1)
"""The least p-value that so many draws can give: the true one may be smaller."""

_NO_ERROR = 1e-12
"""A smaller standard error is that of adding up."""

_CHUNK = 500
"""Draws at a time, to bound memory."""

_MOST_KEPT = 4000
"""Images up to which draws are kept for the next estimate on as many, 10 kB for each image."""

_kept = ByteLRU[tuple[np.ndarray, ...]](160_000_000, lambda chunks: sum(chunk.nbytes for chunk in chunks))
_keeping = threading.Lock()


class Interval(NamedTuple):
    """Estimates with 95 % percentile intervals and p-values, (K,) each; NaN where the spread is not known."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    """Two-sided, for an estimate of zero, from the same draws: at least `LEAST_P`."""


class Draws(NamedTuple):
    """Estimates, and their deviations in draws of other images and seeds.

    Attributes:
        value: (K,)
        deviations: (RESAMPLES, K), to be added to `value`.
        is_known: (K,) bool: False where too few images, a single pair of them, or pairs that are all alike
            leave the spread unknown.
    """

    value: np.ndarray
    deviations: np.ndarray
    is_known: np.ndarray

    def interval(self) -> Interval:
        """Intervals and p-values from the draws."""
        # Rounded, so that no tie depends on the order of adding.
        drawn = np.round(self.value + self.deviations, 12)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
        below = (drawn <= 0).sum(axis=0)
        above = (drawn >= 0).sum(axis=0)
        # The measured value counts as one of the draws, so that p is never 0; twice, for two sides.
        p = np.minimum(1, 2 * (1 + np.minimum(below, above)) / (RESAMPLES + 1))
        low = np.where(self.is_known, low, np.nan)
        high = np.where(self.is_known, high, np.nan)
        p = np.where(self.is_known, p, np.nan)
        return Interval(self.value, low, high, p)

    def share_interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of 95 % intervals of shares, (K,) each from 0 to 1; NaN where the spread is not known.

        The percentiles are taken on the logit scale, where the spread of a share depends less on the share
        (Korn and Graubard 1998, Survey Methodology 24): near 0 and 1, intervals are longer towards the middle
        and never leave the range. Where all pairs have the same share there is none: they say nothing of how
        other images would differ.
        """
        tail = (1 - LEVEL) / 2
        # Rounded, so that no end depends on the order of adding.
        ends = np.quantile(np.round(self.deviations, 12), [tail, 1 - tail], axis=0)
        has_spread = self.is_known & (ends[1] > ends[0])
        is_inside = has_spread & (self.value > 0) & (self.value < 1)
        value = np.where(is_inside, self.value, 0.5)
        # The derivative of the logit.
        ends = np.log(value / (1 - value)) + ends / (value * (1 - value))
        low, high = np.where(is_inside, 1 / (1 + np.exp(-ends)), np.nan)
        return low, high


class Spread(NamedTuple):
    """What the draws of an estimate are scaled to, (K,) each."""

    variance: np.ndarray
    """Of the estimate."""
    freedom: np.ndarray
    """Degrees of freedom of that variance."""
    image_scale: np.ndarray
    """Factor of image draws; 0 where independent pairs are drawn in their place."""
    dyad_scale: np.ndarray
    seed_scale: np.ndarray


@dataclass(frozen=True, eq=False)
class Estimates:
    """K estimates on one set of pairs, with all that their draws need.

    Attributes:
        value: (K,)
        dyads: the pairs.
        sums: of what each pair adds to the estimates; mean over seeds.
        residuals: of what a pair adds under one seed beyond its mean over seeds, for each seed; empty for
            one.
        seeds: (S, K) what each seed adds; empty for one.
        seed_counts: (K,) seeds of each column.
        image_counts: (K,) images.
    """

    value: np.ndarray
    dyads: Dyads
    sums: Sums
    residuals: tuple[Sums, ...]
    seeds: np.ndarray
    seed_counts: np.ndarray
    image_counts: np.ndarray

    def contrast(self, weights: np.ndarray) -> Estimates:
        """Weighted sums of estimates that are of the same pairs: differences, say.

        Args:
            weights: (K, L), for L of them.
        """
        # A sum has the fewest seeds of what it is made of, whose spread is known least; one seed has none.
        is_spread = (weights != 0) & (self.seed_counts[:, None] > 1)
        used = np.where(is_spread, self.seed_counts[:, None], self.seed_counts.max())
        return Estimates(
            self.value @ weights,
            self.dyads,
            self.sums.contrast(weights),
            tuple(residual.contrast(weights) for residual in self.residuals),
            self.seeds @ weights,
            np.where(is_spread.any(axis=0), used.min(axis=0), 1),
            np.repeat(self.image_counts.min(), weights.shape[1]),
        )

    @cached_property
    def spread(self) -> Spread:
        """Variances of the estimates over images and seeds, and how draws are scaled to them."""
        images = self.sums.variances(self.dyads)
        # Image draws are scaled up to independent pairs, too: all columns share one set of draws so. Where
        # images' sums cancel, as in a ring of pairs, there is nothing to scale, and pairs are drawn.
        target = np.maximum(images.robust, images.independent)
        is_by_dyad = images.twice < images.independent / 4
        image_scale = _ratio_root(target, np.where(is_by_dyad, 0, images.twice))
        dyad_scale = np.where(is_by_dyad, _ratio_root(target, images.independent), 0)
        # Few pairs that share no images are fewer draws than their images.
        freedom = np.where(
            images.robust > images.independent,
            np.minimum(images.image_freedom, images.dyad_freedom),
            images.dyad_freedom,
        )
        # What differs between seeds by their pairs alone, through images, is in `target` already.
        between = (self.seeds**2).sum(axis=0)
        within = np.zeros_like(between)
        for residual in self.residuals:
            parts = residual.variances(self.dyads)
            within = within + np.maximum(parts.robust, parts.independent)
        excess = np.maximum(between - within, 0)
        variance = target + excess
        # Satterthwaite (1946, Biometrics Bulletin 2): freedom of a sum of variances.
        uncertainty = target**2 / freedom + excess**2 / np.maximum(self.seed_counts - 1, 1)
        total_freedom = np.where(uncertainty > 0, variance**2 / np.where(uncertainty > 0, uncertainty, 1), 1)
        return Spread(variance, total_freedom, image_scale, dyad_scale, _ratio_root(excess, between))

    def draws(self, seed: int = 0) -> Draws:
        """Draws images and seeds with replacement; the same ones for each column."""
        spread = self.spread
        tails = tail_factors(spread.freedom)
        by_image = self.sums.of_image(self.dyads) * (spread.image_scale * tails)
        deviations = _deviations(by_image, seed)
        is_by_dyad = spread.dyad_scale > 0
        if is_by_dyad.any():
            by_dyad = self.sums.of_dyad(self.dyads) * (spread.dyad_scale * tails)
            deviations[:, is_by_dyad] = _deviations(by_dyad[:, is_by_dyad], seed)
        if len(self.seeds) > 1:
            deviations += _deviations(self.seeds * (spread.seed_scale * tails), seed + 1)
        return Draws(self.value, deviations, self.is_known)

    @property
    def is_known(self) -> np.ndarray:
        """(K,) bool: whether the spread can be told: from images enough, whose pairs are not all alike.

        Pairs that all have the same difference say nothing of how others would differ; without any difference
        predictions are equal, and so would be others.
        """
        is_enough = self.image_counts >= LEAST_IMAGES
        is_alike = (self.spread.variance < _NO_ERROR**2) & (np.abs(self.value) > _NO_ERROR)
        return np.asarray(is_enough & ~is_alike & (self.sums.dyad_counts.sum(axis=0) >= 2))


def estimate(
    numerators: np.ndarray,
    denominators: np.ndarray,
    images: np.ndarray,
    strata: np.ndarray | None = None,
    stratum_weights: np.ndarray | None = None,
    has_seed: np.ndarray | None = None,
) -> Estimates:
    """Estimates of the form sum(numerator) / sum(denominator), or the mean of such ratios over strata.

    With a pair's PCK over 1 it is the mean over images; with correct points over points, PCK per point; with
    categories as strata, the mean over categories of either. A column whose denominator is zero for the pairs
    outside a slice is that slice's estimate. Strata without pairs in a column are left out of its mean.

    A stratum of a single couple of images does not show its own spread: its pairs are compared with the
    estimate in place of their stratum (Lumley 2010, Complex Surveys, "lonely PSU", adjust).

    Args:
        numerators: (P, K) for P pairs and K columns, or (S, P, K) for S seeds, whose mean is estimated.
        denominators: (P, K), for each seed the same; no column is zero throughout.
        images: (P, 2) numbers of the source and the target image, from 0.
        strata: (P,) number of each pair's stratum, from 0; None for one.
        stratum_weights: weight of each stratum in the mean; None for equal ones.
        has_seed: (S, K) bool, the seeds that a column has; None for all. Others must be zero.
    """
    if strata is None:
        strata = np.zeros(len(images), dtype=np.int64)
    if stratum_weights is None:
        stratum_weights = np.ones(int(strata.max()) + 1)
    runs = numerators if numerators.ndim == 3 else numerators[None]
    if has_seed is None:
        has_seed = np.ones((len(runs), runs.shape[2]), dtype=bool)
    dyads = Dyads.of(images, strata, len(stratum_weights))
    bottom = dyads.by_stratum @ denominators
    weights = stratum_weights[:, None] * (bottom > 0)
    # (strata, K): what a pair's numerator is multiplied by.
    weights = weights / weights.sum(axis=0) / np.where(bottom > 0, bottom, 1)
    is_lonely = dyads.dyad_counts(denominators) < 2
    seed_counts = has_seed.sum(axis=0)
    values = np.empty((len(runs), runs.shape[2]))
    parts = np.empty(runs.shape)
    for number, run in enumerate(runs):
        top = dyads.by_stratum @ run
        values[number] = (top * weights).sum(axis=0)
        own = top / np.where(bottom > 0, bottom, 1)
        center = np.where(is_lonely, values[number], own)
        parts[number] = (run - center[strata] * denominators) * weights[strata]
    value = values.sum(axis=0) / seed_counts
    mean = parts.sum(axis=0) / seed_counts
    seeds = np.empty((0, runs.shape[2]))
    residuals: tuple[Sums, ...] = ()
    if len(runs) > 1:
        # The mean follows its seeds: what is left of each is too small by this root (Bell and McCaffrey).
        grown = np.sqrt(seed_counts / np.maximum(seed_counts - 1, 1)) / seed_counts
        seeds = np.where(has_seed, values - value, 0) * grown
        residuals = tuple(
            dyads.sums(np.where(has_seed[number], parts[number] - mean, 0) * grown, denominators)
            for number in range(len(runs))
        )
    return Estimates(
        value,
        dyads,
        dyads.sums(mean, denominators),
        residuals,
        seeds,
        seed_counts,
        dyads.image_counts(denominators),
    )


def image_bootstrap(
    numerators: np.ndarray, denominators: np.ndarray, images: np.ndarray, seed: int = 0
) -> Interval:
    """Estimates with intervals and p-values; see `estimate` for the arguments."""
    return estimate(numerators, denominators, images).draws(seed).interval()


def quantile_factor(freedom: np.ndarray, share: float) -> np.ndarray:
    """Student's quantile: standard errors beyond zero below which a share of estimates lies."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(np.maximum(freedom, 1), share))


def tail_factors(freedom: np.ndarray) -> np.ndarray:
    """Student's quantile over the normal one, since the spread of few clusters is uncertain itself.

    Cameron and Miller (2015, JHR 50).
    """
    from scipy.special import ndtri

    share = (1 + LEVEL) / 2
    return np.asarray(quantile_factor(freedom, share) / float(ndtri(share)))


def _ratio_root(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Square root of a ratio of variances; 0 where there is nothing to scale."""
    root: np.ndarray = np.sqrt(np.where(below > 0, above / np.where(below > 0, below, 1), 0))
    return root


def _deviations(scores: np.ndarray, seed: int) -> np.ndarray:
    """Returns (RESAMPLES, K) sums of as many rows as there are, drawn with replacement, less the sum of all.

    Args:
        scores: (clusters, K).
    """
    deviations = np.empty((RESAMPLES, scores.shape[1]))
    start = 0
    for counts in _draw_counts(len(scores), seed):
        deviations[start : start + len(counts)] = (counts - 1.0) @ scores
        start += len(counts)
    return deviations


def _draw_counts(clusters: int, seed: int) -> Iterator[np.ndarray]:
    """Yields how often each cluster is drawn, (some draws, clusters), RESAMPLES draws in all."""
    if clusters <= _MOST_KEPT:
        with _keeping:
            chunks = _kept.once((clusters, seed), lambda: tuple(_fresh_counts(clusters, seed)))
        yield from chunks
    else:
        yield from _fresh_counts(clusters, seed)


def _fresh_counts(clusters: int, seed: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    first = np.arange(_CHUNK)[:, None] * clusters
    for _ in range(RESAMPLES // _CHUNK):
        drawn = random.integers(0, clusters, (_CHUNK, clusters))
        counts = np.bincount((drawn + first).ravel(), minlength=_CHUNK * clusters)
        # The smallest integers that hold them: a cluster is drawn a few times.
        yield counts.reshape(_CHUNK, clusters).astype(np.min_scalar_type(int(counts.max())))
