"""Numbers, differences and names as a table prints them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.specs import Averaging

NOTHING = "–"
"""Stands where there is no number or name."""

REPORTED = "(reported)"
"""Ends the name of a row that a paper printed."""

_MOST_WITH_DECIMALS = 1e6
"""Larger numbers have as many digits as they need, in powers of ten."""


_AVERAGING_TEXTS: Mapping[Averaging, str] = {
    "image": "per image",
    "point": "per point",
    "category-image": "per image within a category, then over categories",
    "category-point": "per point within a category, then over categories",
}


def averaging_text(averaging: Averaging) -> str:
    """An average in words, which follow `mean`: `per image`."""
    return _AVERAGING_TEXTS[averaging]


def difference_text(points: float) -> str:
    """`+1.2`, `−2.2`, `0.0`."""
    rounded = round(points, 1)
    # What rounds to zero has no sign.
    if not rounded:
        return "0.0"
    sign = "+" if rounded > 0 else "−"
    return f"{sign}{abs(rounded):.1f}"


def alpha_text(alpha: float) -> str:
    """Two decimals, or as many digits as tell it from every other number."""
    if round(alpha, 2) == alpha and alpha < _MOST_WITH_DECIMALS:
        return f"{alpha:.2f}"
    return repr(float(alpha))


def split_name(dataset: str, split: str) -> str:
    """`birds` for its test split, `birds/val` for another."""
    return dataset if split == "test" else f"{dataset}/{split}"
