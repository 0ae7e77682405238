"""The one place that maps coordinates.

Four kinds of coordinates occur, always ordered (x, y):

* *original pixels*: those of datasets' annotations and of stored predictions; the image covers
  [0, W] x [0, H];
* *frame pixels*: pixels of the image that a network was fed, i.e. the original image stretched or padded
  (`Frame`);
* *cells*: positions in a feature map of h x w cells; cell (0, 0) is the top left one (`GridConvention`);
* a protocol's frame, in which errors are measured: again a `Frame`.

Every function takes and returns arrays whose last axis is (x, y): numpy arrays or torch tensors. It computes
in their own precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

Points = TypeVar("Points", bound=Any)
"""(..., 2) numpy array or torch tensor of (x, y)."""

FARTHEST = 1e9
"""Pixels from the picture's corner beyond which a coordinate is no place in a picture, but a fault."""


@dataclass(frozen=True)
class PatchGrid:
    """Cells that are patches of `patch` pixels that begin every `stride` pixels, the first at the edge.

    With a stride smaller than the patch, the cells' centres leave (patch - stride) / 2 pixels more at the
    border than a tiling would (dino-vit-features).
    """

    patch: int
    stride: int


GridConvention = Literal["corner", "half-pixel", "patch-centre"] | PatchGrid
"""The way in which the cells of a feature map lie on the pixels of its frame.

* `corner`: first and last cell lie on the first and last pixel: x_pixel = x_cell (W - 1) / (w - 1)
  (SD4Match).
* `half-pixel`: a cell covers W / w pixels and pixel centres are integers:
  x_pixel = (x_cell + 0.5) W / w - 0.5 (DIFT's upsampling).
* `patch-centre`: a cell covers W / w pixels, pixel *edges* are integers: x_pixel = (x_cell + 0.5) W / w
  (GeoAware-SC).
* `PatchGrid(patch, stride)`: overlapping patches, pixel *edges* are integers:
  x_pixel = x_cell stride + patch / 2.
"""


Placement = Literal["centre", "corner"]
"""Where a picture lies in a square that is larger: in its middle, or at its top left corner."""


class Size(NamedTuple):
    """Width and height in pixels, or in cells."""

    width: int
    height: int


@dataclass(frozen=True)
class Frame:
    """An image as a network (or a protocol) sees it.

    Original pixels map to its own pixels by p_frame = p * scale + offset.

    Attributes:
        original: size of the image as annotated.
        size: size of the frame.
        scale, offset: (x, y) of the map.
    """

    original: Size
    size: Size
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def unchanged(cls, original: Size) -> Frame:
        """The image itself."""
        return cls(original, original)

    @classmethod
    def stretched(cls, original: Size, to: Size) -> Frame:
        """The whole image resized to `to`, aspect ratio ignored (SD4Match, DIFT).

        x' = x to.width / original.width.
        """
        return cls(original, to, (to.width / original.width, to.height / original.height))

    @classmethod
    def padded(cls, original: Size, side: int, place: Placement = "centre") -> Frame:
        """The image scaled so that its longer side is `side`, in a square of that side.

        In the centre, the offset is the integer number of padding pixels before the image (SD+DINO,
        GeoAware-SC); at the corner, all padding is below and to the right (MARCO).
        """
        scale = side / max(original)
        if place == "corner":
            return cls(original, Size(side, side), (scale, scale))
        inner = padded_content(original, side)
        # Whole pixels, as the picture is pasted: an odd one goes to the right or lower edge.
        left = (side - inner.width) // 2
        top = (side - inner.height) // 2
        return cls(original, Size(side, side), (scale, scale), (left, top))

    def from_original(self, points: Points) -> Points:
        """Original pixels -> frame pixels."""
        (sx, sy), (ox, oy) = self.scale, self.offset
        x = points[..., 0] * sx + ox
        y = points[..., 1] * sy + oy
        return _stack(points, x, y)

    def to_original(self, points: Points) -> Points:
        """Frame pixels -> original pixels."""
        (sx, sy), (ox, oy) = self.scale, self.offset
        x = (points[..., 0] - ox) / sx
        y = (points[..., 1] - oy) / sy
        return _stack(points, x, y)


def padded_content(original: Size, side: int) -> Size:
    """Size in pixels of the image inside a padded square of `side`.

    The aspect ratio is kept, and each side is at least one pixel.
    """
    scale = side / max(original)
    # A very long image would round to nothing across.
    width = max(1, round(original.width * scale))
    height = max(1, round(original.height * scale))
    return Size(width, height)


def pixels_to_cells(points: Points, frame: Size, grid: Size, convention: GridConvention) -> Points:
    """Frame pixels -> cells, unclamped."""
    ratio_x, ratio_y, before, after = _grid_map(frame, grid, convention)
    # Corner to corner, all cells lie on the one pixel of a frame a pixel wide: the first stands for them.
    x = (points[..., 0] + before) / (ratio_x or math.inf) - after
    y = (points[..., 1] + before) / (ratio_y or math.inf) - after
    return _stack(points, x, y)


def cells_to_pixels(cells: Points, frame: Size, grid: Size, convention: GridConvention) -> Points:
    """Cells -> frame pixels: the inverse of `pixels_to_cells`."""
    ratio_x, ratio_y, before, after = _grid_map(frame, grid, convention)
    x = (cells[..., 0] + after) * ratio_x - before
    y = (cells[..., 1] + after) * ratio_y - before
    return _stack(cells, x, y)


def _grid_map(frame: Size, grid: Size, convention: GridConvention) -> tuple[float, float, float, float]:
    """(pixels per cell in x, in y, shift before the division, shift after it)."""
    if isinstance(convention, PatchGrid):
        return convention.stride, convention.stride, 0.0, convention.patch / 2 / convention.stride
    if convention == "corner":
        # A single row or column of cells has no spacing; every pixel then belongs to cell 0.
        ratio_x = (frame.width - 1) / max(grid.width - 1, 1)
        ratio_y = (frame.height - 1) / max(grid.height - 1, 1)
        return ratio_x, ratio_y, 0.0, 0.0
    ratio_x, ratio_y = frame.width / grid.width, frame.height / grid.height
    if convention == "half-pixel":
        return ratio_x, ratio_y, 0.5, 0.5
    if convention == "patch-centre":
        return ratio_x, ratio_y, 0.0, 0.5
    raise ValueError(f"unknown grid convention {convention!r}; known: corner, half-pixel, patch-centre")


def clamp(points: Points, size: Size, margin: float) -> Points:
    """Points moved into [margin, side - 1 - margin] of a frame."""
    return _stack(
        points,
        points[..., 0].clip(margin, size.width - 1 - margin),
        points[..., 1].clip(margin, size.height - 1 - margin),
    )


def _stack(like: Points, x: Any, y: Any) -> Points:
    """(x, y) columns -> an array of the kind that `like` is."""
    # Asked of the array itself: points of numpy alone must not import torch.
    if hasattr(like, "__array_function__"):
        import numpy

        return numpy.stack([x, y], axis=-1)  # type: ignore[return-value]
    import torch

    return torch.stack([x, y], dim=-1)  # type: ignore[return-value]
