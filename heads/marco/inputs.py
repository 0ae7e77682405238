"""Pictures as MARCO is fed them, and the frames that say where a picture lies in its input."""

from __future__ import annotations

from functools import partial
from typing import Literal

import PIL.Image
from torch import Tensor

from baselines.networks.pixels import normalize_pixels
from harness.frames import Frame, Size, padded_content
from harness.preprocess import padded
from harness.specs import Prepare
from matchers.backbones.inputs import stretch

Fit = Literal["pad", "stretch"]
"""How a picture fills the square: its longer side does, or both sides do."""


def pad_at_corner(image: PIL.Image.Image, side: int) -> Tensor:
    """RGB picture -> (3, side, side) float32: normalised, then zeros below and to the right.

    The zeros are the mean colour, and not black.
    """
    pixels = padded(image, side, PIL.Image.Resampling.BILINEAR, "corner").permute(2, 0, 1)
    normalized = normalize_pixels(pixels.float() / 255)
    width, height = padded_content(Size(*image.size), side)
    normalized[:, height:] = 0
    normalized[:, :, width:] = 0
    return normalized


def preparation(side: int, fit: Fit) -> Prepare:
    """The function that makes an input of a picture; worker processes may run it."""
    return partial(pad_at_corner if fit == "pad" else stretch, side=side)


def input_frame(original: Size, side: int, fit: Fit) -> Frame:
    """Where a picture lies in its input."""
    if fit == "pad":
        return Frame.padded(original, side, "corner")
    return Frame.stretched(original, Size(side, side))
