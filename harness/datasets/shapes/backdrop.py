"""The background: soft fields of colour, coarse shapes and, smaller, objects of other categories."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import PIL.Image

from harness.datasets.shapes.camera import draw_camera
from harness.datasets.shapes.canvas import Light, paint_patch
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.clutter import make_patch, random_coat, random_outline
from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import box, rotate
from harness.datasets.shapes.paint import make_coat, to_rgb
from harness.datasets.shapes.scene import lay_out, sketch_object
from harness.frames import Size


def paint_backdrop(
    size: Size,
    category: str,
    rng: KeyedRandom,
    light: Light,
) -> PIL.Image.Image:
    """Paints a new picture without its object. Distractors are of other categories than the object."""
    picture = _paint_field(size, rng)
    if rng.chance(0.35):
        _paint_ground(picture, rng)
    # Shapes twice, to be picked twice as often.
    rng.pick((_paint_nothing, _paint_stripes, _paint_shapes, _paint_shapes))(picture, rng)
    # An object of the same category would have the same keypoints, and there would be two right answers.
    distractors = [name for name in KINDS if name != category]
    for _ in range(rng.pick((0, 0, 1, 1, 2))):
        _paint_distractor(picture, rng.pick(distractors), rng, light)
    return picture


def _paint_field(size: Size, rng: KeyedRandom) -> PIL.Image.Image:
    """Paints smooth noise: a few coloured pixels, enlarged; every second time close to a single colour."""
    hue = rng.uniform(0, 1)
    spread = rng.pick((0.04, 0.12))
    rows = rng.integer(2, 5)
    columns = rng.integer(2, 5)
    saturation = rng.uniform(0.05, 0.5)
    value = rng.uniform(0.35, 0.9)
    colours = []
    for _ in range(rows * columns):
        pixel_hue = rng.around(hue, spread)
        pixel_saturation = rng.around(saturation, 0.1)
        pixel_value = rng.around(value, rng.pick((0.04, 0.1)))
        colours.append(to_rgb(pixel_hue, pixel_saturation, pixel_value))
    pixels = np.array(colours).reshape(rows, columns, 3).astype(np.uint8)
    return PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC)


def _paint_ground(picture: PIL.Image.Image, rng: KeyedRandom) -> None:
    """Paints a floor or wall whose edge crosses the picture."""
    width, height = picture.size
    horizon = height * rng.uniform(0.5, 0.85)
    # Wider than the picture, so that no end of the edge shows when it is turned.
    ground = box(-width, 0, width, 2 * height)
    outline = rotate(ground, rng.around(0, 6)) + (width / 2, horizon)
    coat = random_coat(rng, 0.45)
    paint_patch(picture, make_patch(outline, "ground"), coat, Light(line=0))


def _paint_nothing(picture: PIL.Image.Image, rng: KeyedRandom) -> None:
    """Leaves the picture as it is."""


def _paint_stripes(picture: PIL.Image.Image, rng: KeyedRandom) -> None:
    """Paints wide faint stripes over everything."""
    width, height = picture.size
    pixels = np.asarray(picture, dtype=np.float64)
    hue = rng.uniform(0, 1)
    saturation = rng.uniform(0, 0.5)
    value = rng.uniform(0.2, 1)
    stripe_colour = np.array(to_rgb(hue, saturation, value))
    angle = rng.uniform(0, math.pi)
    pitch = rng.uniform(9, 30)
    x = np.arange(width)
    y = np.arange(height)[:, None]
    wave = (x * math.cos(angle) + y * math.sin(angle)) / pitch + rng.uniform(0, 1)
    triangle = 1 - 4 * np.abs(wave - np.floor(wave) - 0.5)
    # Steep and clipped: stripes with soft edges.
    stripes = (0.5 + 2.5 * triangle).clip(0, 1)
    share = stripes * rng.uniform(0.1, 0.3)
    mixed = pixels + share[:, :, None] * (stripe_colour - pixels)
    picture.paste(PIL.Image.fromarray(mixed.astype(np.uint8)))


def _paint_shapes(picture: PIL.Image.Image, rng: KeyedRandom) -> None:
    """Paints blobs, boxes and stars of any colour."""
    width, height = picture.size
    for _ in range(rng.integer(2, 6)):
        centre = (rng.uniform(0, width), rng.uniform(0, height))
        outline = random_outline(rng, centre, min(width, height) * rng.uniform(0.06, 0.24))
        coat = random_coat(rng, 0.6)
        light = Light(line=rng.pick((0, 0.6)), shade=0.15)
        paint_patch(picture, make_patch(outline, "shape"), coat, light)


def _paint_distractor(
    picture: PIL.Image.Image,
    category: str,
    rng: KeyedRandom,
    light: Light,
) -> None:
    """Paints a small object of another category, anywhere, perhaps partly outside."""
    size = Size(*picture.size)
    camera = replace(
        draw_camera(rng),
        fill=rng.uniform(0.25, 0.42),
        position=(rng.uniform(-1.3, 1.3), rng.uniform(-1.3, 1.3)),
    )
    patches, _ = lay_out(sketch_object(category, rng), camera, size)
    coats = {name: make_coat(paint, rng) for name, paint in KINDS[category].paints.items()}
    # Finer contours, in keeping with its size.
    thin_light = replace(light, line=light.line * 0.6)
    for patch in patches:
        paint_patch(picture, patch, coats[patch.paint], thin_light)
