"""Splits whose pairs are those of another split with source and target exchanged."""

from __future__ import annotations

from dataclasses import replace

from harness.specs import ImagePair

REVERSED = "-reversed"
"""End of such a split's name."""


def unreversed(split: str) -> str:
    """Name of the split that a reversed one has its pairs of; any other split's own name."""
    return split.removesuffix(REVERSED)


def reverse_pair(pair: ImagePair) -> ImagePair:
    """The pair with source and target exchanged: pictures, sizes, points and boxes.

    Its labels stay: a dataset whose labels tell source from target exchanges those itself.
    """
    return replace(
        pair,
        source=pair.target,
        target=pair.source,
        source_size=pair.target_size,
        target_size=pair.source_size,
        source_points=pair.target_points,
        target_points=pair.source_points,
        source_keypoints=pair.target_keypoints,
        target_keypoints=pair.source_keypoints,
        source_box=pair.target_box,
        target_box=pair.source_box,
    )
