"""P-values of `bench compare` as text: those that the draws cannot make smaller are bounds."""

from __future__ import annotations

import pytest

from harness.scoring.bootstrap import LEAST_P
from harness.scoring.paired import holm
from harness.tables.differences import least_adjusted, p_text


def texts(p_values):
    rows = [
        {"p": p_value, "p_holm": adjusted} for p_value, adjusted in zip(p_values, holm(p_values), strict=True)
    ]
    rows.append({"p": None, "p_holm": None})
    least = least_adjusted(rows)
    return [p_text(row["p_holm"], least) for row in rows]


@pytest.mark.parametrize(
    ("tests", "text"),
    # 36 times 2 / 10,001 is 0.0072: rounded up, so that the bound holds.
    [(1, "<0.001"), (4, "<0.001"), (33, "<0.007"), (35, "<0.007"), (36, "<0.008"), (5001, "1.000")],
)
def test_the_least_p_value_of_so_many_tests_is_a_bound(tests, text):
    assert texts([LEAST_P] * tests) == [text] * tests + ["–"]


def test_larger_p_values_are_numbers():
    assert texts([LEAST_P, *[0.004] * 9]) == ["<0.002", *["0.036"] * 9, "–"]
    # Without a test at the end of the draws, nothing is a bound.
    assert texts([3 * LEAST_P] * 10) == ["0.006"] * 10 + ["–"]


def test_what_holm_raises_to_a_bound_is_one():
    assert texts([LEAST_P] * 30 + [1.01 * LEAST_P]) == ["<0.007"] * 31 + ["–"]
