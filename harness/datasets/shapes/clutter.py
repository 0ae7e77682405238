"""What stands before the object: shapes whose outlines are known, so that what they hide is known without painting."""

from __future__ import annotations

import math

import numpy as np

from harness.datasets.shapes.canvas import Patch
from harness.datasets.shapes.dice import KeyedRandom
from harness.datasets.shapes.outlines import XY, Outline, box, ellipse, limb, rotated, smooth, toward
from harness.datasets.shapes.paint import Coat, Texture, colour
from harness.frames import Size

_TEXTURES: tuple[Texture, ...] = ("plain", "plain", "stripes", "dots", "checks", "gradient", "fur", "speckle")
_UNIT = 50.0
"""Pixels in a unit of the textures of things that are no objects."""


def draw_occluders(dice: KeyedRandom, points: np.ndarray, size: Size) -> tuple[Patch, ...]:
    """Up to three shapes, most of them near one of the object's keypoints.

    Args:
        points: (n, 2) pixels of the keypoints.
    """
    number = dice.pick((0, 0, 0, 0, 1, 1, 1, 2))
    return tuple(_occluder(dice, points, size) for _ in range(number))


def random_coat(dice: KeyedRandom, vivid: float) -> Coat:
    """Any look. `vivid`: the largest saturation."""
    hue, saturation, value = dice.uniform(0, 1), dice.uniform(0.0, vivid), dice.uniform(0.25, 0.95)
    accent = colour(
        hue + dice.around(0, 0.06),
        saturation + dice.around(0, 0.1),
        value + dice.pick((-1, 1)) * dice.uniform(0.1, 0.35),
    )
    phase = (dice.uniform(0, 1), dice.uniform(0, 1))
    return Coat(
        colour(hue, saturation, value),
        accent,
        dice.pick(_TEXTURES),
        dice.uniform(0.14, 0.4),
        dice.uniform(0, 180),
        phase,
    )


def patch(outline: Outline, name: str, unit: float = _UNIT) -> Patch:
    """An outline in pixels as a patch whose textures have `unit` pixels to a unit."""
    centre = ((outline.min(axis=0) + outline.max(axis=0)) / 2).tolist()
    return Patch(name, np.round(outline, 3), np.eye(2) / unit, (centre[0], centre[1]))


def random_outline(dice: KeyedRandom, centre: XY, radius: float) -> Outline:
    """A blob, leaf, box or star of about this radius."""
    return dice.pick((_blob, _leaf, _crate, _star))(dice, radius) + centre


def _occluder(dice: KeyedRandom, points: np.ndarray, size: Size) -> Patch:
    x, y = points[dice.integer(0, len(points) - 1)].tolist()
    side = min(size)
    centre = (x + dice.around(0, 0.06 * side), y + dice.around(0, 0.06 * side))
    if dice.chance(0.3):
        return patch(_bar(dice, centre, size), "bar")
    return patch(random_outline(dice, centre, side * dice.uniform(0.05, 0.14)), "blob")


def _bar(dice: KeyedRandom, centre: XY, size: Size) -> Outline:
    """A pole, twig or wire that crosses the whole picture, or ends at the place."""
    angle, far = dice.uniform(0, 360), 2.0 * max(size)
    start = centre if dice.chance(0.5) else toward(centre, angle + 180 + dice.around(0, 8), far)
    width = dice.uniform(1.2, 4.5)
    return limb(
        [start, centre, toward(centre, angle, far)]
        if start != centre
        else [start, toward(centre, angle, far)],
        width,
        width,
    )


def _blob(dice: KeyedRandom, radius: float) -> Outline:
    knots = [
        toward((0, 0), 60 * step + dice.uniform(-12, 12), radius * dice.uniform(0.7, 1.35))
        for step in range(6)
    ]
    return smooth(*knots)


def _leaf(dice: KeyedRandom, radius: float) -> Outline:
    return ellipse(0, 0, radius * 1.5, radius * dice.uniform(0.4, 0.8), turn=dice.uniform(0, 180))


def _crate(dice: KeyedRandom, radius: float) -> Outline:
    half = radius * dice.uniform(0.6, 1.2)
    return rotated(box(-radius, -half, radius, half, radius * dice.uniform(0, 0.6)), dice.uniform(0, 180))


def _star(dice: KeyedRandom, radius: float) -> Outline:
    tips, inner = dice.integer(3, 7), dice.uniform(0.5, 0.8)
    turn = dice.uniform(0, 90)
    corners = [
        toward((0, 0), turn + 180 * step / tips, radius * (1.3 if step % 2 else 1.3 * inner))
        for step in range(2 * tips)
    ]
    return np.array(corners) if tips > 3 else smooth(*corners, steps=math.ceil(12 / tips))
