"""How an object is seen: from where, how turned, how large, and where in the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.datasets.shapes.dice import KeyedRandom
from harness.datasets.shapes.outlines import XY, rotated
from harness.frames import Size


@dataclass(frozen=True)
class View:
    """A camera.

    Attributes:
        mirrored: whether the drawing is flipped left to right, as of an object seen from its other side.
        yaw: degrees by which it is turned away from facing the camera squarely, about the upright axis.
        roll: degrees by which it is turned clockwise in the picture.
        shear: sideways shift for each unit downwards.
        stretch: factor on the width; the height is divided by it.
        tilt: strength of perspective, in x and y.
        fill: the share of the picture that the object's box spans, in the direction in which it spans more.
        place: where its box lies in the room that is left, -1 (left, top) to 1 (right, bottom).
        cut: share of the box that is pushed out of the picture, across (negative: on the left) and down (negative: at the top).
    """

    mirrored: bool = False
    yaw: float = 0.0
    roll: float = 0.0
    shear: float = 0.0
    stretch: float = 1.0
    tilt: XY = (0.0, 0.0)
    fill: float = 0.8
    place: XY = (0.0, 0.0)
    cut: XY = (0.0, 0.0)


def draw_view(dice: KeyedRandom) -> View:
    """A random view of the main object. Truncation is left to `draw_cut`."""
    return View(
        mirrored=dice.chance(0.5),
        yaw=dice.uniform(-42, 42),
        roll=dice.around(0, 11),
        shear=dice.around(0, 0.09),
        stretch=math.exp(dice.around(0, 0.09)),
        tilt=(dice.uniform(-0.15, 0.15), dice.uniform(-0.15, 0.15)),
        fill=dice.uniform(0.66, 0.98),
        place=(dice.uniform(-1, 1), dice.uniform(-1, 1)),
    )


def draw_cut(view: View, dice: KeyedRandom) -> View:
    """The view with part of the object out of the picture, on one side or in one corner."""
    across, down = dice.pick(((1, 0), (1, 0), (0, 1), (1, 1)))
    share = dice.uniform(0.08, 0.22)
    return replace(
        view, cut=(across * dice.sign() * share, down * dice.sign() * share), fill=max(view.fill, 0.7)
    )


def project(view: View, xy: np.ndarray, depth: np.ndarray, size: Size) -> np.ndarray:
    """Object units to pixels of a picture.

    Args:
        xy: (n, 2) places; the box of all of them is what `fill`, `place` and `cut` refer to.
        depth: (n,) distance towards the viewer, in object units.

    Returns:
        (n, 2) pixels, (0, 0) being the picture's top left corner.
    """
    flat = _perspective(rotated(_turned(view, xy, depth), view.roll), view.tilt)
    low, high = flat.min(axis=0), flat.max(axis=0)
    room = np.array(size, dtype=np.float64)
    scale = view.fill * float((room / (high - low)).min())
    extent = scale * (high - low)
    centre = room / 2 + np.array(view.place) * np.maximum(room - extent, 0) / 2
    pixels: np.ndarray = (flat - (low + high) / 2) * scale + np.where(
        view.cut, _cut_centre(view, extent, room), centre
    )
    return pixels


def _turned(view: View, xy: np.ndarray, depth: np.ndarray) -> np.ndarray:
    yaw = math.radians(view.yaw)
    across = xy[:, 0] * (-1 if view.mirrored else 1)
    x = across * math.cos(yaw) + depth * math.sin(yaw) + view.shear * xy[:, 1]
    return np.stack([x * view.stretch, xy[:, 1] / view.stretch], axis=1)


def _perspective(flat: np.ndarray, tilt: XY) -> np.ndarray:
    """Parts further along `tilt` appear smaller; coordinates are first scaled to [-1, 1]."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    unit = (flat - (low + high) / 2) / ((high - low).max() / 2)
    seen: np.ndarray = unit / (1 + unit[:, :1] * tilt[0] + unit[:, 1:] * tilt[1])
    return seen


def _cut_centre(view: View, extent: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Where the box's centre has to be for the share `cut` of it to lie outside."""
    cut = np.array(view.cut)
    centre: np.ndarray = np.where(cut > 0, room - extent / 2 + cut * extent, extent / 2 + cut * extent)
    return centre
