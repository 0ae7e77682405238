"""What lies behind the object: soft fields of colour, coarse shapes and, smaller, objects of other categories."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import PIL.Image

from harness.datasets.shapes.canvas import Light, paint_patch
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.clutter import patch, random_coat, random_outline
from harness.datasets.shapes.dice import KeyedRandom
from harness.datasets.shapes.outlines import box, rotated
from harness.datasets.shapes.paint import coat, colour
from harness.datasets.shapes.scene import lay_out, sketch_object
from harness.datasets.shapes.view import draw_view
from harness.frames import Size


def paint_backdrop(size: Size, category: str, dice: KeyedRandom, light: Light) -> PIL.Image.Image:
    """A new picture without its object. No distractor is of the object's own category."""
    picture = _field(size, dice)
    if dice.chance(0.35):
        _ground(picture, dice)
    dice.pick((_nothing, _stripes, _shapes, _shapes))(picture, dice)
    others = [name for name in KINDS if name != category]
    for _ in range(dice.pick((0, 0, 1, 1, 2))):
        _distractor(picture, dice.pick(others), dice, light)
    return picture


def _field(size: Size, dice: KeyedRandom) -> PIL.Image.Image:
    """Smooth noise: a few coloured cells, enlarged; every second one is close to a single colour."""
    hue, spread = dice.uniform(0, 1), dice.pick((0.04, 0.12))
    rows, columns = dice.integer(2, 5), dice.integer(2, 5)
    saturation, value = dice.uniform(0.05, 0.5), dice.uniform(0.35, 0.9)
    cells = [
        colour(
            dice.around(hue, spread), dice.around(saturation, 0.1), dice.around(value, dice.pick((0.04, 0.1)))
        )
        for _ in range(rows * columns)
    ]
    pixels = np.array(cells).reshape(rows, columns, 3).astype(np.uint8)
    return PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC)


def _ground(picture: PIL.Image.Image, dice: KeyedRandom) -> None:
    """A floor or wall edge that crosses the picture."""
    width, height = picture.size
    horizon = height * dice.uniform(0.5, 0.85)
    outline = rotated(box(-width, 0, width, 2 * height), dice.around(0, 6)) + (width / 2, horizon)
    paint_patch(picture, patch(outline, "ground"), random_coat(dice, 0.45), Light(line=0))


def _nothing(picture: PIL.Image.Image, dice: KeyedRandom) -> None:
    """Leaves the picture as it is."""


def _stripes(picture: PIL.Image.Image, dice: KeyedRandom) -> None:
    """Wide faint stripes or checks over everything."""
    width, height = picture.size
    pixels = np.asarray(picture, dtype=np.float64)
    other = np.array(colour(dice.uniform(0, 1), dice.uniform(0, 0.5), dice.uniform(0.2, 1)))
    angle, pitch = dice.uniform(0, math.pi), dice.uniform(9, 30)
    x, y = np.arange(width), np.arange(height)[:, None]
    wave = (x * math.cos(angle) + y * math.sin(angle)) / pitch + dice.uniform(0, 1)
    share = (0.5 + 2.5 * (1 - 4 * np.abs(wave - np.floor(wave) - 0.5))).clip(0, 1) * dice.uniform(0.1, 0.3)
    mixed = pixels + share[:, :, None] * (other - pixels)
    picture.paste(PIL.Image.fromarray(mixed.astype(np.uint8)))


def _shapes(picture: PIL.Image.Image, dice: KeyedRandom) -> None:
    """Blobs, boxes and stars of any colour."""
    width, height = picture.size
    for _ in range(dice.integer(2, 6)):
        centre = (dice.uniform(0, width), dice.uniform(0, height))
        outline = random_outline(dice, centre, min(width, height) * dice.uniform(0.06, 0.24))
        paint_patch(
            picture,
            patch(outline, "shape"),
            random_coat(dice, 0.6),
            Light(line=dice.pick((0, 0.6)), shade=0.15),
        )


def _distractor(picture: PIL.Image.Image, category: str, dice: KeyedRandom, light: Light) -> None:
    """A small object of another category, anywhere, perhaps partly outside."""
    size = Size(*picture.size)
    view = replace(
        draw_view(dice),
        fill=dice.uniform(0.25, 0.42),
        place=(dice.uniform(-1.3, 1.3), dice.uniform(-1.3, 1.3)),
    )
    patches, _ = lay_out(sketch_object(category, dice), view, size)
    coats = {name: coat(paint, dice) for name, paint in KINDS[category].paints.items()}
    thin = replace(light, line=light.line * 0.6)
    for one in patches:
        paint_patch(picture, one, coats[one.paint], thin)
