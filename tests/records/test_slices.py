"""Names of slices: a label of the user's never takes the place of the categories, nor of another label."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.records.slices import category_of, shown_labels, slice_name, split_slice
from harness.scoring.scores import slices_of


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["viewpoint_variation"], ["viewpoint"]),
        (["viewpoint", "viewpoint_variation"], ["viewpoint", "viewpoint_variation"]),
        (["category"], ['"category"']),
        (["category_variation"], ["category_variation"]),
        (["all"], ['"all"']),
        (["all_variation"], ['"all"']),
        (["a", "a=b"], ["a", '"a=b"']),
        (['"category"'], ['"\\"category\\""']),
        (["_variation"], ['""']),
    ],
)
def test_a_label_has_a_name_of_its_own(labels, shown):
    assert list(shown_labels(labels).values()) == shown


def test_names_can_be_read_back_and_never_meet():
    labels = ["category", "all", "a", "a=b", 'a"b', '"a', "x", "x_variation", "category_variation"]
    values = ["b", "b=c", "c", '"=d', "="]
    shown = shown_labels(labels)
    names = {slice_name(shown[label], value): (shown[label], value) for label in labels for value in values}
    assert len(names) == len(labels) * len(values)
    assert {name: split_slice(name) for name in names} == names
    assert {category_of(name) for name in names} == {None}
    assert category_of("category=b=c") == "b=c"
    assert split_slice("all") == ("all", "")


def test_names_of_older_records_are_read():
    assert split_slice('"odd=1') == ('"odd', "1")
    assert split_slice("viewpoint=2") == ("viewpoint", "2")


def test_a_label_called_category_leaves_the_categories_alone():
    labels = (
        {"category": "easy", "a": "b=c", "a=b": "c"},
        {"category": "cat", "view": 1, "view_variation": 2},
    )
    pairs = SimpleNamespace(numbers=lambda pair_ids: [0, 1], categories=("cat", "dog"), labels=labels)
    slices = slices_of(pairs, ["1", "2"])
    assert {name: inside.tolist() for name, inside in slices.items()} == {
        "all": [True, True],
        "category=cat": [True, False],
        "category=dog": [False, True],
        "a=b=c": [True, False],
        '"a=b"=c': [True, False],
        '"category"=cat': [False, True],
        '"category"=easy': [True, False],
        "view=1": [False, True],
        "view_variation=2": [False, True],
    }
