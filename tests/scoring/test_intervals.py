"""Bootstrap intervals over image pairs."""

from __future__ import annotations

import numpy as np

from harness.scoring.intervals import bootstrap_ratios

SIMULATED = 1000


def column(values):
    return np.array(values, dtype=float)[:, None]


def simulated(seed, pairs=60):
    """Correct points and points of `pairs` pairs in many datasets: points of one pair share their luck.
    (pairs, SIMULATED) each.
    """
    random = np.random.default_rng(seed)
    points = random.integers(3, 16, (pairs, SIMULATED))
    return random.binomial(points, random.beta(0.9, 0.6, (pairs, SIMULATED))).astype(float), points.astype(
        float
    )


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    right, points = simulated(1)
    first, again, other = (bootstrap_ratios(right[:, :5], points[:, :5], seed) for seed in (7, 7, 8))
    assert (first.low == again.low).all()
    assert (first.high == again.high).all()
    assert (first.low != other.low).all()
    assert np.abs(first.low - other.low).max() < 0.02


def test_slices_share_their_draws():
    """A column's interval does not depend on which other columns are asked for."""
    right, points = simulated(2)
    together, alone = (
        bootstrap_ratios(right[:, :4], points[:, :4]),
        bootstrap_ratios(right[:, 2:3], points[:, 2:3]),
    )
    np.testing.assert_allclose(
        [together.low[2], together.high[2]], [alone.low[0], alone.high[0]], rtol=0, atol=1e-12
    )


def test_intervals_cover_the_truth_as_often_as_they_say():
    """95 % of them, of 1000: between 92 and 97 (a percentile interval of 60 clusters is a little short)."""
    right, points = simulated(3)
    truth = 0.9 / (0.9 + 0.6)
    for numerators, denominators in ((right, points), (right / points, np.ones_like(points))):
        low, high = bootstrap_ratios(numerators, denominators)
        assert 0.92 < ((low <= truth) & (truth <= high)).mean() < 0.97


def test_intervals_of_single_points_would_be_too_short():
    """What drawing points instead of pairs would claim covers far less: the simulated points are
    correlated.
    """
    right, points = simulated(3)
    rate, total = right.sum(axis=0) / points.sum(axis=0), points.sum(axis=0)
    half = 1.96 * np.sqrt(rate * (1 - rate) / total)
    assert (np.abs(rate - 0.6) <= half).mean() < 0.75
    low, high = bootstrap_ratios(right, points)
    assert ((high - low) / 2 > 1.4 * half).mean() > 0.95


def test_a_single_pair_has_no_interval():
    low, high = bootstrap_ratios(column([3]), column([4]))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_no_pair_has_no_interval():
    low, high = bootstrap_ratios(np.empty((0, 3)), np.empty((0, 3)))
    assert low.shape == high.shape == (3,)
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_pairs_that_are_all_alike_have_an_interval_without_width():
    low, high = bootstrap_ratios(column([2, 2, 2]), column([4, 4, 4]))
    assert (low[0], high[0]) == (0.5, 0.5)
    for value in (0.0, 1.0):
        low, high = bootstrap_ratios(column([value] * 5), column([1] * 5))
        assert (low[0], high[0]) == (value, value)


def test_a_slice_of_one_pair_has_none_beside_one_of_many():
    numerators = np.array([[1.0, 1, 0], [0, 0, 0], [1, 0, 0]])
    denominators = np.array([[1.0, 1, 0], [1, 0, 0], [1, 0, 0]])
    low, high = bootstrap_ratios(numerators, denominators)
    assert np.isfinite([low[0], high[0]]).all()
    assert np.isnan([low[1], high[1], low[2], high[2]]).all()
    assert low[0] <= 2 / 3 <= high[0]


def test_a_small_slice_of_a_large_split_ignores_draws_that_miss_it():
    """Two pairs among forty: most draws hold none or one of them, and those that hold some count."""
    numerators, denominators = np.zeros((40, 1)), np.zeros((40, 1))
    numerators[3, 0], denominators[[3, 9], 0] = 1, 1
    low, high = bootstrap_ratios(numerators, denominators)
    assert (low[0], high[0]) == (0, 1)


def test_whole_pairs_are_drawn():
    """Two pairs, of 1 and of 99 points: a draw has one of them twice or each once, so that only three values
    can occur.
    """
    low, high = bootstrap_ratios(column([1, 0]), column([1, 99]))
    assert (low[0], high[0]) == (0, 1)


def test_more_pairs_make_intervals_shorter():
    widths = []
    for pairs in (20, 80, 320):
        right, points = simulated(5, pairs)
        low, high = bootstrap_ratios(right[:, :100], points[:, :100])
        widths.append((high - low).mean())
    assert widths[0] > 1.7 * widths[1] > 1.7 * 1.7 * widths[2]
