"""The most similar pixel of the square that the network was fed."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from harness.frames import Frame, GridConvention
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.specs import FeatureMap, Located
from matchers.localizers.picture_pixels import round_within

GRID: GridConvention = "half-pixel"
"""How cells lie on the frame's pixels where a map does not declare it."""


@dataclass(frozen=True)
class ArgmaxFrame:
    """The pixel of highest cosine similarity after both maps are upsampled to the frame's size.

    The query is the frame's pixel that is nearest to a point; halves go to the even one. A prediction is a
    whole pixel of the target's frame, and its number is scaled to the original picture as it is. Of equal
    pixels the first counts, in rows from the top left.
    """

    _inner: ArgmaxOriginal = field(default_factory=ArgmaxOriginal, repr=False, compare=False)

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        pixels = round_within(source.frame.from_original(points), source.frame.size)
        located = self._inner(_on_frame(source), _on_frame(target), pixels)
        return Located(target.frame.to_original(located.points), located.score)


def _on_frame(feature_map: FeatureMap) -> FeatureMap:
    """The map with its frame for the original picture."""
    frame = Frame.unchanged(feature_map.frame.size)
    return FeatureMap(feature_map.data, frame, feature_map.grid)
