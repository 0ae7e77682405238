"""A drawing of one object in its own coordinates: parts from back to front, and the keypoints that lie on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.datasets.shapes.dice import KeyedRandom
from harness.datasets.shapes.outlines import XY, Outline, rotated, rotated_point
from harness.datasets.shapes.paint import Paint


@dataclass(frozen=True, eq=False)
class Part:
    """One patch of paint.

    Attributes:
        paint: name of its look among the category's paints.
        outline: (n, 2) object units, x to the right and y down.
        depth: distance towards the viewer, in object units: parts shift against each other as the object is turned.
        line: width of its contour relative to the image's; 0 for none.
        turn: degrees by which its texture is turned with it.
    """

    paint: str
    outline: Outline
    depth: float
    line: float
    turn: float


@dataclass(frozen=True)
class Mark:
    """A keypoint: where it lies, and on which part (index); later parts may cover it."""

    xy: XY
    part: int
    depth: float


@dataclass
class Sketch:
    """What has been drawn so far. `posed` gives the same drawing in moved and turned coordinates.

    Attributes:
        parts: from back to front.
        marks: keypoint name -> its place.
        origin, degrees, scale: how the coordinates of `add` lie in the object's.
    """

    parts: list[Part] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    origin: XY = (0.0, 0.0)
    degrees: float = 0.0
    scale: float = 1.0
    depth: float = 0.0

    def add(
        self, paint: str, outline: Outline, depth: float = 0.0, line: float = 1.0, **keypoints: XY
    ) -> None:
        """Paints a part over what is there; `keypoints` (name = place) lie on it."""
        self.parts.append(Part(paint, self._moved(outline), depth + self.depth, line, self.degrees))
        for name, xy in keypoints.items():
            self.mark(name, xy)

    def mark(self, name: str, xy: XY) -> None:
        """Puts a keypoint on the part painted last."""
        self.marks[name] = Mark(self._moved_point(xy), len(self.parts) - 1, self.parts[-1].depth)

    def posed(self, origin: XY, degrees: float = 0.0, scale: float = 1.0, depth: float = 0.0) -> Sketch:
        """The same drawing with coordinates whose origin lies at `origin`, turned clockwise and scaled."""
        moved = self._moved_point(origin)
        return Sketch(
            self.parts, self.marks, moved, self.degrees + degrees, self.scale * scale, self.depth + depth
        )

    def _moved(self, points: Outline) -> Outline:
        if self.degrees == 0 and self.scale == 1:
            return points + self.origin
        return rotated(points * self.scale, self.degrees) + self.origin

    def _moved_point(self, xy: XY) -> XY:
        """The same of one point, to the last bit, without an array."""
        x, y = rotated_point((xy[0] * self.scale, xy[1] * self.scale), self.degrees)
        return x + self.origin[0], y + self.origin[1]


@dataclass(frozen=True)
class Kind:
    """A category of objects.

    Attributes:
        keypoints: names of all its keypoints, in their order.
        paints: name -> typical look.
        draw: draws one object, varied by the dice. It faces right, or the viewer.
    """

    keypoints: tuple[str, ...]
    paints: Mapping[str, Paint]
    draw: Callable[[Sketch, KeyedRandom], None]
