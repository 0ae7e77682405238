"""The floor: the same position relative to the image, never to the object's box, which would leak where the object is.

As a feature extractor it encodes where a cell is and nothing else, so that any localizer finds the same
relative position. `bilinear`, its own, finds it exactly; one that picks cells is off by at most half a cell
of 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.frames import Frame, Size
from harness.specs import ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec

if TYPE_CHECKING:
    import torch

CELLS = 128

SIDE = 768

CYCLES = tuple(0.5 * 1.8**k for k in range(8))
"""Waves across the image: slow ones tell far cells apart, fast ones near cells. No two share a period, so a cell looks like no other."""


class Position:
    """Sines and cosines of a cell's relative position (an `ImageExtractor`)."""

    def __init__(self, context: MakeContext) -> None:
        self._code = position_code(CELLS).to(context.device)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """The same (32, 128, 128) map for every image, laid corner to corner on the image stretched to 768 x 768.

        A corner-to-corner grid maps the pixels of two images of different size onto each other by x' = x W' /
        W only if its frame is that of the stretched image; so it is.
        """
        size = Size(SIDE, SIDE)
        return [FeatureMap(self._code, Frame.stretched(request.size, size), "corner") for request in requests]


def position_code(cells: int) -> torch.Tensor:
    """(4 * waves, cells, cells) code whose dot products depend on the distance of two cells alone."""
    import torch

    line = torch.linspace(0, 1, cells, dtype=torch.float64)
    waves = [wave(2 * torch.pi * cycles * line) for cycles in CYCLES for wave in (torch.sin, torch.cos)]
    one_axis = torch.stack(waves).float()
    across = one_axis[:, None, :].expand(-1, cells, -1)
    down = one_axis[:, :, None].expand(-1, -1, cells)
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
    description="the same position relative to the image: the floor",
    notes="No paper prints this row. It knows neither image.",
)
