"""The floor: predicts the same position relative to the image.

It is not relative to the object's box, which would leak the position of the object.

As a feature extractor it encodes positions in the image and nothing else, so that any localizer finds the
same relative position. `bilinear`, its own, finds it exactly; a localizer that picks positions of the grid is
off by at most half a step of 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import citations
from harness.frames import Frame, Size
from harness.specs import ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec

if TYPE_CHECKING:
    import torch

GRID = 128
"""Positions along each side of the feature map."""

SIDE = 768
"""Side in pixels of the stretched image that the feature map lies on."""

CYCLES = tuple(0.5 * 1.8**k for k in range(8))
"""Waves across the image: slow ones tell far positions apart, fast ones near positions.

All periods differ, so every position has a code of its own.
"""


class Position:
    """Sines and cosines of relative positions (an `ImageExtractor`)."""

    def __init__(self, context: MakeContext) -> None:
        self._code = position_code(GRID).to(context.device)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """The same (32, 128, 128) map for every image, corner to corner on the image stretched to 768 x 768.

        A corner-to-corner grid maps the pixels of two images of different size onto each other by x' = x W' /
        W only if its frame is that of the stretched image.
        """
        size = Size(SIDE, SIDE)
        maps = []
        for request in requests:
            maps.append(FeatureMap(self._code, Frame.stretched(request.size, size), "corner"))
        return maps


def position_code(side: int) -> torch.Tensor:
    """(4 * waves, side, side) code whose dot products depend only on the distance of two positions."""
    import torch

    axis = torch.linspace(0, 1, side, dtype=torch.float64)
    waves = []
    for cycles in CYCLES:
        angles = 2 * torch.pi * cycles * axis
        # sin a sin b + cos a cos b = cos(a - b): products depend on the distance.
        waves += [torch.sin(angles), torch.cos(angles)]
    axis_code = torch.stack(waves).float()
    across = axis_code[:, None, :].expand(-1, side, -1)
    down = axis_code[:, :, None].expand(-1, -1, side)
    return torch.cat([across, down])


EXTRACTOR = ExtractorSpec(
    name="position",
    make=Position,
    image_size=(SIDE, SIDE),
    description="where a cell is, and nothing else",
)

METHOD = MethodSpec(
    name="position",
    extractor="position",
    localizer="bilinear",
    # Nothing is chosen: it has no parameter.
    tuned_on=(),
    description="the same position relative to the image: the floor",
    notes="No paper prints this row. It knows neither image.",
    citation=citations.HARNESS,
)
