"""A picture in which every place differs, and copies of it that are changed in one known place each."""

from __future__ import annotations

import hashlib

import numpy as np
import PIL.Image

from harness.frames import Size

SIZE = Size(256, 192)
"""Not square: h and w must not pass for one another."""

PLACES = (
    (0.15, 0.35),
    (0.3, 0.15),
    (0.85, 0.3),
    (0.7, 0.15),
    (0.2, 0.7),
    (0.35, 0.85),
    (0.8, 0.65),
    (0.65, 0.85),
)
"""Centres of the changes in shares of width and height: far from where mirrors and turns would put them."""

_PATCH = 0.12
"""Sides of a change in shares of the picture's."""


def plain_picture() -> PIL.Image.Image:
    """The picture without a change: blots of three sizes, none like another."""
    generator = np.random.default_rng(0)
    total = np.zeros((SIZE.height, SIZE.width, 3))
    for columns, weight in ((4, 0.5), (8, 0.3), (32, 0.2)):
        small = generator.integers(0, 256, (columns * 3 // 4, columns, 3), dtype=np.uint8)
        layer = PIL.Image.fromarray(small).resize(SIZE, PIL.Image.Resampling.BICUBIC)
        total += weight * np.asarray(layer, dtype=np.float64)
    return PIL.Image.fromarray(total.round().astype(np.uint8))


def changed_picture(place: tuple[float, float]) -> PIL.Image.Image:
    """The picture with other colours and a check pattern around a place."""
    pixels = np.array(plain_picture())
    (left, right), (top, bottom) = (
        (round((share - _PATCH / 2) * side), round((share + _PATCH / 2) * side))
        for share, side in zip(place, SIZE, strict=True)
    )
    y, x = np.mgrid[top:bottom, left:right]
    check = ((x // 4 + y // 4) % 2 * 255).astype(np.uint8)[..., None]
    # Neither as bright nor of the colour that was there before.
    pixels[top:bottom, left:right] = np.where(check > 0, 255 - pixels[top:bottom, left:right], check)
    return PIL.Image.fromarray(pixels)


def identity_of(picture: PIL.Image.Image) -> str:
    """Hash of a picture's pixels."""
    return hashlib.sha256(picture.tobytes()).hexdigest()
