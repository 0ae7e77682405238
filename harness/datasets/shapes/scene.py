"""The geometry of one picture: the object's parts, its keypoints, the clutter before it. Paints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.datasets.shapes.camera import Camera, draw_camera, draw_cut, project
from harness.datasets.shapes.canvas import Patch
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.clutter import draw_occluders
from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import is_inside
from harness.datasets.shapes.sketch import Sketch
from harness.frames import Size

SHARED = 3
"""Any two pictures of a category share at least this many visible keypoints."""

_ATTEMPTS = 60

_GENTLE = 20
"""From this attempt on nothing is cut off and nothing stands before the object."""

_STEP = 0.02
"""Object units between a part's centre and the points that show its axes."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The geometry of a picture, in pixels.

    Attributes:
        size: of the picture.
        camera: direction, rotation, size and position of the object.
        patches: the object's parts, from back to front.
        occluders: things before the object.
        points: (n, 2) float64, one row for each of the category's keypoints; NaN where one is not visible.
        box: (x1, y1, x2, y2) of the object's parts, covered or not, within the picture.
        is_truncated: whether a keypoint, or a twentieth of the object's box, lies outside the picture.
        is_occluded: whether something stands before one of the object's keypoints.
    """

    size: Size
    camera: Camera
    patches: tuple[Patch, ...]
    occluders: tuple[Patch, ...]
    points: np.ndarray
    box: tuple[float, float, float, float]
    is_truncated: bool
    is_occluded: bool


def draw_scene(split: str, category: str, index: int) -> Scene:
    """Draws the scene of picture `index`.

    Scenes are drawn until more than half of the category's keypoints are visible, by so many that two such
    pictures must share `SHARED` of them: any two pictures can make a pair, and none is drawn to choose one.
    """
    # Of n keypoints, two sets of (n + 3) / 2 must have three in common.
    needed = (len(KINDS[category].keypoints) + SHARED + 1) // 2
    for attempt in range(_ATTEMPTS):
        rng = KeyedRandom("scene", split, category, index, attempt)
        scene = _draw_attempt(rng, category, gentle=attempt >= _GENTLE)
        if np.isfinite(scene.points).all(axis=1).sum() >= needed:
            return scene
    raise RuntimeError(f"shapes: no scene of {category} {split} {index} shows {needed} keypoints")


def sketch_object(category: str, rng: KeyedRandom) -> Sketch:
    """Draws one object of a category, in its own coordinates."""
    sketch = Sketch()
    KINDS[category].draw(sketch, rng)
    return sketch


def lay_out(sketch: Sketch, camera: Camera, size: Size) -> tuple[tuple[Patch, ...], dict[str, np.ndarray]]:
    """Projects an object to pixels: its parts, and its keypoints by name.

    Mirroring swaps the names of left and right.
    """
    parts, keypoints = sketch.parts, list(sketch.keypoints.values())
    outlines = [part.outline for part in parts]
    corners = np.concatenate(outlines)
    starts = np.cumsum([0, *(len(outline) for outline in outlines[:-1])])
    low = np.minimum.reduceat(corners, starts, axis=0)
    high = np.maximum.reduceat(corners, starts, axis=0)
    centres = (low + high) / 2
    # Two points near each part's centre show how its coordinates lie in the picture.
    positions = np.array([keypoint.xy for keypoint in keypoints])
    xy = np.concatenate([corners, centres, centres + (_STEP, 0.0), centres + (0.0, _STEP), positions])
    part_depths = np.array([part.depth for part in parts])
    corner_depths = np.repeat(part_depths, [len(outline) for outline in outlines])
    keypoint_depths = np.array([keypoint.depth for keypoint in keypoints])
    depth = np.concatenate([corner_depths, *[part_depths] * 3, keypoint_depths])

    # One projection of everything: the camera fills the picture with the box of all points.
    # Rounded, as the last bits of sines differ between machines.
    pixels = np.round(project(camera, xy, depth, size), 3)
    lengths = [*(len(outline) for outline in outlines), *[len(parts)] * 3]
    *pixel_outlines, middle, right, down, points = np.split(pixels, np.cumsum(lengths))
    axes = _inverse((right - middle) / _STEP, (down - middle) / _STEP)
    patches = []
    geometry = zip(parts, pixel_outlines, axes, middle.tolist(), strict=True)
    for part, outline, part_axes, (x, y) in geometry:
        patches.append(Patch(part.paint, outline, part_axes, (x, y), part.line, part.turn))
    names = [_name_in_picture(name, camera.mirrored) for name in sketch.keypoints]
    return tuple(patches), dict(zip(names, points, strict=True))


def _draw_attempt(rng: KeyedRandom, category: str, gentle: bool) -> Scene:
    """
    Args:
        gentle: nothing is cut off, and nothing stands before the object.
    """
    size = Size(rng.integer(96, 128), rng.integer(96, 128))
    camera = draw_camera(rng)
    if rng.chance(0.18) and not gentle:
        camera = draw_cut(camera, rng)
    sketch = sketch_object(category, rng)
    patches, points = lay_out(sketch, camera, size)
    occluders: tuple[Patch, ...] = ()
    if not gentle:
        occluders = draw_occluders(rng, np.array(list(points.values())), size)
    return _make_scene(category, size, camera, patches, occluders, sketch, points)


def _make_scene(
    category: str,
    size: Size,
    camera: Camera,
    patches: tuple[Patch, ...],
    occluders: tuple[Patch, ...],
    sketch: Sketch,
    points_by_name: dict[str, np.ndarray],
) -> Scene:
    points = np.array(list(points_by_name.values()))
    is_in_picture = ((points >= 0) & (points <= np.array(size) - 1)).all(axis=1)
    owners = [keypoint.part for keypoint in sketch.keypoints.values()]
    is_hidden = _hidden_by_own_parts(points, patches, owners)
    is_behind = is_inside(points, [patch.outline for patch in occluders]).any(axis=0)
    flags = is_in_picture & ~is_hidden & ~is_behind
    is_visible = dict(zip(points_by_name, flags, strict=True))
    box, share_outside = _box(patches, size)
    rows = []
    # A keypoint that this object was not drawn with has no row in the sketch: it is not visible either.
    for name in KINDS[category].keypoints:
        rows.append(points_by_name[name] if is_visible.get(name) else np.full(2, np.nan))
    return Scene(
        size=size,
        camera=camera,
        patches=patches,
        occluders=occluders,
        points=np.array(rows),
        box=box,
        is_truncated=bool(share_outside > 0.05 or not is_in_picture.all()),
        is_occluded=bool((is_behind & is_in_picture).any()),
    )


def _hidden_by_own_parts(points: np.ndarray, patches: Sequence[Patch], owners: Sequence[int]) -> np.ndarray:
    """(n,) bool: whether each point is covered by a part that was painted after its own.

    Args:
        owners: index of each point's part.
    """
    later = np.arange(len(patches))[:, None] > np.array(owners)
    covered = is_inside(points, [patch.outline for patch in patches]) & later
    return np.asarray(covered.any(axis=0))


def _box(patches: Sequence[Patch], size: Size) -> tuple[tuple[float, float, float, float], float]:
    """Bounds of the parts within the picture, and the share of the whole box that lies outside."""
    corners = np.concatenate([patch.outline for patch in patches])
    low = corners.min(axis=0)
    high = corners.max(axis=0)
    low_in = np.maximum(low, 0)
    high_in = np.minimum(high, size)
    x1, y1 = low_in.tolist()
    x2, y2 = high_in.tolist()
    share_inside = float(np.prod(high_in - low_in) / np.prod(high - low))
    return (x1, y1, x2, y2), 1 - share_inside


def _inverse(along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Object units for each pixel, (n, 2, 2), from pixels for each object unit in x and in y, (n, 2) each.

    A part seen edge-on has no inverse; it is a thin line then, and any texture will do.
    """
    (a, c), (b, d) = along_x.T, along_y.T
    area = a * d - b * c
    area = np.where(np.abs(area) < 1.0, 1.0, area)
    x_row = np.stack([d, -b], axis=1)
    y_row = np.stack([-c, a], axis=1)
    return np.stack([x_row, y_row], axis=1) / area[:, None, None]


def _name_in_picture(name: str, mirrored: bool) -> str:
    """The keypoint's name in a picture that may be flipped: the object's left is its right then."""
    if mirrored and name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if mirrored and name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name
