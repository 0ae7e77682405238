"""Painting outlines on a picture, anti-aliased and textured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw

from harness.datasets.shapes.outlines import XY, Outline
from harness.datasets.shapes.paint import Coat
from harness.datasets.shapes.textures import accent_share

FINE = 4
"""Masks are drawn this many times larger, then averaged."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A part as it lies in the picture.

    Attributes:
        paint: name of its look.
        outline: (n, 2) pixels.
        axes: (2, 2) object units for each pixel: row i holds the change of object coordinate i along x and y.
            Textures follow it.
        centre: pixels; the origin of the texture.
        line: width of its contour relative to the picture's.
        turn: degrees by which its texture is turned with it.
    """

    paint: str
    outline: Outline
    axes: np.ndarray
    centre: XY
    line: float = 1.0
    turn: float = 0.0


@dataclass(frozen=True)
class Light:
    """Shading and contours of a picture's parts.

    Attributes:
        degrees: direction that light comes from; 270 is from above.
        shade: change of brightness from a part's middle to its lit edge.
        line: width of contours in pixels.
        ink: brightness of contours, relative to the part.
    """

    degrees: float = 270.0
    shade: float = 0.2
    line: float = 0.8
    ink: float = 0.4


def paint_patch(
    picture: PIL.Image.Image,
    patch: Patch,
    coat: Coat,
    light: Light,
) -> None:
    """Paints one part over the picture."""
    x1, y1, x2, y2 = _pixel_box(patch.outline, picture.size)
    if x1 >= x2 or y1 >= y2:  # a part outside the picture
        return
    size = (x2 - x1, y2 - y1)
    corners = [((x - x1) * FINE, (y - y1) * FINE) for x, y in patch.outline.tolist()]
    filling = _paint_filling(patch, coat, light, (x1, y1), size)
    picture.paste(filling, (x1, y1), _fill_mask(corners, size))
    width = round(light.line * patch.line * FINE)
    if width:
        red, green, blue = (int(channel * light.ink) for channel in coat.base)
        contour = _contour_mask(corners, size, width)
        picture.paste((red, green, blue), (x1, y1, x2, y2), contour)


def _pixel_box(outline: Outline, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The pixels an outline can touch, contour included, that lie in the picture."""
    left, top = outline.min(axis=0).tolist()
    right, bottom = outline.max(axis=0).tolist()
    return (
        max(math.floor(left) - 1, 0),
        max(math.floor(top) - 1, 0),
        min(math.ceil(right) + 1, size[0]),
        min(math.ceil(bottom) + 1, size[1]),
    )


def _paint_filling(
    patch: Patch,
    coat: Coat,
    light: Light,
    origin: tuple[int, int],
    size: tuple[int, int],
) -> PIL.Image.Image:
    """Paints the part's colours in a box of pixels: its texture, brighter towards the light."""
    # At the middles of the pixels, hence the half.
    x = np.arange(size[0]) + (origin[0] + 0.5 - patch.centre[0])
    y = (np.arange(size[1]) + (origin[1] + 0.5 - patch.centre[1]))[:, None]
    base = np.array(coat.base)
    accent = np.array(coat.accent)
    share = accent_share(coat, patch.axes, patch.turn, x, y)
    mixed = share[:, :, None] * (accent - base) + base
    extent = float(np.ptp(patch.outline, axis=0).max())
    direction = math.radians(light.degrees)
    # -1 to 1 across the part, whatever its size; a part of less than a pixel counts as one.
    lit = (x * math.cos(direction) + y * math.sin(direction)) * (2 / max(extent, 1.0))
    shaded = mixed * (1 + light.shade * lit.clip(-1, 1))[:, :, None]
    return PIL.Image.fromarray(shaded.clip(0, 255).astype(np.uint8))


def _fill_mask(corners: list[XY], size: tuple[int, int]) -> PIL.Image.Image:
    """Share of each pixel within an outline, 0 to 255.

    Args:
        corners: the outline, larger by `FINE`.
    """
    mask = PIL.Image.new("L", (size[0] * FINE, size[1] * FINE))
    PIL.ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask.reduce(FINE)


def _contour_mask(corners: list[XY], size: tuple[int, int], width: int) -> PIL.Image.Image:
    """Share of each pixel within an outline's contour, 0 to 255; see `_fill_mask`."""
    mask = PIL.Image.new("L", (size[0] * FINE, size[1] * FINE))
    # On to the second corner, so that the line has a joint at the first one, too.
    PIL.ImageDraw.Draw(mask).line([*corners, *corners[:2]], fill=255, width=width)
    return mask.reduce(FINE)
