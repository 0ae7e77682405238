"""Things before the object: their outlines say which keypoints they hide, without any painting."""

from __future__ import annotations

import math

import numpy as np

from harness.datasets.shapes.canvas import Patch
from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import XY, Outline, box, ellipse, limb, point_toward, rotate, smooth
from harness.datasets.shapes.paint import Coat, Texture, to_rgb
from harness.frames import Size

# Plain twice, to be picked twice as often.
_TEXTURES: tuple[Texture, ...] = ("plain", "plain", "stripes", "dots", "checks", "gradient", "fur", "speckle")
_UNIT = 50.0
"""Pixels in a unit of the textures of things that are not objects."""


def draw_occluders(rng: KeyedRandom, points: np.ndarray, size: Size) -> tuple[Patch, ...]:
    """Draws up to two shapes, each near one of the object's keypoints.

    Args:
        points: (n, 2) pixels of the keypoints.
    """
    # Nothing stands before every second object.
    number = rng.pick((0, 0, 0, 0, 1, 1, 1, 2))
    return tuple(_draw_occluder(rng, points, size) for _ in range(number))


def random_coat(rng: KeyedRandom, vivid: float) -> Coat:
    """Draws any look. `vivid` is the largest saturation."""
    hue = rng.uniform(0, 1)
    saturation = rng.uniform(0.0, vivid)
    value = rng.uniform(0.25, 0.95)
    accent = to_rgb(
        hue + rng.around(0, 0.06),
        saturation + rng.around(0, 0.1),
        value + rng.pick((-1, 1)) * rng.uniform(0.1, 0.35),
    )
    phase = (rng.uniform(0, 1), rng.uniform(0, 1))
    return Coat(
        to_rgb(hue, saturation, value),
        accent,
        rng.pick(_TEXTURES),
        rng.uniform(0.14, 0.4),
        rng.uniform(0, 180),
        phase,
    )


def make_patch(outline: Outline, name: str, unit: float = _UNIT) -> Patch:
    """Makes a patch of an outline in pixels; a unit of its textures is `unit` pixels."""
    centre = ((outline.min(axis=0) + outline.max(axis=0)) / 2).tolist()
    return Patch(name, np.round(outline, 3), np.eye(2) / unit, (centre[0], centre[1]))


def random_outline(rng: KeyedRandom, centre: XY, radius: float) -> Outline:
    """Draws a blob, leaf, box or star of about this radius."""
    return rng.pick((_draw_blob, _draw_leaf, _draw_crate, _draw_star))(rng, radius) + centre


def _draw_occluder(rng: KeyedRandom, points: np.ndarray, size: Size) -> Patch:
    # Near a keypoint: things anywhere else would hide none.
    x, y = points[rng.integer(0, len(points) - 1)].tolist()
    side = min(size)
    centre = (x + rng.around(0, 0.06 * side), y + rng.around(0, 0.06 * side))
    if rng.chance(0.3):
        return make_patch(_draw_bar(rng, centre, size), "bar")
    return make_patch(random_outline(rng, centre, side * rng.uniform(0.05, 0.14)), "blob")


def _draw_bar(rng: KeyedRandom, centre: XY, size: Size) -> Outline:
    """Draws a pole, twig or wire that crosses the whole picture, or ends at `centre`."""
    angle = rng.uniform(0, 360)
    far = 2.0 * max(size)
    start = centre
    if not rng.chance(0.5):
        start = point_toward(centre, angle + 180 + rng.around(0, 8), far)
    width = rng.uniform(1.2, 4.5)
    path = [centre, point_toward(centre, angle, far)]
    if start != centre:
        path.insert(0, start)
    return limb(path, width, width)


def _draw_blob(rng: KeyedRandom, radius: float) -> Outline:
    knots = []
    for step in range(6):
        angle = 60 * step + rng.uniform(-12, 12)
        knots.append(point_toward((0, 0), angle, radius * rng.uniform(0.7, 1.35)))
    return smooth(*knots)


def _draw_leaf(rng: KeyedRandom, radius: float) -> Outline:
    width = radius * rng.uniform(0.4, 0.8)
    return ellipse(0, 0, radius * 1.5, width, turn=rng.uniform(0, 180))


def _draw_crate(rng: KeyedRandom, radius: float) -> Outline:
    half = radius * rng.uniform(0.6, 1.2)
    crate = box(-radius, -half, radius, half, radius * rng.uniform(0, 0.6))
    return rotate(crate, rng.uniform(0, 180))


def _draw_star(rng: KeyedRandom, radius: float) -> Outline:
    tips = rng.integer(3, 7)
    inner = rng.uniform(0.5, 0.8)
    turn = rng.uniform(0, 90)
    corners = []
    for step in range(2 * tips):
        # Tips and inner corners by turns.
        factor = 1.3 if step % 2 else 1.3 * inner
        corners.append(point_toward((0, 0), turn + 180 * step / tips, radius * factor))
    return np.array(corners) if tips > 3 else smooth(*corners, steps=math.ceil(12 / tips))
