"""The slice `geometry-aware`: points that look like another point of the target picture.

A point counts where its symmetric group has at least two points in the target, of which it is one itself:
both ears of a cat are seen, and looks alone do not say which is meant. From GeoAware-SC (Zhang et al., CVPR
2024); see `docs/reference/geometry-aware.md` for where its program differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.records.slices import GEOMETRY_AWARE, GEOMETRY_AWARE_SHARED
from harness.specs import ImagePair


def geometry_slices(
    index: SplitIndex, pairs: Sequence[ImagePair], names: Sequence[Sequence[str]]
) -> Mapping[str, np.ndarray] | None:
    """Name of the slice -> (points of all pairs,) bool; None where no category has symmetric groups.

    Args:
        pairs: those of the split that have a point to score.
        names: of the points of each pair that are scored, in their order.
    """
    symmetric = [pair for pair in pairs if index.symmetric_groups(pair.category)]
    if not symmetric:
        return None
    # A slice of its own: numbers of two rules must not stand in one column.
    is_known = all(pair.target_keypoints is not None for pair in symmetric)
    flags: list[bool] = []
    for pair, scored in zip(pairs, names, strict=True):
        visible = set(scored)
        if is_known:
            visible |= set(pair.target_keypoints or ())
        ambiguous: set[str] = set()
        for group in index.symmetric_groups(pair.category):
            if len(visible & set(group)) >= 2:
                ambiguous |= set(group)
        flags += [name in ambiguous for name in scored]
    return {GEOMETRY_AWARE if is_known else GEOMETRY_AWARE_SHARED: np.array(flags, dtype=bool)}
