"""Ranks with intervals, from simultaneous intervals of differences."""

from __future__ import annotations

import numpy as np
import pytest

from harness.scoring.bootstrap import estimate
from harness.scoring.ranks import detectable_estimates, rank_estimates


def rows_of(seed, levels, images=60, pairs=200, noise=0.2):
    """(pairs, rows) shares of rows that have most of what is hard about an image in common."""
    random = np.random.default_rng(seed)
    source = random.integers(0, images, pairs)
    of_pair = np.stack([source, (source + random.integers(1, images, pairs)) % images], axis=1)
    image = random.normal(0, 0.3, (images, 1)) + random.normal(0, noise, (images, len(levels)))
    shares = np.asarray(levels) + image[of_pair[:, 0]] + image[of_pair[:, 1]]
    return shares + random.normal(0, noise, shares.shape), of_pair


def ranks_of(shares, of_pair):
    return rank_estimates(estimate(shares, np.ones_like(shares), of_pair))


def test_rows_far_apart_have_one_rank_each():
    ranks = ranks_of(*rows_of(0, [1, 3, 2]))
    assert ranks.best.tolist() == ranks.worst.tolist() == [3, 1, 2]


def test_equal_rows_share_their_ranks_and_differ_by_nothing():
    shares, of_pair = rows_of(1, [3, 2, 2, 1])
    shares[:, 2] = shares[:, 1]
    ranks = ranks_of(shares, of_pair)
    assert ranks.best.tolist() == [1, 2, 2, 4]
    assert ranks.worst.tolist() == [1, 3, 3, 4]
    assert (ranks.low[1, 2], ranks.high[1, 2]) == (0, 0)


def test_a_detectable_difference_is_found_in_four_of_five_experiments():
    """Of 300 experiments whose true difference is the one that the first says it finds."""
    shares, of_pair = rows_of(0, [0, 0], images=40, pairs=120)
    size = detectable_estimates(estimate(shares[:, :1] - shares[:, 1:], np.ones((120, 1)), of_pair))[0]
    found = 0
    for seed in range(300):
        shares, of_pair = rows_of(seed, [size, 0], images=40, pairs=120)
        done = estimate(shares[:, :1] - shares[:, 1:], np.ones((120, 1)), of_pair).draws().interval()
        found += bool(done.low[0] > 0)
    # The size is itself an estimate, and so is the share.
    assert 0.65 < found / 300 < 0.92


def test_equal_columns_and_few_images_have_no_detectable_difference():
    shares, of_pair = rows_of(0, [0, 0])
    nothing = estimate(np.zeros((200, 1)), np.ones((200, 1)), of_pair)
    assert np.isnan(detectable_estimates(nothing)).all()
    few = estimate(shares[:20, :1], np.ones((20, 1)), of_pair[:20] % 8)
    assert np.isnan(detectable_estimates(few)).all()


def test_ties_need_not_be_transitive():
    """The middle row is not told from either neighbour, which are told from each other."""
    shares, of_pair = rows_of(2, [0, 0, 0], noise=0.4)
    shares = shares - shares.mean(axis=0)
    error = ranks_of(shares, of_pair).high[0].max()
    ranks = ranks_of(shares + np.array([1.4, 0.7, 0]) * error, of_pair)
    assert ranks.best.tolist() == [1, 1, 2]
    assert ranks.worst.tolist() == [2, 3, 3]


def test_true_ranks_are_in_all_intervals_together():
    """In 95 % of 300 experiments with six rows, two of which are truly equal."""
    levels = [0, 0.1, 0.1, 0.2, 0.4, 0.8]
    # Rows of equal level may take either rank.
    worst = np.array([sum(level <= later for later in levels) for level in levels])
    best = np.array([1 + sum(level < later for later in levels) for level in levels])
    held = 0
    for seed in range(300):
        ranks = ranks_of(*rows_of(seed, levels, images=40, pairs=80))
        held += bool(((ranks.best <= worst) & (ranks.worst >= best)).all())
    assert held >= 0.92 * 300


def test_simultaneous_intervals_hold_all_true_differences():
    levels = np.array([0, 0.1, 0.1, 0.2])
    truth = levels[:, None] - levels[None, :]
    held = 0
    for seed in range(300):
        ranks = ranks_of(*rows_of(seed, levels, images=50, pairs=100))
        held += bool(((ranks.low <= truth + 1e-9) & (truth - 1e-9 <= ranks.high)).all())
    assert 0.91 * 300 <= held <= 0.99 * 300


def test_nothing_is_told_apart_with_too_few_images():
    ranks = ranks_of(*rows_of(3, [5, 1], images=6, pairs=20))
    assert ranks.best.tolist() == [1, 1]
    assert ranks.worst.tolist() == [2, 2]
    assert np.isnan(ranks.low[0, 1])


def test_a_single_row_is_the_first():
    ranks = ranks_of(*rows_of(4, [1]))
    assert (ranks.best.tolist(), ranks.worst.tolist()) == ([1], [1])


def test_a_difference_of_the_detectable_size_is_found_four_times_in_five():
    first, of_pair = rows_of(5, [0, 0], images=80, pairs=300)
    size = ranks_of(first, of_pair).detectable[0, 1]
    found = 0
    for seed in range(300):
        ranks = ranks_of(*rows_of(seed, [0, size], images=80, pairs=300))
        found += bool(ranks.low[1, 0] > 0)
    assert found / 300 == pytest.approx(0.8, abs=0.1)


def test_rows_that_differ_by_the_same_on_all_pairs_are_not_told_apart():
    """Such pairs say nothing of how others would differ; a row that does differ has its intervals as ever."""
    _, of_pair = rows_of(1, [0, 0])
    random = np.random.default_rng(0)
    shares = np.stack([np.full(200, 0.7), np.full(200, 0.4), random.random(200) / 10], axis=1)
    ranks = ranks_of(shares, of_pair)
    assert np.isnan([ranks.low[0, 1], ranks.high[0, 1], ranks.detectable[0, 1]]).all()
    assert (ranks.best.tolist(), ranks.worst.tolist()) == ([1, 1, 3], [2, 2, 3])
    alike = estimate(shares[:, :1] - shares[:, 1:2], np.ones((200, 1)), of_pair)
    interval = alike.draws().interval()
    assert np.isnan([interval.low, interval.high, interval.p, detectable_estimates(alike)]).all()
    assert interval.value == pytest.approx(0.3)


def test_a_difference_that_few_images_tell_of_lengthens_no_other():
    random = np.random.default_rng(3)
    # Ten categories: one of a single pair, which alone sets the second row apart from the first.
    images, categories = [[0, 1]], [0]
    for category in range(1, 10):
        for _ in range(40):
            images.append((2 + 20 * category + random.choice(20, 2, replace=False)).tolist())
            categories.append(category)
    of_pair = np.array(images)
    hardness = random.normal(0, 0.1, of_pair.max() + 1)[of_pair].sum(axis=1)
    first, third, fourth = (
        level + hardness + random.normal(0, 0.1, len(of_pair)) for level in (0.5, 0.44, 0.38)
    )
    second = first.copy()
    second[0] -= 0.1
    shares = np.stack([first, second, third, fourth], axis=1)
    ranks = rank_estimates(estimate(shares, np.ones_like(shares), of_pair, np.array(categories)))
    alone = shares[:, 2:]
    ranks_alone = rank_estimates(estimate(alone, np.ones_like(alone), of_pair, np.array(categories)))
    length = ranks.high[2, 3] - ranks.low[2, 3]
    # As much longer as six differences in place of one need.
    assert length < 2 * (ranks_alone.high[0, 1] - ranks_alone.low[0, 1])
    assert ranks.high[0, 1] - ranks.low[0, 1] > 3 * length
