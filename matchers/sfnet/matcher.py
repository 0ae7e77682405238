"""SFNet's correlation of a pair, in the direction of the harness."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from harness.specs import FeatureMap, Lattice, MakeContext, Matches
from matchers.sfnet.network import correlate_levels, normalize_rows


class SFNetMatcher:
    """Product of both levels' cosines (a `Matcher`).

    The authors look up points of the target: their target is the source here, and each of its cells has its
    scores normalised over all cells of the other picture.
    """

    def __init__(self, context: MakeContext) -> None:
        del context  # It has no parameters and no weights.

    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """Volumes (h, w, h', w') of the third level's cells."""
        return [
            to_matches(source, target, two_levels(source), two_levels(target)) for source, target in pairs
        ]


def two_levels(features: FeatureMap) -> tuple[Tensor, Tensor]:
    """(1, C, h, w) and (1, C', h', w'): a map of `AdaptedFeatures` as the third and the fourth level."""
    return features.data[None], features.levels[0][None]


def to_matches(
    source: FeatureMap,
    target: FeatureMap,
    source_levels: tuple[Tensor, Tensor],
    target_levels: tuple[Tensor, Tensor],
) -> Matches:
    """Matches of a pair whose levels are ready to be compared."""
    volume = normalize_rows(correlate_levels(source_levels, target_levels))[0]
    return Matches(
        Lattice(source.frame, source.cells, source.grid),
        Lattice(target.frame, target.cells, target.grid),
        volume=volume,
    )
