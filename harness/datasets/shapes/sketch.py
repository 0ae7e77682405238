"""A drawing of one object in its own coordinates: parts from back to front, and keypoints on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import XY, Outline, rotate, rotate_point
from harness.datasets.shapes.paint import Paint

SIDES: tuple[tuple[str, int], ...] = (("right", -1), ("left", 1))
"""Sides of an object that faces the viewer, and the signs of x on them."""


@dataclass(frozen=True, eq=False)
class Part:
    """One patch of paint.

    Attributes:
        paint: name of its look among the category's paints.
        outline: (n, 2) object units, x to the right and y down.
        depth: distance towards the viewer, in object units: parts shift against each other as the object is
            turned.
        line: width of its contour relative to the image's; 0 for none.
        turn: degrees by which its texture is turned with it.
    """

    paint: str
    outline: Outline
    depth: float
    line: float
    turn: float


@dataclass(frozen=True)
class Keypoint:
    """A keypoint's position, and the index of the part it lies on; later parts may cover it."""

    xy: XY
    part: int
    depth: float


@dataclass
class Sketch:
    """A drawing in progress.

    Attributes:
        parts: from back to front.
        keypoints: by name.
        origin, degrees, scale, depth: the frame of the coordinates of `add` in the object's coordinates.
    """

    parts: list[Part] = field(default_factory=list)
    keypoints: dict[str, Keypoint] = field(default_factory=dict)
    origin: XY = (0.0, 0.0)
    degrees: float = 0.0
    scale: float = 1.0
    depth: float = 0.0

    def add(
        self, paint: str, outline: Outline, depth: float = 0.0, line: float = 1.0, **keypoints: XY
    ) -> None:
        """Paints a part over everything so far; `keypoints` (name = position) lie on it."""
        self.parts.append(Part(paint, self._to_object(outline), depth + self.depth, line, self.degrees))
        for name, xy in keypoints.items():
            self.mark(name, xy)

    def mark(self, name: str, xy: XY) -> None:
        """Puts a keypoint on the part painted last."""
        self.keypoints[name] = Keypoint(self._point_to_object(xy), len(self.parts) - 1, self.parts[-1].depth)

    def in_frame(
        self,
        origin: XY,
        degrees: float = 0.0,
        scale: float = 1.0,
        depth: float = 0.0,
    ) -> Sketch:
        """The same drawing in coordinates whose origin lies at `origin`, turned clockwise and scaled."""
        return Sketch(
            parts=self.parts,
            keypoints=self.keypoints,
            origin=self._point_to_object(origin),
            degrees=self.degrees + degrees,
            scale=self.scale * scale,
            depth=self.depth + depth,
        )

    def _to_object(self, points: Outline) -> Outline:
        """Converts points of this frame to object coordinates."""
        if self.degrees == 0 and self.scale == 1:  # most parts: nothing to turn
            return points + self.origin
        return rotate(points * self.scale, self.degrees) + self.origin

    def _point_to_object(self, xy: XY) -> XY:
        """Converts one point as `_to_object` does, to the last bit, without an array."""
        x, y = rotate_point((xy[0] * self.scale, xy[1] * self.scale), self.degrees)
        return x + self.origin[0], y + self.origin[1]


@dataclass(frozen=True)
class Kind:
    """A category of objects.

    Attributes:
        keypoints: names of all its keypoints, in their order.
        paints: name -> typical look.
        draw: draws one object, varied by random numbers. It faces right, or the viewer.
    """

    keypoints: tuple[str, ...]
    paints: Mapping[str, Paint]
    draw: Callable[[Sketch, KeyedRandom], None]
