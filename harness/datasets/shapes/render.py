"""From a scene to a picture."""

from __future__ import annotations

import numpy as np
import PIL.Image

from harness.datasets.shapes.backdrop import paint_backdrop
from harness.datasets.shapes.canvas import Light, paint_patch
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.clutter import random_coat
from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.paint import Coat, make_coat
from harness.datasets.shapes.scene import Scene


def render(
    scene: Scene,
    split: str,
    category: str,
    index: int,
) -> PIL.Image.Image:
    """Paints the RGB picture of a scene.

    Looks come from random numbers of their own, so that they cannot move a point.
    """
    light, coats = draw_looks(split, category, index)
    occluder_looks = KeyedRandom("front", split, category, index)
    backdrop_looks = KeyedRandom("behind", split, category, index)
    # From back to front: backdrop, object, things before it.
    picture = paint_backdrop(scene.size, category, backdrop_looks, light)
    for patch in scene.patches:
        paint_patch(picture, patch, coats[patch.paint], light)
    for patch in scene.occluders:
        paint_patch(picture, patch, random_coat(occluder_looks, 0.7), light)
    return _photograph(picture, KeyedRandom("photo", split, category, index))


def draw_looks(split: str, category: str, index: int) -> tuple[Light, dict[str, Coat]]:
    """Draws the light in a picture, and the look of each paint of its object."""
    rng = KeyedRandom("looks", split, category, index)
    light = Light(
        degrees=rng.around(270, 35),
        shade=rng.uniform(0.05, 0.35),
        line=rng.uniform(0, 1.3),
        ink=rng.uniform(0.15, 0.75),
    )
    return light, {name: make_coat(paint, rng) for name, paint in KINDS[category].paints.items()}


def _photograph(picture: PIL.Image.Image, rng: KeyedRandom) -> PIL.Image.Image:
    """Changes brightness, contrast and tint, and adds grain."""
    pixels = np.asarray(picture, dtype=np.float64)
    contrast = rng.uniform(0.82, 1.12)
    brightness = rng.around(0, 8)
    tint = np.array([rng.around(1, 0.025) for _ in range(3)])
    # The sum of two uniform numbers: small deviations are more common than large ones.
    height_and_width = pixels.shape[:2]
    noise = rng.array(*height_and_width, 1) + rng.array(*height_and_width, 1) - 1
    grain = noise * rng.uniform(0, 6)
    exposed = ((pixels - 128) * contrast + 128 + brightness) * tint + grain
    return PIL.Image.fromarray(exposed.clip(0, 255).astype(np.uint8))
