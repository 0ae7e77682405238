"""The key points of AP-10K: names, and which of them are left and right of one another."""

from __future__ import annotations

from collections.abc import Sequence

NAMES = (
    *("left_eye", "right_eye", "nose", "neck", "root_of_tail"),
    *("left_shoulder", "left_elbow", "left_front_paw", "right_shoulder", "right_elbow", "right_front_paw"),
    *("left_hip", "left_knee", "left_back_paw", "right_hip", "right_knee", "right_back_paw"),
)
"""In the order of the annotations."""

SYMMETRIC = tuple(
    (f"left_{part}", f"right_{part}")
    for part in ("eye", "shoulder", "elbow", "front_paw", "hip", "knee", "back_paw")
)
"""Groups of key points that look alike."""

PARTNERS = {name: partner for pair in SYMMETRIC for name, partner in (pair, pair[::-1])}
"""Key point -> the one that takes its place when the picture is mirrored."""


def order_problem(names: Sequence[str]) -> str:
    """The reason why a file's names are not those of AP-10K in its order; empty where they are.

    Copies spell names in several ways (`L_Eye`, `left eye`), so the number and the sides are compared.
    """
    if len(names) != len(NAMES):
        return f"{len(names)} key points, not {len(NAMES)}"
    for position, (name, expected) in enumerate(zip(names, NAMES, strict=True), start=1):
        if _side(name) != _side(expected):
            return f"key point {position} is '{name}', not {expected}"
    return ""


def _side(name: str) -> str:
    first = name.lower().replace(" ", "_").partition("_")
    return {"l": "left", "r": "right"}.get(first[0], first[0]) if first[0] in _SIDES else ""


_SIDES = ("l", "r", "left", "right")
