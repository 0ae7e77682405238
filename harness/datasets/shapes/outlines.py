"""Outlines of drawn parts: closed polygons as (n, 2) float64 arrays of (x, y), y pointing down, in any unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

XY = tuple[float, float]
Outline = np.ndarray


def polygon(*corners: XY) -> Outline:
    """Straight lines from corner to corner."""
    return np.array(corners, dtype=np.float64)


def ellipse(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0.0, steps: int = 18) -> Outline:
    """An ellipse of radii `rx`, `ry` about (x, y), turned clockwise by `turn` degrees."""
    circle = _circle(steps) * (rx, rx if ry is None else ry)
    return rotated(circle, turn) + (x, y)


def box(x1: float, y1: float, x2: float, y2: float, radius: float = 0.0) -> Outline:
    """An upright rectangle, its corners rounded."""
    if not radius:
        return polygon((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    radius = min(radius, abs(x2 - x1) / 2, abs(y2 - y1) / 2)
    centres = ((x2 - radius, y2 - radius), (x1 + radius, y2 - radius), (x1 + radius, y1 + radius), (x2 - radius, y1 + radius))
    quarter = _circle(12) * radius
    return np.concatenate([quarter[[3 * i, 3 * i + 1, 3 * i + 2, (3 * i + 3) % 12]] + centre for i, centre in enumerate(centres)])


def smooth(*knots: XY, steps: int = 4) -> Outline:
    """A closed curve (Catmull-Rom) through the knots."""
    points = np.array(knots, dtype=np.float64)
    return _spline(np.roll(points, 1, axis=0), points, np.roll(points, -1, axis=0), np.roll(points, -2, axis=0), steps)


def curve(*knots: XY, steps: int = 4) -> Outline:
    """An open curve through the knots, from the first to the last."""
    points = np.array(knots, dtype=np.float64)
    padded = np.concatenate([points[:1], points, points[-1:]])
    return np.concatenate([_spline(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], steps), points[-1:]])


def limb(path: Sequence[XY] | Outline, start: float, end: float) -> Outline:
    """A stroke along a path with round ends; `start` and `end` are half its width there."""
    points = np.asarray(path, dtype=np.float64)
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.sqrt((along**2).sum(axis=1, keepdims=True)), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * np.linspace(start, end, len(points))[:, None]
    caps = [_cap(points[-1], across[-1], along[-1] * end), _cap(points[0], -across[0], -along[0] * start)]
    return np.concatenate([points + across, caps[0], (points - across)[::-1], caps[1]])


def ring(x: float, y: float, radius: float, width: float) -> Outline:
    """A ring with a cut too thin to be seen: one polygon whose inside is the band between the two circles."""
    circle = _circle(28)[[*range(28), 0]]
    return np.concatenate([circle * radius, circle[::-1] * (radius - width)]) + (x, y)


def rotated(points: Outline, degrees: float) -> Outline:
    """Points turned clockwise (as seen, y pointing down) about the origin."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.stack([points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos], axis=1)


def between(a: XY, b: XY, share: float) -> XY:
    """The point that lies `share` of the way from a to b."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def toward(origin: XY, degrees: float, length: float) -> XY:
    """The point `length` away from `origin`; 0 degrees is right, 90 is down."""
    return origin[0] + length * math.cos(math.radians(degrees)), origin[1] + length * math.sin(math.radians(degrees))


def covering(points: np.ndarray, outlines: Sequence[Outline]) -> np.ndarray:
    """Which outline covers which point, by the even-odd rule: (n outlines, n points) bool."""
    if not outlines:
        return np.zeros((0, len(points)), dtype=bool)
    starts = np.concatenate(outlines)
    ends = np.concatenate([np.concatenate([outline[1:], outline[:1]]) for outline in outlines])
    x, y = points[:, 0], points[:, 1]
    spans = (starts[:, 1:] > y) != (ends[:, 1:] > y)
    rise = np.where(starts[:, 1] == ends[:, 1], 1.0, ends[:, 1] - starts[:, 1])[:, None]
    crossed = spans & (x < starts[:, :1] + (y - starts[:, 1:]) * (ends[:, :1] - starts[:, :1]) / rise)
    first = np.cumsum([0, *(len(outline) for outline in outlines[:-1])])
    odd: np.ndarray = np.add.reduceat(crossed.astype(np.int64), first, axis=0) % 2 == 1
    return odd


def _circle(steps: int) -> Outline:
    angles = [2 * math.pi * step / steps for step in range(steps)]
    return np.array([(math.cos(angle), math.sin(angle)) for angle in angles])


def _cap(tip: np.ndarray, across: np.ndarray, forward: np.ndarray) -> Outline:
    return np.stack([tip + across * 0.7 + forward * 0.7, tip + forward, tip - across * 0.7 + forward * 0.7])


def _spline(before: Outline, start: Outline, end: Outline, after: Outline, steps: int) -> Outline:
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (points[:, None, :] for points in (before, start, end, after))
    curved = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    points: Outline = curved.reshape(-1, 2)
    return points
