"""The pairs of a limited run."""

from __future__ import annotations

import itertools
import json

import pytest
from support.photos import photo_list, read_list, write_list
from support.results import the_record

from harness.datasets.selection import choose_spread, predictable_pairs
from harness.datasets.shapes.spec import SHAPES
from harness.datasets.splits import read_split


def categories_of(pair_ids, categories):
    return sorted(categories[pair_id] for pair_id in pair_ids)


def test_every_category_has_its_turn_before_one_has_a_second():
    categories = {f"{number:03}": "cat" if number < 90 else "dog" for number in range(98)}
    categories |= {"098": "cow", "099": "cow"}
    assert categories_of(choose_spread(categories, 3), categories) == ["cat", "cow", "dog"]
    # Two cows are all there are.
    assert categories_of(choose_spread(categories, 10), categories) == ["cat"] * 4 + ["cow"] * 2 + ["dog"] * 4


def test_a_choice_is_in_the_datasets_order_and_a_part_of_every_larger_one():
    categories = {f"{number:03}": "abc"[number % 3] for number in range(60)}
    choices = [choose_spread(categories, limit) for limit in range(1, 61)]
    for smaller, larger in itertools.pairwise(choices):
        assert set(smaller) < set(larger)
        assert smaller == sorted(smaller)
    assert choices[-1] == choose_spread(categories, None) == list(categories)


def test_a_choice_does_not_depend_on_the_order_of_the_pairs():
    categories = {f"{number:03}": "abc"[number % 3] for number in range(60)}
    backwards = dict(reversed(categories.items()))
    assert set(choose_spread(categories, 17)) == set(choose_spread(backwards, 17))


def test_ten_pairs_of_shapes_are_of_ten_categories(tmp_path):
    index = read_split(SHAPES, tmp_path, "val")
    chosen = predictable_pairs(index, 10)
    assert len({index.pairs[pair_id].category for pair_id in chosen}) == 10


@pytest.fixture
def two_kinds(photos):
    """Twelve pairs: ten blobs, then two stars, and the first blob without a point."""
    content = photo_list()
    for pair in content["pairs"][10:]:
        pair["category"] = "star"
    content["pairs"][0]["source_points"] = [None] * 5
    write_list(photos, content)
    return photos


def test_a_limited_run_takes_pairs_of_every_category_and_the_record_counts_them(bench, two_kinds, tmp_path):
    run = ("run", "--methods", "position", "--datasets", f"folder={two_kinds}", "--out", tmp_path / "r")
    assert bench(*run, "--limit", 4).status == 0
    record = the_record(tmp_path / "r")
    assert record["counts"]["categories"] == 2
    pairs = {score["slice"]: score["pairs"] for score in record["scores"]}
    assert (pairs["all"], pairs["category=blob"], pairs["category=star"]) == (4, 2, 2)


def test_a_pair_that_cannot_be_read_takes_its_turn(bench, two_kinds, tmp_path):
    content = read_list(two_kinds)
    content["pairs"][5]["source"] = "gone.png"
    write_list(two_kinds, content)
    run = ("run", "--methods", "position", "--datasets", f"folder={two_kinds}", "--out", tmp_path / "r")
    assert bench(*run, "--limit", 3).status == 1
    record = the_record(tmp_path / "r")
    (failure,) = record["failures"]
    assert failure["pair_id"] == "000006"
    assert record["localizers"]["bilinear"]["pairs"] == 2


def test_pairs_of_the_published_split_are_in_the_record(bench, photos, tmp_path):
    assert bench("run", "--methods", "position", "--limit", 3, "--out", tmp_path / "drawn").status == 0
    counts = the_record(tmp_path / "drawn")["counts"]
    assert (counts["official"], counts["pairs"]) == (600, 600)
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "own")
    assert bench(*run).status == 0
    assert the_record(tmp_path / "own")["counts"]["official"] is None


def test_records_without_the_number_of_the_published_split_are_read(bench, photos, tmp_path):
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert bench(*run).status == 0
    (path,) = (tmp_path / "r").glob("*/record.json")
    record = json.loads(path.read_text())
    del record["counts"]["official"], record["sealed"]
    path.write_text(json.dumps(record))
    assert bench("leaderboard", tmp_path / "r").status == 0
