"""Notes on how much of a split a record's numbers stand on."""

from __future__ import annotations

import pytest
from support.made_up_records import a_record

from harness.records.coverage import coverage_notes


def with_counts(record, sizes, **counts):
    """The record with these categories, category -> pairs, and counts."""
    first = record.scores[0]
    slices = [first.model_copy(update={"slice": f"category={name}", "pairs": n}) for name, n in sizes.items()]
    return record.model_copy(
        update={"scores": [first, *slices], "counts": record.counts.model_copy(update=counts)}
    )


@pytest.mark.parametrize(
    ("sizes", "categories", "text"),
    [
        ({"aeroplane": 6}, 10, "limited to 6 of 60 pairs (aeroplane only)"),
        ({"aeroplane": 6}, 1, "limited to 6 of 60 pairs"),
        ({"aeroplane": 6}, None, "limited to 6 of 60 pairs (aeroplane only)"),
        ({"a": 3, "b": 3}, 2, "limited to 6 of 60 pairs (3 in each of 2 categories)"),
        ({"a": 3, "b": 3}, 10, "limited to 6 of 60 pairs (3 in each of 2 of 10 categories)"),
        ({"a": 4, "b": 2}, 10, "limited to 6 of 60 pairs (4 a and 2 b; 2 of 10 categories)"),
        ({"a": 2, "b": 2, "c": 1, "d": 1}, 4, "limited to 6 of 60 pairs (1 to 2 in each of 4 categories)"),
        ({}, None, "limited to 6 of 60 pairs"),
    ],
)
def test_a_limited_run_says_how_many_pairs_of_which_categories(sizes, categories, text):
    record = with_counts(a_record(stored=6, pairs=60), sizes, categories=categories)
    assert coverage_notes(record, "argmax") == [text]
    assert record.coverage("argmax") == "limited"


@pytest.mark.parametrize(
    ("official", "notes", "coverage"),
    [
        (None, [], "ok"),
        (10, [], "ok"),
        (12_234, ["not whole: 10 pairs instead of the official 12,234"], "limited"),
        (9, ["not whole: 10 pairs instead of the official 9"], "limited"),
    ],
)
def test_a_split_of_another_size_than_the_published_one_is_marked(official, notes, coverage):
    record = with_counts(a_record(), {}, official=official)
    assert coverage_notes(record, "argmax") == notes
    assert record.coverage("argmax") == coverage


def test_both_reasons_stand_beside_each_other():
    record = with_counts(a_record(stored=4, failed=1), {}, official=900)
    assert coverage_notes(record, "argmax") == [
        "limited to 5 of 10 pairs",
        "not whole: 10 pairs instead of the official 900",
        "1 pair failed",
    ]
