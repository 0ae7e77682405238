"""The simulation of coverage: graphs have the datasets' numbers, the truth is true, intervals cover it."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from interval_coverage import AS_IF_INDEPENDENT, Coverage, SeedModel, count_ranks, cover, cover_seeds, main
from pair_graphs import (
    SPAIR_71K,
    drawn_from_mixed,
    few_sources,
    parts_of,
    pf_pascal,
    pf_willow,
    spair_71k,
    star,
)
from simulated_pairs import Model, simulate


def test_graphs_have_the_numbers_of_their_datasets():
    pascal, willow, spair = pf_pascal(), pf_willow(), spair_71k()
    assert (len(pascal.images), len(np.unique(pascal.categories))) == (299, 20)
    assert 480 <= pascal.image_count <= 530
    assert np.bincount(pascal.categories).min() == 1
    both_ways = {tuple(pair) for pair in pascal.images} & {tuple(pair[::-1]) for pair in pascal.images}
    assert len(both_ways) >= 44
    assert (len(willow.images), willow.image_count) == (900, 70)
    assert np.bincount(spair.categories).tolist() == list(SPAIR_71K)
    for graph in (pascal, willow, spair):
        assert (graph.images[:, 0] != graph.images[:, 1]).all()


def test_a_slice_of_ten_images_has_ten():
    for name, is_inside in parts_of(spair_71k()):
        images = len(np.unique(spair_71k().images[is_inside]))
        assert images == (10 if name == "ten images" else 27)


def test_drawn_images_keep_to_their_category():
    graph = drawn_from_mixed(60, 100, 4, np.random.default_rng(0))
    category = np.full(60, -1)
    for (source, target), own in zip(graph.images, graph.categories, strict=True):
        assert {category[source], category[target]} <= {-1, own}
        category[source] = category[target] = own


@pytest.mark.parametrize(
    "model", [Model(0.3, 0.2), Model(0.9, 0.1, 1), Model(0.5, 0.1, couple=0.3, spread=0.8)]
)
def test_simulated_shares_have_the_mean_and_the_correlation_that_are_asked_for(model):
    graph = pf_willow()
    simulated = simulate(graph, model, 800, np.random.default_rng(0))
    for right, truth in zip(simulated.right, simulated.truth, strict=True):
        mean = (right / graph.keypoints[:, None]).mean()
        assert mean == pytest.approx(truth.mean(), abs=0.015)
    # Two pairs of one source image, and no other: what one image adds.
    shares = simulated.right[0] / graph.keypoints[:, None]
    first, second = np.flatnonzero(graph.images[:, 0] == 0)[:2]
    if not model.spread:
        correlation = np.corrcoef(shares[first], shares[second])[0, 1]
        assert correlation == pytest.approx(model.image_share, abs=0.1)


def test_printed_intervals_cover_and_those_over_pairs_do_not():
    covered = cover(pf_willow(), Model(image_share=0.2), 200)
    assert 0.9 <= covered["image"].held <= 0.99
    assert covered[AS_IF_INDEPENDENT].held < 0.6


def test_an_interval_that_is_not_there_is_not_counted():
    covered = Coverage.of(np.array([0.1, np.nan, 0.3]), np.array([0.2, np.nan, 0.4]), 0.15)
    assert str(covered) == "50.0 (33 % without)"
    assert str(Coverage.of(np.array([np.nan]), np.array([np.nan]), 0.5)) == "–"


def test_one_seed_does_not_see_what_seeds_differ_in():
    one, five = (cover_seeds(pf_pascal(), SeedModel(seeds, 0, 0.1), 200).held for seeds in (1, 5))
    assert one < 0.6 < 0.85 < five


def test_equal_rows_are_rarely_told_apart():
    counts = count_ranks(pf_pascal(), (0, 0, 1.5), 10)
    assert counts.places > 0.7
    assert counts.found > 0.9
    assert counts.equal_apart <= 0.3


def test_the_command_writes_every_table(tmp_path):
    out = tmp_path / "coverage.md"
    options = f"--repetitions 1 --datasets pf-pascal --slow-repetitions 1 --out {out}"
    result = CliRunner().invoke(main, options, catch_exceptions=False)
    assert result.exit_code == 0
    text = out.read_text(encoding="utf-8")
    for title in (
        "PF-PASCAL",
        "Seeds",
        "Categories drawn with the images, 1 experiments",
        "Places, 1 experiments",
    ):
        assert f"## {title}\n" in text


def test_a_few_images_that_decide_are_where_intervals_are_too_short():
    model = Model(image_share=0.2)
    for graph in (star(), few_sources()):
        covered = cover(graph, model, 200)
        # As the documentation says.
        assert 0.6 < covered["image"].held < 0.95
    center = star().images == 0
    assert center.any(axis=1).mean() == 0.5
