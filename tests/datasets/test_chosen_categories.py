"""Names of splits of chosen categories, and the pairs that they stand for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.photos import make_photos

from harness.datasets.chosen_categories import (
    UnknownCategory,
    chosen_categories,
    find_categories,
    split_of_categories,
    whole_split,
)
from harness.datasets.splits import Splits, with_categories
from harness.plugins.loading import load_plugins
from harness.sweep import DatasetChoice

NAMES = st.text('a,"[] ', min_size=1, max_size=6)


@pytest.fixture(scope="module")
def splits():
    return Splits(load_plugins().datasets, Path("data"))


@settings(max_examples=60)
@given(st.sampled_from(["test", "test-reversed"]), st.lists(NAMES, min_size=1), st.randoms())
def test_a_name_says_which_categories_in_whatever_order(split, names, random):
    name = split_of_categories(split, names)
    assert (whole_split(name), chosen_categories(name)) == (split, tuple(sorted(set(names))))
    random.shuffle(names)
    assert split_of_categories(split, names) == name


def test_a_whole_split_has_its_own_name():
    assert split_of_categories("val", []) == whole_split("val") == "val"
    assert chosen_categories("val") == ()
    assert split_of_categories("test", ["dog", "cat", 'a "b", c']) == 'test["a ""b"", c",cat,dog]'


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("Cat", "unknown category 'Cat'; it has cat, dog; did you mean cat?"),
        ("zebra", "unknown category 'zebra'; it has cat, dog"),
        ("zebra,dgo", "unknown categories 'zebra', 'dgo'; it has cat, dog; did you mean dog?"),
    ],
)
def test_an_unknown_category_is_told_with_those_that_exist(names, reason):
    with pytest.raises(UnknownCategory) as error:
        find_categories("birds test", names.split(","), {"cat", "dog"})
    assert str(error.value) == f"birds test: {reason}"


def test_what_nobody_sees_or_types_does_not_hide_a_category():
    assert find_categories("", ["cat"], {" cat", "dog"}) == {" cat"}
    assert find_categories("", ["cat"], {" cat", "cat"}) == {"cat"}
    assert find_categories("", ["caf\u00e9"], {"cafe\u0301", "cafe"}) == {"cafe\u0301"}
    assert find_categories("", ["say hi"], {'say "hi"', "dog"}) == {'say "hi"'}


def test_pairs_of_chosen_categories_are_no_published_split(splits):
    whole = splits.read(DatasetChoice("shapes"), "test")
    some = splits.read(DatasetChoice("shapes"), "test[cat,house]")
    assert list(some.pair_ids) == [
        name for name in whole.pair_ids if whole.pairs[name].category in {"cat", "house"}
    ]
    assert (some.official_pairs, some.categories) == (None, ("cat", "house"))
    assert some.all_categories == whole.categories
    assert some.manifest != whole.manifest
    # What is known of the pairs stays with them.
    assert some.symmetric_groups("cat") == whole.symmetric_groups("cat") != ()


def test_prompts_that_name_other_categories_are_in_the_hash(splits):
    some = splits.read(DatasetChoice("shapes"), "test[cat]")
    assert dataclasses.replace(some, words_of_all=("cat", "hat")).manifest != some.manifest


def test_pairs_that_cannot_be_read_are_told(splits, tmp_path):
    folder = make_photos(tmp_path / "photos", images=3)
    (folder / "photo0.png").unlink()
    whole = splits.read(DatasetChoice("folder", folder), "test")
    assert 0 < len(whole.broken) < len(whole.pair_ids)
    (category,) = whole.categories
    index = with_categories(whole, f"test[{category}]")
    # Nobody knows of which category they are: they count as failed, and are not lost in silence.
    assert index.pair_ids == whole.pair_ids
    unreadable = f"all of its pairs are of blob, and {len(whole.broken)} pairs that cannot be read"
    with pytest.raises(UnknownCategory, match=unreadable):
        with_categories(whole, "test[zebra]")


def test_a_list_smaller_than_the_published_one_is_told(splits):
    whole = dataclasses.replace(splits.read(DatasetChoice("shapes"), "test"), official_pairs=601)
    assert with_categories(whole, "test[cat]").notes == ("chosen of 600 pairs instead of the official 601",)


def test_pairs_listed_several_times_are_those_of_the_categories(splits):
    whole = splits.read(DatasetChoice("shapes"), "test")
    cats = [name for name in whole.pair_ids if whole.pairs[name].category == "cat"]
    line = f"1 pair is listed several times and counts once: {cats[0]}, 2 times"
    twice = dataclasses.replace(whole, listed=(*whole.listed, cats[0]), notes=("drawn", line))
    assert with_categories(twice, "test[cat,house]").notes == ("drawn", line)
    assert with_categories(twice, "test[house]").notes == ("drawn",)
