"""Wording that messages share."""

import pytest

from harness.messages import counted, listed


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
    ],
)
def test_items_are_listed(items, text):
    assert listed(items) == text
    assert listed(tuple(items)) == text


def test_numbers_are_counted_in_singular_and_plural():
    assert counted(1, "pair") == "1 pair"
    assert counted(5739, "pair") == "5,739 pairs"
    assert counted(2, "category", "categories") == "2 categories"
