"""The dyadic variance, and intervals from it, against computations made from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from harness.scoring.bootstrap import estimate


def pairs_of(random, images, pairs):
    """(pairs, 2) images, some pairs both ways and some of an image with itself."""
    drawn = random.integers(0, images, (pairs, 2))
    drawn[: pairs // 5] = drawn[pairs // 2 : pairs // 2 + pairs // 5, ::-1]
    return drawn


def double_sum(parts, of_pair):
    """Sum over all pairs of pairs that have an image in common (Aronow, Samii and Assenova 2015, eq. 1)."""
    total = 0.0
    for first, images in zip(parts, of_pair.tolist(), strict=True):
        for second, other_images in zip(parts, of_pair.tolist(), strict=True):
            if set(images) & set(other_images):
                total += first * second
    return total


def growth_of(weights, of_pair):
    """What residuals are grown by: from images' squared parts of all weights, less those of couples."""
    total = weights.sum()
    of_image = [weights[(of_pair == image).any(axis=1)].sum() / total for image in np.unique(of_pair)]
    couples = np.sort(of_pair, axis=1)
    of_couple = []
    for couple in np.unique(couples[couples[:, 0] != couples[:, 1]], axis=0):
        of_couple.append(weights[(couples == couple).all(axis=1)].sum() / total)
    return 1 / np.sqrt(1 - np.sum(np.square(of_image)) + np.sum(np.square(of_couple)))


@pytest.mark.parametrize("seed", range(4))
def test_the_robust_variance_is_the_double_sum_over_pairs_that_share_an_image(seed):
    random = np.random.default_rng(seed)
    of_pair = pairs_of(random, 20, 60)
    weights = random.integers(3, 16, 60).astype(float)
    right = random.binomial(weights.astype(int), 0.4).astype(float)
    estimates = estimate(right[:, None], weights[:, None], of_pair)
    parts = (right - weights * right.sum() / weights.sum()) / weights.sum()
    expected = double_sum(parts * growth_of(weights, of_pair), of_pair)
    assert estimates.sums.variances(estimates.dyads).robust[0] == pytest.approx(expected)


def test_strata_that_share_images_have_a_variance_in_common():
    """PF-WILLOW's groups share pictures: of two groups, the double sum goes over both."""
    random = np.random.default_rng(7)
    of_pair = pairs_of(random, 20, 80)
    strata = np.repeat([0, 1], 40)
    shares = random.uniform(0, 1, 80)
    estimates = estimate(shares[:, None], np.ones((80, 1)), of_pair, strata)
    parts = np.empty(80)
    for stratum in (0, 1):
        inside = strata == stratum
        own = shares[inside]
        parts[inside] = (own - own.mean()) / 80 * growth_of(np.ones(40), of_pair[inside])
    expected = double_sum(parts, of_pair)
    assert estimates.sums.variances(estimates.dyads).robust[0] == pytest.approx(expected)


@pytest.mark.parametrize("images", [5, 10, 27])
@pytest.mark.parametrize("source", ["image", "couple"])
def test_the_robust_variance_is_right_on_average_in_a_small_category(images, source):
    """All couples of few images, as in a category of SPair-71k: neither too small for what images add, nor
    for what couples do.
    """
    random = np.random.default_rng(1)
    of_pair = np.array([(first, second) for first in range(images) for second in range(first)])
    if source == "image":
        image = random.normal(0, 1, (images, 4000))
        values, variance = image[of_pair[:, 0]] + image[of_pair[:, 1]], 4 / images
    else:
        values, variance = random.normal(0, 1, (len(of_pair), 4000)), 1 / len(of_pair)
    estimates = estimate(values, np.ones_like(values), of_pair)
    robust = estimates.sums.variances(estimates.dyads).robust
    assert robust.mean() == pytest.approx(variance, rel=0.06)


def test_a_category_of_three_images_counts_as_its_couples():
    """Its images' sums are minus its couples' residuals: nothing is left to tell the two apart."""
    values = np.array([[0.1], [0.5], [0.6]])
    estimates = estimate(values, np.ones((3, 1)), np.array([[0, 1], [1, 2], [2, 0]]))
    parts = estimates.sums.variances(estimates.dyads)
    assert parts.robust[0] == pytest.approx(parts.independent[0])
    assert parts.independent[0] == pytest.approx(values.var(ddof=1) / 3)


def test_a_direct_bootstrap_over_images_has_the_same_interval():
    """Owen's pigeonhole bootstrap (2007): a pair weighs the product of its images' counts in a draw."""
    random = np.random.default_rng(2)
    images, pairs = 150, 3000
    source = random.integers(0, images, pairs)
    of_pair = np.stack([source, (source + random.integers(1, images, pairs)) % images], axis=1)
    image = random.normal(0, 0.2, images)
    shares = 0.5 + image[of_pair[:, 0]] + image[of_pair[:, 1]] + random.normal(0, 0.05, pairs)
    draws = []
    for _ in range(4000):
        counts = np.bincount(random.integers(0, images, images), minlength=images)
        weights = counts[of_pair[:, 0]] * counts[of_pair[:, 1]]
        draws.append((weights * shares).sum() / weights.sum())
    direct = np.ptp(np.quantile(draws, [0.025, 0.975]))
    found = estimate(shares[:, None], np.ones((pairs, 1)), of_pair).draws().interval()
    assert found.high[0] - found.low[0] == pytest.approx(direct, rel=0.06)
