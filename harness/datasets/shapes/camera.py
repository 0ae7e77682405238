"""The camera: direction, rotation, size and position in which an object is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import XY, rotate
from harness.frames import Size


@dataclass(frozen=True)
class Camera:
    """A camera.

    Attributes:
        mirrored: whether the drawing is flipped left to right, as of an object seen from its other side.
        yaw: degrees by which it is turned away from facing the camera squarely, about the upright axis.
        roll: degrees by which it is turned clockwise in the picture.
        shear: sideways shift for each unit downwards.
        stretch: factor on the width; the height is divided by it.
        tilt: strength of perspective, in x and y.
        fill: the share of the picture that the object's box spans, in the direction in which it spans more.
        position: of its box in the room that is left, -1 (left, top) to 1 (right, bottom).
        cut: share of the box that is pushed out of the picture, across (negative: on the left) and down
            (negative: at the top).
    """

    mirrored: bool = False
    yaw: float = 0.0
    roll: float = 0.0
    shear: float = 0.0
    stretch: float = 1.0
    tilt: XY = (0.0, 0.0)
    fill: float = 0.8
    position: XY = (0.0, 0.0)
    cut: XY = (0.0, 0.0)


def draw_camera(rng: KeyedRandom) -> Camera:
    """Draws a random camera for the main object. Truncation is left to `draw_cut`."""
    return Camera(
        mirrored=rng.chance(0.5),
        yaw=rng.uniform(-42, 42),
        roll=rng.around(0, 11),
        shear=rng.around(0, 0.09),
        stretch=math.exp(rng.around(0, 0.09)),
        tilt=(rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15)),
        fill=rng.uniform(0.66, 0.98),
        position=(rng.uniform(-1, 1), rng.uniform(-1, 1)),
    )


def draw_cut(camera: Camera, rng: KeyedRandom) -> Camera:
    """Moves part of the object out of the picture, on one side or in one corner."""
    across, down = rng.pick(((1, 0), (1, 0), (0, 1), (1, 1)))
    share = rng.uniform(0.08, 0.22)
    cut = (across * rng.sign() * share, down * rng.sign() * share)
    return replace(camera, cut=cut, fill=max(camera.fill, 0.7))


def project(
    camera: Camera,
    xy: np.ndarray,
    depth: np.ndarray,
    size: Size,
) -> np.ndarray:
    """Projects object units to pixels of a picture.

    Args:
        xy: (n, 2) positions; `fill`, `position` and `cut` of the camera refer to the box of all of them.
        depth: (n,) distance towards the viewer, in object units.

    Returns:
        (n, 2) pixels, (0, 0) being the picture's top left corner.
    """
    flat = _perspective(rotate(_turn(camera, xy, depth), camera.roll), camera.tilt)
    low = flat.min(axis=0)
    high = flat.max(axis=0)
    room = np.array(size, dtype=np.float64)
    # The direction that fills up first decides.
    scale = camera.fill * float((room / (high - low)).min())
    extent = scale * (high - low)
    centre = room / 2 + np.array(camera.position) * np.maximum(room - extent, 0) / 2
    # In the direction of a cut, the cut decides where the object lies; `position` in the other one.
    centre = np.where(camera.cut, _cut_centre(camera, extent, room), centre)
    pixels: np.ndarray = (flat - (low + high) / 2) * scale + centre
    return pixels


def _turn(camera: Camera, xy: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Applies mirroring, yaw, shear and stretch."""
    yaw = math.radians(camera.yaw)
    across = xy[:, 0] * (-1 if camera.mirrored else 1)
    x = across * math.cos(yaw) + depth * math.sin(yaw) + camera.shear * xy[:, 1]
    return np.stack([x * camera.stretch, xy[:, 1] / camera.stretch], axis=1)


def _perspective(flat: np.ndarray, tilt: XY) -> np.ndarray:
    """Parts further along `tilt` appear smaller; coordinates are first scaled to [-1, 1]."""
    low = flat.min(axis=0)
    high = flat.max(axis=0)
    unit = (flat - (low + high) / 2) / ((high - low).max() / 2)
    # Within [-1, 1], so that the distance stays positive for tilts that sum up to less than 1.
    distance = 1 + unit[:, :1] * tilt[0] + unit[:, 1:] * tilt[1]
    seen: np.ndarray = unit / distance
    return seen


def _cut_centre(camera: Camera, extent: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Position of the box's centre such that the share `cut` of the box lies outside."""
    cut = np.array(camera.cut)
    beyond_end = room - extent / 2 + cut * extent
    beyond_start = extent / 2 + cut * extent
    centre: np.ndarray = np.where(cut > 0, beyond_end, beyond_start)
    return centre
