"""The typical look of a part, and its look on one object."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal

from harness.datasets.shapes.keyed_random import KeyedRandom

Texture = Literal["plain", "stripes", "dots", "checks", "bricks", "scales", "gradient", "fur", "speckle"]
Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True)
class Paint:
    """The typical look of a part of one category.

    Attributes:
        hue, saturation, value: colour, each 0 to 1 (hue wraps around).
        texture: pattern in which the second colour lies over the first.
        accent: hue, saturation and value of the second colour, relative to the first.
        pitch: period of the texture, in units of the object (most objects are about two units long).
        turn: direction of the texture in degrees, in the object's own axes.
        hue_spread, spread: standard deviations of the hue, and of saturation and value.
    """

    hue: float
    saturation: float
    value: float
    texture: Texture = "plain"
    accent: tuple[float, float, float] = (0.0, 0.05, -0.3)
    pitch: float = 0.16
    turn: float = 0.0
    hue_spread: float = 0.03
    spread: float = 0.06


@dataclass(frozen=True)
class Coat:
    """The look of a part of one object: two colours and a texture of a certain pitch, direction and phase."""

    base: Colour
    accent: Colour
    texture: Texture = "plain"
    pitch: float = 0.16
    turn: float = 0.0
    phase: tuple[float, float] = (0.0, 0.0)


def make_coat(paint: Paint, rng: KeyedRandom) -> Coat:
    """Draws one object's version of a typical look."""
    hue = rng.around(paint.hue, paint.hue_spread)
    saturation = rng.around(paint.saturation, paint.spread)
    value = rng.around(paint.value, paint.spread)
    shift = paint.accent
    strength = rng.uniform(0.7, 1.2)
    return Coat(
        base=to_rgb(hue, saturation, value),
        accent=to_rgb(hue + shift[0], saturation + shift[1] * strength, value + shift[2] * strength),
        texture=paint.texture,
        pitch=paint.pitch * rng.uniform(0.75, 1.35),
        turn=paint.turn + rng.around(0.0, 12.0),
        phase=(rng.uniform(0, 1), rng.uniform(0, 1)),
    )


def to_rgb(hue: float, saturation: float, value: float) -> Colour:
    """Converts hue, saturation and value, each 0 to 1 and clipped (hue wraps around), to a colour."""
    saturation = min(max(saturation, 0.0), 1.0)
    value = min(max(value, 0.0), 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return 255 * red, 255 * green, 255 * blue
