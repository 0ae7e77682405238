"""The pairs of a run cut into shards."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_up_splits import a_split

from harness.datasets.selection import predictable_pairs
from harness.datasets.shapes.spec import SHAPES
from harness.datasets.sharding import cut_into_shards, order_for_cuts
from harness.datasets.splits import read_split
from harness.running.asked import asked_pairs, covered_shards
from harness.running.resources import RunOptions
from harness.sweep import Shard


def a_split_of(pairs):
    """A split whose pairs are (category, picture, picture); a broken pair is None."""
    index = a_split([(0, 0) if pair is None else pair[1:] for pair in pairs])
    whole, broken = {}, {}
    for pair_id, pair in zip(index.pair_ids, pairs, strict=True):
        if pair is None:
            broken[pair_id] = "broken"
        else:
            whole[pair_id] = replace(index.pairs[pair_id], category=pair[0])
    return replace(index, pairs=whole, broken=broken)


PAIRS = st.lists(
    st.none() | st.tuples(st.sampled_from("abc"), st.integers(0, 8), st.integers(0, 8)),
    min_size=1,
    max_size=60,
)


def options(**changes):
    return RunOptions(data_root=Path(), out=Path(), criteria=(), **changes)


def shards_of(count):
    return [Shard(number, count) for number in range(1, count + 1)]


@given(PAIRS, st.integers(1, 70))
def test_shards_are_a_partition_of_almost_equal_parts(pairs, count):
    index = a_split_of(pairs)
    asked = predictable_pairs(index)
    parts = cut_into_shards(index, asked, count)
    assert len(parts) == min(count, len(asked))
    together = [pair_id for part in parts for pair_id in part]
    assert sorted(together) == sorted(asked)
    assert len(set(together)) == len(together)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sorted(map(len, parts), reverse=True) == list(map(len, parts)), "the larger ones come first"
    for part in parts:
        assert part == [pair_id for pair_id in asked if pair_id in set(part)], "in the dataset's order"


@given(PAIRS, st.sets(st.integers(1, 60)).map(sorted))
def test_an_order_keeps_categories_in_one_piece(pairs, cuts):
    categories = {}
    for number, pair in enumerate(pairs):
        category, pictures = (pair[0], tuple(map(str, pair[1:]))) if pair else (None, None)
        categories.setdefault(category, {})[str(number)] = pictures
    order = order_for_cuts(list(categories.values()), cuts)
    begun = [next(name for name, group in categories.items() if pair_id in group) for pair_id in order]
    assert len(order) == len(pairs)
    assert sum(a != b for a, b in itertools.pairwise(begun)) == len(categories) - 1


@given(PAIRS, st.integers(1, 9), st.integers(1, 70))
def test_limited_pairs_are_cut_in_the_same_way(pairs, count, limit):
    index = a_split_of(pairs)
    asked = predictable_pairs(index, limit)
    parts = [asked_pairs(index, options(limit=limit, shard=shard)) for shard in shards_of(count)]
    assert sorted(pair_id for part in parts for pair_id in part) == sorted(asked)
    assert sorted(map(len, parts), reverse=True) == list(map(len, parts)), "empty ones come last"


@given(PAIRS, st.integers(1, 9), st.data())
def test_a_shard_is_covered_when_all_of_its_pairs_are(pairs, count, data):
    index = a_split_of(pairs)
    parts = cut_into_shards(index, index.pair_ids, count)
    chosen = data.draw(st.sets(st.integers(1, len(parts)), max_size=len(parts) - 1))
    tried = {pair_id for number in chosen for pair_id in parts[number - 1]}
    run = options(shard=Shard(1, count))
    assert covered_shards(index, run, tried) == [f"{number}/{count}" for number in sorted(chosen)]
    assert covered_shards(index, options(), tried) == []
    assert covered_shards(index, options(), tried, [f"1/{count}"]) == covered_shards(index, run, tried)
    assert covered_shards(index, run, set(index.pair_ids)) == []


@given(st.integers(0, 10**6), st.integers(1, 10**9))
def test_shards_end_where_the_next_begin(total, count):
    first, last = Shard(1, count), Shard(count, count)
    assert (first.start(total), last.end(total)) == (0, total)
    middle = Shard((count + 1) // 2, count)
    assert middle.end(total) - middle.start(total) in (total // count, total // count + 1)


def pictures_in(index, part):
    return {
        image.identity()
        for pair_id in part
        for image in (index.pairs[pair_id].source, index.pairs[pair_id].target)
    }


def test_few_pictures_are_in_several_shards():
    # Every picture with every other: 20 pictures, 380 pairs.
    index = a_split([(a, b) for a in range(20) for b in range(20) if a != b])
    sizes = [len(pictures_in(index, part)) for part in cut_into_shards(index, index.pair_ids, 8)]
    # Five sources and all targets would be 20 each time.
    assert sum(sizes) <= 100
    assert max(sizes) <= 17


def test_a_shard_has_few_categories(tmp_path):
    index = read_split(SHAPES, tmp_path, "test")
    parts = cut_into_shards(index, index.pair_ids, 5)
    categories = [{index.pairs[pair_id].category for pair_id in part} for part in parts]
    assert [len(each) for each in categories] == [2] * 5, "ten categories of sixty pairs"


def test_cuts_are_the_same_for_ever(tmp_path):
    """Machines with other versions of this program must not take other pairs under one name."""
    index = read_split(SHAPES, tmp_path, "test")
    asked = predictable_pairs(index, 30)
    parts = cut_into_shards(index, asked, 7)
    assert list(map(len, parts)) == [5, 5, 4, 4, 4, 4, 4]
    assert [index.pairs[pair_id].category for pair_id in parts[2]] == ["boat", "boat", "car", "car"]
    text = json.dumps(parts)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "06c88ccbf27b0a5c"


@pytest.mark.parametrize("text", ["3/8", " 3/8 ", "03/08"])
def test_a_shard_is_read(text):
    assert Shard.parse(text) == Shard(3, 8)
    assert str(Shard.parse(text)) == "3/8"


@given(st.text(max_size=12) | st.from_regex(r"-?[0-9]{1,12}/-?[0-9]{1,12}", fullmatch=True))
def test_a_text_is_a_shard_or_refused(text):
    try:
        shard = Shard.parse(text)
    except ValueError as error:
        assert "/" in str(error)
    else:
        assert 1 <= shard.number <= shard.count
