"""Textures: the share of a part's second colour at each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import XY
from harness.datasets.shapes.paint import Coat

_Array = np.ndarray

_TILE = 64
"""Side of the tile of noise, which has two numbers a unit."""


def accent_share(
    coat: Coat,
    axes: np.ndarray,
    turn: float,
    x: np.ndarray,
    y: np.ndarray,
) -> np.ndarray:
    """(h, w) share of the second colour, 0 to 1.

    Args:
        axes: (2, 2) object units for each pixel.
        turn: degrees by which the part was turned in the object.
        x, y: (w,) and (h, 1) pixels from the part's centre.
    """
    angle = math.radians(coat.turn + turn)
    cos = math.cos(angle) / coat.pitch
    sin = math.sin(angle) / coat.pitch
    (ax, ay), (bx, by) = axes.tolist()
    # Pixels to object units to periods along and across the texture, in one step.
    u = (cos * ax + sin * bx) * x + (cos * ay + sin * by) * y
    v = (cos * bx - sin * ax) * x + (cos * by - sin * ay) * y
    return _PATTERNS[coat.texture](u, v, coat.phase)


def _stripes(u: _Array, v: _Array, phase: XY) -> _Array:
    return _soft(_wave(u + phase[0]))


def _dots(u: _Array, v: _Array, phase: XY) -> _Array:
    return _soft(_wave(u + phase[0]) + _wave(v + phase[1]) - 0.55)


def _checks(u: _Array, v: _Array, phase: XY) -> _Array:
    return _soft(2 * _wave(u / 2 + phase[0]) * _wave(v / 2 + phase[1]))


def _bricks(u: _Array, v: _Array, phase: XY) -> _Array:
    row = np.floor(v + phase[1])
    # Every second row is shifted by half a brick.
    level_seams = _soft(_wave(v + phase[1] - 0.5) - 0.6)
    upright_seams = _soft(_wave(u / 2 + row / 2 + phase[0]) - 0.75)
    seams: np.ndarray = np.maximum(level_seams, upright_seams)
    return seams


def _scales(u: _Array, v: _Array, phase: XY) -> _Array:
    # Every second column is shifted by half a scale.
    column = np.floor(u + phase[0])
    across = u + phase[0] - column - 1
    down = v + phase[1] + column / 2
    down = down - np.floor(down) - 0.5
    return ((across**2 + down**2) * 1.6 - 0.35).clip(0, 1)


def _gradient(u: _Array, v: _Array, phase: XY) -> _Array:
    """One slow change across the part: a pitch is a few times larger than the part."""
    return (0.5 + u / 4).clip(0, 1)


def _fur(u: _Array, v: _Array, phase: XY) -> _Array:
    # Grains four times as long as they are wide: hairs.
    return _noise(u * 3.5 + 40 * phase[0], v * 0.9 + 40 * phase[1])


def _speckle(u: _Array, v: _Array, phase: XY) -> _Array:
    return _soft(_noise(u * 2 + 40 * phase[0], v * 2 + 40 * phase[1]) * 2 - 1.15)


def _plain(u: _Array, v: _Array, phase: XY) -> _Array:
    # Not quite plain: a faint grain.
    return 0.35 * _noise(u + 40 * phase[0], v + 40 * phase[1])


_PATTERNS: Mapping[str, Callable[[_Array, _Array, XY], _Array]] = {
    "plain": _plain,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "bricks": _bricks,
    "scales": _scales,
    "gradient": _gradient,
    "fur": _fur,
    "speckle": _speckle,
}


def _wave(t: np.ndarray) -> np.ndarray:
    """A triangle wave between -1 and 1 of period 1. (Sines differ in their last bit between machines.)"""
    wave: np.ndarray = 1 - 4 * np.abs(t - np.floor(t) - 0.5)
    return wave


def _soft(t: np.ndarray) -> np.ndarray:
    """A step at 0 with a soft edge."""
    return (0.5 + 1.6 * t).clip(0, 1)


def _noise(u: _Array, v: _Array) -> _Array:
    """Smooth noise between 0 and 1 whose grains are about one unit large."""
    column = np.floor(u * 2).astype(np.int64) % _TILE
    row = np.floor(v * 2).astype(np.int64) % _TILE
    grains: np.ndarray = _tile()[row, column]
    return grains


@cache
def _tile() -> np.ndarray:
    """Noise that repeats in both directions, averaged over neighbours and spread over 0 to 1 again."""
    noise = KeyedRandom("texture").array(_TILE, _TILE)
    noise = noise + np.roll(noise, 1, axis=0)
    noise = noise + np.roll(noise, 1, axis=1)
    low = float(noise.min())
    high = float(noise.max())
    tile: np.ndarray = (noise - low) / (high - low)
    return tile
