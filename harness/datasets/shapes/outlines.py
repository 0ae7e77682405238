"""Outlines of parts: closed polygons as (n, 2) float64 arrays of (x, y), y pointing down, in any unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

XY = tuple[float, float]
"""A point."""

Outline = np.ndarray
"""(n, 2) float64."""


def polygon(*corners: XY) -> Outline:
    """Straight lines from corner to corner."""
    return np.array(corners, dtype=np.float64)


def ellipse(
    x: float,
    y: float,
    rx: float,
    ry: float | None = None,
    turn: float = 0.0,
    steps: int = 18,
) -> Outline:
    """An ellipse of radii `rx`, `ry` about (x, y), turned clockwise by `turn` degrees."""
    circle = _circle(steps) * (rx, rx if ry is None else ry)
    return rotate(circle, turn) + (x, y)


def box(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    radius: float = 0.0,
) -> Outline:
    """An upright rectangle, its corners rounded."""
    if not radius:
        return polygon((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    # Two corners share a side: a larger radius would fold the outline over.
    radius = min(radius, abs(x2 - x1) / 2, abs(y2 - y1) / 2)
    centres = (
        (x2 - radius, y2 - radius),
        (x1 + radius, y2 - radius),
        (x1 + radius, y1 + radius),
        (x2 - radius, y1 + radius),
    )
    quarter = _circle(12) * radius
    corners = []
    for number, centre in enumerate(centres):
        start = 3 * number
        corners.append(quarter[[start, start + 1, start + 2, (start + 3) % 12]] + centre)
    return np.concatenate(corners)


def smooth(*knots: XY, steps: int = 4) -> Outline:
    """A closed curve (Catmull-Rom) through the knots."""
    points = np.array(knots, dtype=np.float64)
    return _spline(
        np.roll(points, 1, axis=0), points, np.roll(points, -1, axis=0), np.roll(points, -2, axis=0), steps
    )


def curve(*knots: XY, steps: int = 4) -> Outline:
    """An open curve through the knots, from the first to the last."""
    points = np.array(knots, dtype=np.float64)
    # The ends count twice, since a spline needs a neighbour on both sides.
    padded = np.concatenate([points[:1], points, points[-1:]])
    inner = _spline(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], steps)
    return np.concatenate([inner, points[-1:]])


def limb(path: Sequence[XY] | Outline, start: float, end: float) -> Outline:
    """A stroke along a path of at least two points, with round ends.

    Args:
        start, end: half the stroke's width there.
    """
    # Plain floats: for the two or three points of most paths, one call of numpy takes longer than this loop.
    pairs = path.tolist() if isinstance(path, np.ndarray) else path
    points: list[XY] = [(float(x), float(y)) for x, y in pairs]
    last = len(points) - 1
    step = (end - start) / last
    side, opposite_side = [], []
    for number, (x, y) in enumerate(points):
        # The direction at a point is that from its neighbour before to the one after.
        x1, y1 = points[max(number - 1, 0)]
        x2, y2 = points[min(number + 1, last)]
        along_x = x2 - x1
        along_y = y2 - y1
        # Points that coincide have no direction; the stroke is a dot there.
        length = max(math.sqrt(along_x * along_x + along_y * along_y), 1e-9)
        along_x = along_x / length
        along_y = along_y / length
        # The last width exactly, which the sum of steps would miss by a rounding.
        half = end if number == last else number * step + start
        across_x = -along_y * half
        across_y = along_x * half
        side.append((x + across_x, y + across_y))
        opposite_side.append((x - across_x, y - across_y))
        if number == 0:
            start_cap = _cap((x, y), (-across_x, -across_y), (-along_x * start, -along_y * start))
    end_cap = _cap((x, y), (across_x, across_y), (along_x * end, along_y * end))
    return np.array([*side, *end_cap, *reversed(opposite_side), *start_cap])


def ring(
    x: float,
    y: float,
    radius: float,
    width: float,
) -> Outline:
    """A ring with a cut too thin to be seen: one polygon whose inside is the band between the two circles."""
    circle = _circle(28)[[*range(28), 0]]
    return np.concatenate([circle * radius, circle[::-1] * (radius - width)]) + (x, y)


def rotate(points: Outline, degrees: float) -> Outline:
    """Turns points clockwise (as seen, y pointing down) about the origin."""
    cos = math.cos(math.radians(degrees))
    sin = math.sin(math.radians(degrees))
    x, y = points[:, 0], points[:, 1]
    turned = np.empty(points.shape)
    np.subtract(x * cos, y * sin, out=turned[:, 0])
    np.add(x * sin, y * cos, out=turned[:, 1])
    return turned


def rotate_point(point: XY, degrees: float) -> XY:
    """Turns one point as `rotate` does."""
    cos = math.cos(math.radians(degrees))
    sin = math.sin(math.radians(degrees))
    return point[0] * cos - point[1] * sin, point[0] * sin + point[1] * cos


def point_between(a: XY, b: XY, share: float) -> XY:
    """The point that lies `share` of the way from a to b."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def point_toward(origin: XY, degrees: float, length: float) -> XY:
    """The point `length` away from `origin`; 0 degrees is right, 90 is down."""
    angle = math.radians(degrees)
    return origin[0] + length * math.cos(angle), origin[1] + length * math.sin(angle)


def is_inside(points: np.ndarray, outlines: Sequence[Outline]) -> np.ndarray:
    """(n outlines, n points) bool: whether each point lies inside each outline, by the even-odd rule."""
    if not outlines:
        return np.zeros((0, len(points)), dtype=bool)
    starts = np.concatenate(outlines)
    ends = np.concatenate([np.roll(outline, -1, axis=0) for outline in outlines])
    x, y = points[:, 0], points[:, 1]
    spans = (starts[:, 1:] > y) != (ends[:, 1:] > y)
    # Level edges, which span nothing, get a rise that can be divided by.
    is_level = starts[:, 1] == ends[:, 1]
    rise = np.where(is_level, 1.0, ends[:, 1] - starts[:, 1])[:, None]
    # Edges that a ray from the point to the right crosses.
    run = ends[:, :1] - starts[:, :1]
    crossed = spans & (x < starts[:, :1] + (y - starts[:, 1:]) * run / rise)
    # The edges of all outlines lie one after the other: counted from where each outline begins.
    first_edges = np.cumsum([0, *(len(outline) for outline in outlines[:-1])])
    is_odd: np.ndarray = np.add.reduceat(crossed.astype(np.int64), first_edges, axis=0) % 2 == 1
    return is_odd


@cache
def _circle(steps: int) -> Outline:
    """Points of a circle of radius 1, clockwise from the right."""
    angles = [2 * math.pi * step / steps for step in range(steps)]
    circle = np.array([(math.cos(angle), math.sin(angle)) for angle in angles])
    circle.flags.writeable = False  # kept and shared by all callers
    return circle


def _cap(tip: XY, across: XY, forward: XY) -> tuple[XY, XY, XY]:
    """Three points around a stroke's end, from one of its sides to the other."""
    x, y = tip
    across_x, across_y = across
    forward_x, forward_y = forward
    # 0.7 is about the sine and cosine of 45 degrees.
    return (
        (x + across_x * 0.7 + forward_x * 0.7, y + across_y * 0.7 + forward_y * 0.7),
        (x + forward_x, y + forward_y),
        (x - across_x * 0.7 + forward_x * 0.7, y - across_y * 0.7 + forward_y * 0.7),
    )


def _spline(
    before: Outline,
    start: Outline,
    end: Outline,
    after: Outline,
    steps: int,
) -> Outline:
    """Points of a Catmull-Rom curve: for each row `steps` points from `start` on, towards `end`."""
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (points[:, None, :] for points in (before, start, end, after))
    square = (2 * a - 5 * b + 4 * c - d) * t**2
    cube = (3 * b - a - 3 * c + d) * t**3
    curved = 0.5 * (2 * b + (c - a) * t + square + cube)
    points: Outline = curved.reshape(-1, 2)
    return points
