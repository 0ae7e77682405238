"""From a scene to a picture."""

from __future__ import annotations

import numpy as np
import PIL.Image

from harness.datasets.shapes.backdrop import paint_backdrop
from harness.datasets.shapes.canvas import Light, paint_patch
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.clutter import random_coat
from harness.datasets.shapes.dice import KeyedRandom
from harness.datasets.shapes.paint import Coat, coat
from harness.datasets.shapes.scene import Scene


def render(scene: Scene, split: str, category: str, index: int) -> PIL.Image.Image:
    """The RGB picture of a scene. What is painted comes from streams of its own, so that it cannot move a point."""
    looks, front = (KeyedRandom(stream, split, category, index) for stream in ("looks", "front"))
    light = Light(
        degrees=looks.around(270, 35),
        shade=looks.uniform(0.05, 0.35),
        line=looks.uniform(0, 1.3),
        ink=looks.uniform(0.15, 0.75),
    )
    coats = {name: coat(paint, looks) for name, paint in KINDS[category].paints.items()}
    picture = paint_backdrop(scene.size, category, KeyedRandom("behind", split, category, index), light)
    for patch in scene.patches:
        paint_patch(picture, patch, coats[patch.paint], light)
    for patch in scene.occluders:
        paint_patch(picture, patch, random_coat(front, 0.7), light)
    return _photograph(picture, KeyedRandom("photo", split, category, index))


def draw_looks(split: str, category: str, index: int) -> tuple[Light, dict[str, Coat]]:
    """The light in a picture, and what each kind of paint looks like on its object."""
    dice = KeyedRandom("looks", split, category, index)
    light = Light(
        degrees=dice.around(270, 35),
        shade=dice.uniform(0.05, 0.35),
        line=dice.uniform(0, 1.3),
        ink=dice.uniform(0.15, 0.75),
    )
    return light, {name: coat(paint, dice) for name, paint in KINDS[category].paints.items()}


def _photograph(picture: PIL.Image.Image, dice: KeyedRandom) -> PIL.Image.Image:
    """Brightness, contrast, tint and grain."""
    pixels = np.asarray(picture, dtype=np.float64)
    contrast, brightness = dice.uniform(0.82, 1.12), dice.around(0, 8)
    tint = np.array([dice.around(1, 0.025) for _ in range(3)])
    grain = (dice.array(*pixels.shape[:2], 1) + dice.array(*pixels.shape[:2], 1) - 1) * dice.uniform(0, 6)
    exposed = ((pixels - 128) * contrast + 128 + brightness) * tint + grain
    return PIL.Image.fromarray(exposed.clip(0, 255).astype(np.uint8))
