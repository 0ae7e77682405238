"""Random changes of a picture's colours; its geometry stays, so that points and masks stay true.

The authors of CATs, and those who followed them, let each of several changes happen to a fifth of the
pictures, and brightness and the like to most.
"""

from __future__ import annotations

import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import torch

OFTEN, SELDOM = 0.8, 0.2
"""Share of pictures with a change of brightness, contrast and saturation, and with each of the others."""

SPREAD = 0.4
"""Largest change of brightness, contrast and saturation, as a share."""

BITS = 4
"""Bits of a channel that posterising leaves."""


def change_colours(image: PIL.Image.Image, generator: torch.Generator) -> PIL.Image.Image:
    """Changes an RGB picture's brightness, contrast, saturation and the like.

    As many random numbers are drawn whatever is changed.
    """
    draws = torch.rand(8, generator=generator).tolist()
    if draws[0] < OFTEN:
        for enhance, draw in zip(
            (PIL.ImageEnhance.Brightness, PIL.ImageEnhance.Contrast, PIL.ImageEnhance.Color),
            draws[1:4],
            strict=True,
        ):
            image = enhance(image).enhance(1 + SPREAD * (2 * draw - 1))
    if draws[4] < SELDOM:
        image = PIL.ImageOps.posterize(image, BITS)
    if draws[5] < SELDOM:
        image = PIL.ImageOps.equalize(image)
    if draws[6] < SELDOM:
        image = PIL.ImageEnhance.Sharpness(image).enhance(2.0)
    if draws[7] < SELDOM:
        image = PIL.ImageOps.grayscale(image).convert("RGB")
    return image
