"""Intervals and p-values on pairs that share images, and tests of paired counts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from harness.scoring import bootstrap
from harness.scoring.bootstrap import LEAST_IMAGES, RESAMPLES, estimate, image_bootstrap
from harness.scoring.paired import holm, mcnemar

SIMULATED = 400


def graph(random, images, pairs):
    """(pairs, 2) images of random pairs, never one with itself."""
    source = random.integers(0, images, pairs)
    return np.stack([source, (source + random.integers(1, images, pairs)) % images], axis=1)


def simulated(seed, images, pairs, effect):
    """Shares of right keypoints of two methods in many datasets on one graph of pairs.

    Whether a keypoint is right depends on its source image, its target image and its pair, each method in its
    own way.

    Args:
        effect: standard deviation of what each image adds, beside 1 of the keypoint and 0.3 of the pair.

    Returns:
        (pairs, SIMULATED) differences, the images, and the difference that is true.
    """
    random = np.random.default_rng(seed)
    of_pair = graph(random, images, pairs)
    keypoints = random.integers(3, 16, pairs)
    shares, truth = [], []
    for level in (0.1, -0.2):
        source, target = random.normal(0, effect, (2, images, SIMULATED))
        luck = (
            level + source[of_pair[:, 0]] + target[of_pair[:, 1]] + random.normal(0, 0.3, (pairs, SIMULATED))
        )
        shares.append(random.binomial(keypoints[:, None], norm.cdf(luck)) / keypoints[:, None])
        truth.append(norm.cdf(level / np.sqrt(1 + 2 * effect**2 + 0.3**2)))
    return shares[1] - shares[0], of_pair, truth[1] - truth[0]


@pytest.mark.parametrize("effect", [0.0, 0.2, 0.7])
@pytest.mark.parametrize(("images", "pairs"), [(100, 400), (40, 400)])
def test_intervals_cover_the_truth_as_often_as_they_say(images, pairs, effect):
    """95 % of them, of 400 (standard error 1.1): with images that matter much, little or not at all."""
    values, of_pair, truth = simulated(1, images, pairs, effect)
    found = image_bootstrap(values, np.ones_like(values), of_pair)
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    assert 0.92 <= covered <= 0.975
    np.testing.assert_allclose(found.value, values.mean(axis=0))


def test_intervals_over_pairs_would_be_too_short():
    """What takes pairs as independent covers far less where pairs share images."""
    values, of_pair, truth = simulated(1, 100, 400, 0.7)
    half = 1.96 * values.std(axis=0, ddof=1) / 20
    assert (np.abs(values.mean(axis=0) - truth) < half).mean() < 0.75
    found = image_bootstrap(values, np.ones_like(values), of_pair)
    assert ((found.high - found.low) / 2 > 1.2 * half).mean() > 0.95


def test_few_images_have_somewhat_short_intervals():
    """A category of SPair-71k or `shapes` has about 26 images."""
    values, of_pair, truth = simulated(3, 26, 60, 0.5)
    found = image_bootstrap(values, np.ones_like(values), of_pair)
    assert ((found.low <= truth) & (truth <= found.high)).mean() >= 0.91


def test_few_pairs_have_the_tails_of_few():
    """Student's quantile for six is 1.31 of the normal one; percentiles of six draws alone fall short of
    either.
    """
    values = np.random.default_rng(8).normal(0, 1, (6, SIMULATED))
    found = image_bootstrap(values, np.ones_like(values), np.arange(12).reshape(-1, 2))
    ratio = (found.high - found.low) / (2 * 1.96 * values.std(axis=0, ddof=1) / np.sqrt(6))
    assert 1.2 < ratio.mean() < 1.35


def test_a_true_difference_of_zero_is_rejected_as_often_as_p_says():
    random = np.random.default_rng(3)
    of_pair = graph(random, 60, 300)
    image = random.normal(0, 1, (60, SIMULATED))
    values = image[of_pair[:, 0]] - image[of_pair[:, 1]] + random.normal(0, 1, (300, SIMULATED))
    p = image_bootstrap(values, np.ones_like(values), of_pair).p
    assert 0.02 <= (p < 0.05).mean() <= 0.085
    assert 0.12 <= (p < 0.2).mean() <= 0.28


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 1000))
def test_equal_runs_differ_by_exactly_nothing(pairs, images, seed):
    random = np.random.default_rng(seed)
    found = image_bootstrap(
        np.zeros((pairs, 2)), random.integers(1, 9, (pairs, 2)), random.integers(0, images, (pairs, 2))
    )
    assert found.value.tolist() == [0, 0]
    for low, high, p in zip(found.low, found.high, found.p, strict=True):
        assert (low, high, p) == (0, 0, 1) or np.isnan([low, high, p]).all()


def test_swapped_runs_give_the_opposite():
    values, of_pair, _ = simulated(4, 30, 50, 0.5)
    ones = np.ones_like(values)
    there, back = image_bootstrap(values, ones, of_pair), image_bootstrap(-values, ones, of_pair)
    np.testing.assert_array_equal(there.value, -back.value)
    np.testing.assert_allclose(there.low, -back.high, rtol=0, atol=1e-10)
    np.testing.assert_allclose(there.p, back.p)


def test_the_roles_of_two_images_do_not_matter():
    """The pair of two images that comes both ways is one draw, not two."""
    values, of_pair, _ = simulated(5, 30, 40, 0.3)
    doubled = np.concatenate([values, values])[:, :20]
    once = image_bootstrap(values[:, :20], np.ones_like(values[:, :20]), of_pair)
    both = image_bootstrap(doubled, np.ones_like(doubled), np.concatenate([of_pair, of_pair[:, ::-1]]))
    np.testing.assert_allclose(once.high - once.low, both.high - both.low, rtol=1e-6)


def test_a_slice_does_not_depend_on_the_pairs_outside():
    """Its own images decide: other pairs only change the draws."""
    values, of_pair, _ = simulated(6, 30, 60, 0.5)
    alone = image_bootstrap(values[:, :20], np.ones((60, 20)), of_pair)
    outside = np.zeros((90, 20))
    together = image_bootstrap(
        np.concatenate([values[:, :20], outside]),
        np.concatenate([np.ones((60, 20)), outside]),
        np.concatenate([of_pair, 30 + graph(np.random.default_rng(0), 50, 90)]),
    )
    np.testing.assert_allclose(together.value, alone.value)
    assert np.abs((together.high - together.low) / (alone.high - alone.low) - 1).max() < 0.06


def test_points_weigh_as_many_as_they_are():
    found = image_bootstrap(
        np.array([[1.0], [0], [-3]]), np.array([[2.0], [4], [4]]), np.array([[0, 1], [2, 3], [4, 5]])
    )
    assert found.value[0] == pytest.approx(-0.2)


@pytest.mark.parametrize(
    "of_pair",
    [[[0, 1]], [[0, 1], [1, 0]], [[0, 0], [0, 0]], [[number, number + 1] for number in range(8)]],
)
def test_fewer_than_ten_images_have_no_interval(of_pair):
    found = image_bootstrap(
        np.array([[0.5]] + [[0.2]] * (len(of_pair) - 1)), np.ones((len(of_pair), 1)), np.array(of_pair)
    )
    assert np.isfinite(found.value).all()
    assert np.isnan([found.low[0], found.high[0], found.p[0]]).all()


@pytest.mark.parametrize(
    "of_pair",
    [
        [[0, 1], [0, 2], [0, 3], [0, 4]],  # One image in all pairs.
        [[0, 1], [1, 2], [2, 3], [3, 0]],  # A ring, in which every image's sum is zero.
        [[0, 0], [1, 1], [2, 2], [3, 3]],  # Images paired with themselves.
    ],
)
def test_an_interval_is_never_shorter_than_that_of_independent_pairs(of_pair):
    values = np.array([[1.0], [-1], [1], [-1]])
    found, apart = (
        np.ptp(
            np.quantile(estimate(values, np.ones((4, 1)), np.array(pairs)).draws().deviations, [0.025, 0.975])
        )
        for pairs in (of_pair, [[0, 1], [2, 3], [4, 5], [6, 7]])
    )
    assert found >= 0.9 * apart > 1


def test_the_smallest_p_is_that_of_the_draws():
    values = np.random.default_rng(0).normal(5, 0.1, (40, 1))
    p = image_bootstrap(values, np.ones((40, 1)), np.arange(80).reshape(-1, 2)).p[0]
    assert p == pytest.approx(2 / (RESAMPLES + 1))


@pytest.mark.parametrize(
    ("only_first", "only_other", "p"),
    [(0, 0, 1), (5, 5, 1), (0, 5, 0.0625), (10, 0, 2 / 1024), (1, 3, 0.625)],
)
def test_mcnemar_is_a_fair_coin(only_first, only_other, p):
    assert mcnemar(only_first, only_other) == pytest.approx(p)
    assert mcnemar(only_other, only_first) == pytest.approx(p)


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_plain_p_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for p, one in zip(p_values, adjusted, strict=True):
        assert p <= one <= min(1, p * len(p_values)) + 1e-12
    assert adjusted[int(np.argmin(p_values))] == pytest.approx(min(1, min(p_values) * len(p_values)))
    for (p, one), (q, other) in product(zip(p_values, adjusted, strict=True), repeat=2):
        assert p > q or one <= other


def test_nine_images_have_no_interval_and_ten_have():
    values = np.random.default_rng(0).uniform(0, 1, (40, 1))
    for images, is_known in ((LEAST_IMAGES - 1, False), (LEAST_IMAGES, True)):
        pairs = graph(np.random.default_rng(1), images, 40)
        assert len(np.unique(pairs)) == images
        low, high = estimate(values, np.ones((40, 1)), pairs).draws().share_interval()
        assert np.isfinite([low[0], high[0]]).all() == is_known


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_pairs_that_are_all_alike_have_no_interval_of_their_share(share):
    pairs = graph(np.random.default_rng(1), 30, 60)
    low, high = estimate(np.full((60, 1), share), np.ones((60, 1)), pairs).draws().share_interval()
    assert np.isnan([low[0], high[0]]).all()


def test_the_interval_of_a_share_stays_between_nothing_and_all():
    values = np.ones((60, 1))
    values[:2] = 0.5
    pairs = graph(np.random.default_rng(1), 30, 60)
    low, high = estimate(values, np.ones((60, 1)), pairs).draws().share_interval()
    assert 0.9 < low[0] < values.mean() < high[0] < 1
    # Longer towards the middle.
    assert values.mean() - low[0] > high[0] - values.mean()


def test_strata_are_averaged_whatever_their_size():
    """The mean of category means, by hand: (1/2 + 1/4) / 2 and not 5/14."""
    right = np.array([[1.0], [1], [2], [1]])
    total = np.array([[2.0], [2], [6], [6]])
    pairs = np.arange(8).reshape(-1, 2)
    by_point = estimate(right, total, pairs, np.array([0, 0, 1, 1]))
    assert by_point.value[0] == pytest.approx(0.375)
    by_image = estimate(right / total, np.ones((4, 1)), pairs, np.array([0, 0, 1, 1]))
    assert by_image.value[0] == pytest.approx((0.5 + 0.25) / 2)
    weighted = estimate(right, total, pairs, np.array([0, 0, 1, 1]), np.array([3.0, 1.0]))
    assert weighted.value[0] == pytest.approx((3 * 0.5 + 0.25) / 4)
    # A slice without pairs of the second stratum is the mean of the first alone.
    total[2:] = right[2:] = 0
    assert estimate(right, total, pairs, np.array([0, 0, 1, 1])).value[0] == pytest.approx(0.5)


def stratified(seed, spread):
    """Shares of ten categories whose levels differ by `spread`; and the mean of the levels."""
    random = np.random.default_rng(seed)
    pairs = np.concatenate([graph(random, 20, 50) + 20 * category for category in range(10)])
    category = np.repeat(np.arange(10), 50)
    level = spread * np.linspace(-1, 1, 10)
    image = random.normal(0, 0.5, (200, SIMULATED))
    shares = level[category][:, None] + image[pairs[:, 0]] + image[pairs[:, 1]]
    return shares + random.normal(0, 0.5, shares.shape), pairs, category, level.mean()


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_what_categories_differ_in_does_not_widen_the_mean_over_them(spread):
    shares, pairs, category, truth = stratified(2, spread)
    found = estimate(shares, np.ones_like(shares), pairs, category).draws().interval()
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    assert 0.92 <= covered <= 0.98


def test_a_category_of_one_pair_widens_the_mean_over_categories():
    shares, pairs, category, _ = stratified(3, 2.0)
    known = estimate(shares, np.ones_like(shares), pairs, category).spread.variance.mean()
    lonely = np.concatenate([pairs, [[200, 201]]])
    with_lonely = estimate(
        np.concatenate([shares, shares[:1] + 3]), np.ones((501, SIMULATED)), lonely, np.append(category, 10)
    )
    assert with_lonely.spread.variance.mean() > 1.3 * known


def seeded(seed, seeds, images, pairs, of_seed):
    """(seeds, pairs, SIMULATED) shares: what images add is the same under each seed, noise is not."""
    random = np.random.default_rng(seed)
    of_pair = graph(random, images, pairs)
    image = random.normal(0, 0.2, (images, SIMULATED))
    noise = random.normal(0, 0.3, (seeds, images, SIMULATED))
    whole = random.normal(0, of_seed, (seeds, 1, SIMULATED))
    parts = image + noise
    shares = parts[:, of_pair[:, 0]] + parts[:, of_pair[:, 1]] + whole
    return shares + random.normal(0, 0.2, shares.shape), of_pair


@pytest.mark.parametrize(("seeds", "of_seed"), [(3, 0.0), (5, 0.0), (5, 0.1), (8, 0.3)])
def test_images_and_seeds_are_drawn_together(seeds, of_seed):
    """The truth is the mean over all images and all seeds there could be."""
    shares, of_pair = seeded(4, seeds, 100, 300, of_seed)
    found = estimate(shares, np.ones(shares.shape[1:]), of_pair).draws().interval()
    np.testing.assert_allclose(found.value, shares.mean(axis=(0, 1)))
    covered = ((found.low <= 0) & (found.high >= 0)).mean()
    assert 0.91 <= covered <= 0.985


def test_images_alone_would_be_too_sure_of_a_method_whose_seeds_differ():
    shares, of_pair = seeded(5, 5, 100, 300, 0.3)
    found = image_bootstrap(shares.mean(axis=0), np.ones(shares.shape[1:]), of_pair)
    assert ((found.low <= 0) & (found.high >= 0)).mean() < 0.6


def test_seeds_that_a_column_lacks_do_not_count():
    shares, of_pair = seeded(6, 3, 40, 100, 0.2)
    shares = shares[:, :, :2]
    has_seed = np.array([[True, True], [True, False], [True, False]])
    shares[1:, :, 1] = 0
    both = estimate(shares, np.ones((100, 2)), of_pair, has_seed=has_seed)
    alone = estimate(shares[:1, :, 1:], np.ones((100, 1)), of_pair)
    assert both.value[1] == pytest.approx(alone.value[0])
    assert both.spread.variance[1] == pytest.approx(alone.spread.variance[0])


def test_a_row_of_one_seed_does_not_make_the_spread_of_several_less_known():
    """Differences of rows of five, three and one seed: the seeds of those that have several count."""
    shares, of_pair = seeded(7, 5, 40, 100, 0.2)
    shares = shares[:, :, :4]
    has_seed = np.ones((5, 4), dtype=bool)
    has_seed[3:, 1] = has_seed[1:, 2:] = False
    shares = np.where(has_seed[:, None, :], shares, 0)
    estimates = estimate(shares, np.ones((100, 4)), of_pair, has_seed=has_seed)
    weights = np.array([[1, -1, 0, 0], [1, 0, -1, 0], [0, 0, 1, -1]]).T.astype(float)
    assert estimates.contrast(weights).seed_counts.tolist() == [3, 5, 1]


@pytest.mark.parametrize("images", [60, 1800])
def test_images_are_drawn_once_for_all_estimates_on_as_many(images, monkeypatch):
    """However many rows a table has, and as many images as SPair-71k: drawing takes longest."""
    seed, drawn = 83_651, []
    fresh = bootstrap._fresh_counts

    def count(clusters, seed):
        drawn.append(clusters)
        return fresh(clusters, seed)

    monkeypatch.setattr(bootstrap, "_fresh_counts", count)
    random = np.random.default_rng(seed)
    of_pair = graph(random, images, 3 * images)
    of_pair[:images, 0] = np.arange(images)
    values = random.uniform(0, 1, (3 * images, 1))
    first, *others = (image_bootstrap(values, np.ones_like(values), of_pair, seed) for _ in range(4))
    assert drawn == [images]
    assert all(np.array_equal(first.low, other.low) for other in others)
