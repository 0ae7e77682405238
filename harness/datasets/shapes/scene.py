"""The geometry of one picture: where the object's parts, its keypoints and the clutter before it lie. Nothing is painted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.datasets.shapes.canvas import Patch
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.clutter import draw_occluders
from harness.datasets.shapes.dice import KeyedRandom
from harness.datasets.shapes.outlines import covering
from harness.datasets.shapes.sketch import Sketch
from harness.datasets.shapes.view import View, draw_cut, draw_view, project
from harness.frames import Size

SHARED = 3
"""Any two pictures of a category share at least this many visible keypoints."""

_ATTEMPTS = 60
_GENTLE = 20
"""From this attempt on nothing is cut off and nothing stands before the object."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What is where in a picture, in pixels.

    Attributes:
        size: of the picture.
        view: how the object is seen.
        patches: the object's parts, from back to front.
        occluders: what stands before it.
        points: (n, 2) float64, one row for each of the category's keypoints; NaN where one is not visible.
        box: (x1, y1, x2, y2) of what is drawn of the object, covered or not, within the picture.
        truncated: whether a keypoint, or a twentieth of the object's box, lies outside the picture.
        occluded: whether something stands before one of the object's keypoints.
    """

    size: Size
    view: View
    patches: tuple[Patch, ...]
    occluders: tuple[Patch, ...]
    points: np.ndarray
    box: tuple[float, float, float, float]
    truncated: bool
    occluded: bool


def draw_scene(split: str, category: str, index: int) -> Scene:
    """The scene of picture `index`.

    Scenes are drawn until more than half of the category's keypoints are visible, by so many that two such pictures must share
    `SHARED` of them: which pictures make a pair is thus known without looking at any.
    """
    needed = (len(KINDS[category].keypoints) + SHARED + 1) // 2
    for attempt in range(_ATTEMPTS):
        scene = _draw(
            KeyedRandom("scene", split, category, index, attempt), category, gentle=attempt >= _GENTLE
        )
        if np.isfinite(scene.points).all(axis=1).sum() >= needed:
            return scene
    raise RuntimeError(f"shapes: no scene of {category} {split} {index} shows {needed} keypoints")


def sketch_object(category: str, dice: KeyedRandom) -> Sketch:
    """One object of a category, in its own coordinates."""
    sketch = Sketch()
    KINDS[category].draw(sketch, dice)
    return sketch


def lay_out(sketch: Sketch, view: View, size: Size) -> tuple[tuple[Patch, ...], dict[str, np.ndarray]]:
    """The parts of an object, and its keypoints by name, in pixels. Mirroring swaps the names of left and right."""
    marks = list(sketch.marks.values())
    groups = [part.outline for part in sketch.parts]
    corners = np.concatenate(groups)
    first = np.cumsum([0, *(len(outline) for outline in groups[:-1])])
    centres = (np.minimum.reduceat(corners, first, axis=0) + np.maximum.reduceat(corners, first, axis=0)) / 2
    groups += [centres, centres + (0.02, 0.0), centres + (0.0, 0.02), np.array([mark.xy for mark in marks])]
    depths = [part.depth for part in sketch.parts]
    lengths = [len(group) for group in groups]
    depth = np.repeat(
        [*depths, *depths, *depths, *depths, *(mark.depth for mark in marks)],
        [*lengths[:-4], *[1] * sum(lengths[-4:])],
    )
    pixels = np.round(project(view, np.concatenate(groups), depth, size), 3)
    *outlines, middle, right, down, points = np.split(pixels, np.cumsum(lengths)[:-1])
    axes = _inverse((right - middle) / 0.02, (down - middle) / 0.02)
    patches = tuple(
        Patch(part.paint, outline, axis, (x, y), part.line, part.turn)
        for part, outline, axis, (x, y) in zip(sketch.parts, outlines, axes, middle.tolist(), strict=True)
    )
    return patches, {
        _seen_name(name, view.mirrored): point for name, point in zip(sketch.marks, points, strict=True)
    }


def _draw(dice: KeyedRandom, category: str, gentle: bool) -> Scene:
    size = Size(dice.integer(96, 128), dice.integer(96, 128))
    view = draw_view(dice)
    if dice.chance(0.18) and not gentle:
        view = draw_cut(view, dice)
    sketch = sketch_object(category, dice)
    patches, places = lay_out(sketch, view, size)
    occluders = () if gentle else draw_occluders(dice, np.array(list(places.values())), size)
    return _scene(category, size, view, patches, occluders, sketch, places)


def _scene(
    category: str,
    size: Size,
    view: View,
    patches: tuple[Patch, ...],
    occluders: tuple[Patch, ...],
    sketch: Sketch,
    places: dict[str, np.ndarray],
) -> Scene:
    points = np.array(list(places.values()))
    inside = ((points >= 0) & (points <= np.array(size) - 1)).all(axis=1)
    hidden = _self_hidden(points, patches, [mark.part for mark in sketch.marks.values()])
    behind = covering(points, [patch.outline for patch in occluders]).any(axis=0)
    box, outside = _box(patches, size)
    visible = dict(zip(places, inside & ~hidden & ~behind, strict=True))
    nowhere = np.full(2, np.nan)
    rows = [places[name] if visible.get(name) else nowhere for name in KINDS[category].keypoints]
    truncated = bool(outside > 0.05 or not inside.all())
    return Scene(
        size, view, patches, occluders, np.array(rows), box, truncated, bool((behind & inside).any())
    )


def _self_hidden(points: np.ndarray, patches: Sequence[Patch], owners: Sequence[int]) -> np.ndarray:
    """Which points are covered by a part that was painted after their own."""
    later = np.arange(len(patches))[:, None] > np.array(owners)
    covered = covering(points, [patch.outline for patch in patches]) & later
    return np.asarray(covered.any(axis=0))


def _box(patches: Sequence[Patch], size: Size) -> tuple[tuple[float, float, float, float], float]:
    """Bounds of the parts within the picture, and the share of the whole box that lies outside."""
    corners = np.concatenate([patch.outline for patch in patches])
    low, high = corners.min(axis=0), corners.max(axis=0)
    low_in, high_in = np.maximum(low, 0), np.minimum(high, size)
    (x1, y1), (x2, y2) = low_in.tolist(), high_in.tolist()
    return (x1, y1, x2, y2), 1 - float(np.prod(high_in - low_in) / np.prod(high - low))


def _inverse(along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """(n, 2) pixels for each object unit in x and in y -> (n, 2, 2) object units for each pixel.

    A part seen edge-on has no inverse; it is a thin line then, and any texture will do.
    """
    (a, c), (b, d) = along_x.T, along_y.T
    area = a * d - b * c
    area = np.where(np.abs(area) < 1.0, 1.0, area)
    return np.stack([np.stack([d, -b], axis=1), np.stack([-c, a], axis=1)], axis=1) / area[:, None, None]


def _seen_name(name: str, mirrored: bool) -> str:
    """The keypoint's name in a picture that may be flipped: what was the object's left is its right then."""
    if mirrored and name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if mirrored and name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name
