"""Colours that people with every kind of colour vision can tell apart, as (..., 3) arrays of 8-bit sRGB."""

from __future__ import annotations

import numpy as np

OKABE_ITO = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (213, 94, 0),
        (0, 114, 178),
        (204, 121, 167),
        (240, 228, 66),
    ],
    dtype=np.uint8,
)
"""(7, 3): the palette of Okabe and Ito (2008), "Color Universal Design", without its black."""

_VIRIDIS = np.array(
    [
        (68, 1, 84),
        (72, 40, 120),
        (62, 74, 137),
        (49, 104, 142),
        (38, 130, 142),
        (31, 158, 137),
        (53, 183, 121),
        (109, 205, 89),
        (180, 222, 44),
        (253, 231, 37),
    ]
)
"""Ten equal steps of viridis (Smith and van der Walt, 2015)."""

_CORNERS = np.array([[(127, 208, 255), (255, 240, 74)], [(16, 16, 138), (160, 40, 0)]])
"""Rows: top, bottom; columns: left, right.

Light to dark downwards and blue to yellow or red across: these stay apart where one kind of cone is missing
(tests/matching/test_match.py simulates that).
"""


def viridis(values: np.ndarray) -> np.ndarray:
    """Viridis colours (..., 3) of values (...) in [0, 1], clipped to it; higher values are lighter."""
    steps = np.linspace(0, 1, len(_VIRIDIS))
    # np.interp takes the end's colour beyond both ends, which clips the values.
    channels = [np.interp(values, steps, channel) for channel in _VIRIDIS.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def position_colours(positions: np.ndarray) -> np.ndarray:
    """Colours (..., 3) of positions in an image, blended between its four corners.

    Args:
        positions: (..., 2), (x, y) in [0, 1] of the image's width and height.
    """
    x = positions[..., 0, None].clip(0, 1)
    y = positions[..., 1, None].clip(0, 1)
    (top_left, top_right), (bottom_left, bottom_right) = _CORNERS
    top = top_left * (1 - x) + top_right * x
    bottom = bottom_left * (1 - x) + bottom_right * x
    colours: np.ndarray = (top * (1 - y) + bottom * y).round().astype(np.uint8)
    return colours
