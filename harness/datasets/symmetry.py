"""Symmetric keypoints as short texts: `2-3 9-10-11-12` are two groups, by the numbers of keypoints."""

from __future__ import annotations

from collections.abc import Mapping


def parse_groups(texts: Mapping[str, str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Category -> groups of keypoints, as `DatasetSpec.symmetric_keypoints` has them."""
    return {
        category: tuple(tuple(group.split("-")) for group in text.split()) for category, text in texts.items()
    }


def parse_partners(texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Category -> keypoint -> its partner, as `DatasetSpec.mirror_partners` has them; groups are couples."""
    partners: dict[str, dict[str, str]] = {}
    for category, groups in parse_groups(texts).items():
        partners[category] = {}
        for left, right in groups:
            partners[category] |= {left: right, right: left}
    return partners
