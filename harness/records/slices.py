"""Names of the slices of a score: `all`, `category=cat`, `viewpoint=2`, `geometry-aware`.

The labels of pairs are the user's words. One that is called like a slice of ours is quoted, as in
`"category"=easy`, and never takes its place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection

ALL = "all"

CATEGORY = "category"

GEOMETRY_AWARE = "geometry-aware"
"""The points that look like another one of the target picture: a slice of points, not of pairs."""

GEOMETRY_AWARE_SHARED = "geometry-aware-shared"
"""The same where the dataset does not say what else the target shows: another one that the pair shares."""

POINT_SLICES = (GEOMETRY_AWARE, GEOMETRY_AWARE_SHARED)

POINT_SLICE_TEXTS = {
    GEOMETRY_AWARE: "points that look like another one of the target",
    GEOMETRY_AWARE_SHARED: "points that look like another one that both pictures of the pair show",
}
"""What is in each slice of points."""

_ENDING = "_variation"
"""End of SPair-71k's labels, which tables leave out."""


def shown_labels(labels: Collection[str]) -> dict[str, str]:
    """Label of a dataset's pairs -> its name in slices, different for each.

    `viewpoint_variation` is `viewpoint` where no other label is called so. A label that is named like a slice
    of ours, or holds what separates label and value, is quoted.
    """
    short_names = {label: label.removesuffix(_ENDING) for label in labels}
    counts = Counter(short_names.values())
    shown: dict[str, str] = {}
    for label, short_name in short_names.items():
        name = short_name if counts[short_name] == 1 and short_name != CATEGORY else label
        is_like_ours = name in (ALL, CATEGORY, "")
        shown[label] = json.dumps(name, ensure_ascii=False) if is_like_ours or set(name) & set('="') else name
    return shown


def slice_name(label: str, value: str) -> str:
    """`viewpoint=2`; the label as `shown_labels` has it."""
    return f"{label}={value}"


def split_slice(name: str) -> tuple[str, str]:
    """The label and the value of a slice's name; `all` is a label without value."""
    if name.startswith('"'):
        try:
            _, end = json.JSONDecoder().raw_decode(name)
        except ValueError:  # a record from before labels were quoted
            end = 0
        if name[end : end + 1] == "=" and end:
            return name[:end], name[end + 1 :]
    label, _, value = name.partition("=")
    return label, value


def category_of(name: str) -> str | None:
    """The category of a slice of one; None for other slices."""
    label, value = split_slice(name)
    return value if label == CATEGORY else None


def points_in(point_slice: str, name: str) -> str:
    """A slice of pairs where only the points of another slice count.

    `geometry-aware` of all pairs, `geometry-aware, category=cat` of a category's. The name itself where all
    points count.
    """
    if not point_slice:
        return name
    return point_slice if name == ALL else f"{point_slice}, {name}"


def pairs_in(point_slice: str, name: str) -> str:
    """The slice of pairs that `points_in` made a name of."""
    if not point_slice:
        return name
    return ALL if name == point_slice else name.removeprefix(f"{point_slice}, ")
