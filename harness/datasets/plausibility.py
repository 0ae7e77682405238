"""Annotations that can be read and yet look wrong: another unit, another convention, placeholders.

Every rule is silent on a dataset as published. Each says what it saw and what it suspects; the numbers of a
run are computed as the annotations say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.datasets.splits import SplitIndex
from harness.messages import counted

_SLACK = 1.0
"""Pixels by which a point or a box may pass the picture's edge: some annotations count from 1."""

_BOX_SLACK = 0.05
"""Share of a box's longer side by which a point may pass the box: boxes are drawn by hand."""

_OUTSIDE_SHARE = 0.01
"""Share of the points beyond their boxes from which on it is no slip of a hand."""

_SAME_PLACE_SHARE = 0.05
"""Share of the points in one place from which on the place is a placeholder."""

_LARGE = 150
"""Longer side in pixels of a picture in which points in percent would differ from points in pixels."""

_ENOUGH = 8
"""Points that a rule about all points needs: a few may lie anywhere."""


@dataclass(frozen=True, eq=False)
class _Points:
    """The points that are there, of all pairs, both sides, one row each.

    Attributes:
        xy: (M, 2) pixels.
        sizes: (M, 2) width and height of each point's picture.
        boxes: (M, 4) box of each point's object; NaN without one.
        owners: (M,) number of each point's entry in `pair_ids` and `is_source`.
        keys: for each point, picture and keypoint: a picture may be in several pairs.
        pair_ids: pair of each side of a pair.
        is_source: (2 P,) bool, whether that side is the source.
    """

    xy: np.ndarray
    sizes: np.ndarray
    boxes: np.ndarray
    owners: np.ndarray
    keys: list[tuple[str, str]]
    pair_ids: list[str]
    is_source: np.ndarray

    def of_pair(self, number: int) -> str:
        """A point as a message names it: its pair, its side and its coordinates."""
        owner = self.owners[number]
        side = "source" if self.is_source[owner] else "target"
        x, y = self.xy[number]
        width, height = self.sizes[number]
        return f"pair {self.pair_ids[owner]}: {side} ({x:g}, {y:g}) in {width:g} x {height:g} pixels"


def find_oddities(index: SplitIndex) -> list[str]:
    """One line for each kind of annotation of a split that looks wrong; of the pairs that could be read."""
    points = _collect(index)
    # A box can be wrong where no point is.
    lines = list(_boxes_beyond_picture(index))
    if len(points.xy):
        lines += _points_outside(points)
        lines += _points_in_another_unit(points)
        lines += _points_in_one_place(points)
        lines += _points_outside_boxes(points)
    return lines


def _collect(index: SplitIndex) -> _Points:
    xy, sizes, boxes, owners = [np.empty((0, 2))], [], [], []
    keys: list[tuple[str, str]] = []
    pair_ids: list[str] = []
    is_source: list[bool] = []
    for pair in index.pairs.values():
        sides = (
            (pair.source, pair.source_points, pair.source_size, pair.source_box),
            (pair.target, pair.target_points, pair.target_size, pair.target_box),
        )
        for side, (image, all_points, size, box) in enumerate(sides):
            is_there = np.isfinite(all_points).all(axis=1)
            xy.append(all_points[is_there])
            count = int(is_there.sum())
            sizes += [tuple(size)] * count
            boxes += [box or (np.nan,) * 4] * count
            owners += [len(pair_ids)] * count
            names = zip(pair.keypoint_ids, is_there, strict=True)
            keys += [(image.name, name) for name, is_here in names if is_here]
            pair_ids.append(pair.pair_id)
            is_source.append(side == 0)
    return _Points(
        np.concatenate(xy),
        np.array(sizes, dtype=np.float64).reshape(-1, 2),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(owners, dtype=np.int64),
        keys,
        pair_ids,
        np.array(is_source, dtype=bool),
    )


def _points_outside(points: _Points) -> Iterator[str]:
    is_outside = ((points.xy < -_SLACK) | (points.xy > points.sizes + _SLACK)).any(axis=1)
    if is_outside.any():
        share = _of(int(is_outside.sum()), len(points.xy))
        verb = "lies" if is_outside.sum() == 1 else "lie"
        yield f"{share} {verb} outside the picture, the first in {points.of_pair(int(is_outside.argmax()))}"


def _points_in_another_unit(points: _Points) -> Iterator[str]:
    """Points in fractions or percent of the picture, or in pixels of a smaller copy."""
    largest = np.zeros(len(points.pair_ids))
    np.maximum.at(largest, points.owners, np.abs(points.xy).max(axis=1))
    counts = np.bincount(points.owners, minlength=len(points.pair_ids))
    # One point may be in the corner; two or more of an object are hardly within one pixel.
    is_fraction = (counts > 1) & (largest <= 1)
    if is_fraction.any():
        number = counted(int(is_fraction.sum()), "side", "sides")
        first = points.pair_ids[int(is_fraction.argmax())]
        yield (
            f"all points lie between 0 and 1 in {number} of pairs, the first in pair {first}: "
            "fractions of the picture? they are read as pixels"
        )
        return
    on_source_side = points.is_source[points.owners]
    everywhere = np.ones(len(points.xy), dtype=bool)
    groups = {"all": everywhere, "all source": on_source_side, "all target": ~on_source_side}
    for name, is_member in groups.items():
        line = _odd_range(name, points.xy[is_member], points.sizes[is_member])
        if line:
            yield line
            return


def _odd_range(name: str, xy: np.ndarray, sizes: np.ndarray) -> str:
    """A line on the range of a group of points; empty where it is as it should be."""
    if len(xy) < _ENOUGH:
        return ""
    if xy.min() >= 0 and xy.max() <= 100 and np.median(sizes.max(axis=1)) >= _LARGE:
        width, height = sizes[sizes.prod(axis=1).argmax()]
        return (
            f"{name} points lie within 100, in pictures of up to {width:g} x {height:g} pixels: "
            "percent of the picture, or pixels of a smaller copy? they are read as pixels"
        )
    is_left, is_upper = (xy < sizes / 2).T
    for is_x, across in ((is_left, "left"), (~is_left, "right")):
        for is_y, down in ((is_upper, "upper"), (~is_upper, "lower")):
            if (is_x & is_y).all():
                return (
                    f"{name} points lie in the {down} {across} quarter of their pictures: "
                    "pixels of a copy of another size? they are read as pixels of the stored picture"
                )
    return ""


def _points_in_one_place(points: _Points) -> Iterator[str]:
    """Several keypoints of a picture in one place, or many in its corner: what other tools write for a point
    that is not visible.
    """
    places: dict[tuple[str, str], tuple[float, float]] = {}
    for key, (x, y) in zip(points.keys, points.xy.tolist(), strict=True):
        # A picture in several pairs has its points once.
        places.setdefault(key, (x, y))
    in_picture = Counter((picture, place) for (picture, _), place in places.items())
    shared: Counter[tuple[float, float]] = Counter()
    for (_, place), count in in_picture.items():
        # The corner itself is no place of an object, even where only one point of a picture is there.
        if count > 1 or place == (0.0, 0.0):
            shared[place] += count
    if not shared:
        return
    place, count = shared.most_common(1)[0]
    if count >= max(2, _SAME_PLACE_SHARE * len(places)) or shared[0.0, 0.0] > 1:
        if shared[0.0, 0.0] > 1:
            place, count = (0.0, 0.0), shared[0.0, 0.0]
        yield (
            f"{_of(count, len(places))} lie in one place, ({place[0]:g}, {place[1]:g}): "
            "points that are not visible? those are null, or an empty field"
        )


def _boxes_beyond_picture(index: SplitIndex) -> Iterator[str]:
    count, first = 0, ""
    for pair in index.pairs.values():
        for box, size in ((pair.source_box, pair.source_size), (pair.target_box, pair.target_size)):
            if box is None:
                continue
            x1, y1, x2, y2 = box
            width, height = size
            if min(x1, y1) < -_SLACK or x2 > width + _SLACK or y2 > height + _SLACK:
                count += 1
                corners = ", ".join(f"{value:g}" for value in box)
                first = first or f"pair {pair.pair_id}: [{corners}] in {width} x {height} pixels"
    if count:
        verb = "reaches" if count == 1 else "reach"
        yield f"{counted(count, 'box', 'boxes')} {verb} beyond the picture, the first in {first}"


def _points_outside_boxes(points: _Points) -> Iterator[str]:
    has_box = np.isfinite(points.boxes).all(axis=1)
    xy, boxes = points.xy[has_box], points.boxes[has_box]
    is_outside = _is_outside(xy, boxes)
    outside = int(is_outside.sum())
    if not outside or outside < _OUTSIDE_SHARE * len(boxes):
        return
    start, extent = boxes[:, :2], boxes[:, 2:]
    conventions = {
        "x, y, width, height": np.hstack([start, start + extent]),
        "centre x, centre y, width, height": np.hstack([start - extent / 2, start + extent / 2]),
        "y1, x1, y2, x2": boxes[:, [1, 0, 3, 2]],
    }
    for name, corners in conventions.items():
        outside_so = int(_is_outside(xy, corners).sum())
        is_in_picture = (corners[:, :2] >= -_SLACK).all() and (
            corners[:, 2:] <= points.sizes[has_box] + _SLACK
        ).all()
        if is_in_picture and outside_so < outside / 10:
            yield (
                f"boxes look like {name}: read so, {_of(outside_so, len(boxes))} lie outside their own box, "
                f"and {outside:,} as they are read, x1, y1, x2, y2"
            )
            return
    first = int(np.flatnonzero(has_box)[is_outside.argmax()])
    box = ", ".join(f"{value:g}" for value in points.boxes[first])
    share = 100 * outside / len(boxes)
    yield (
        f"{_of(outside, len(boxes))} ({share:.0f} %) lie outside their own box, "
        f"the first in {points.of_pair(first)}, box [{box}]"
    )


def _is_outside(xy: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(M,) bool: points that are clearly outside their boxes."""
    low, high = boxes[:, :2], boxes[:, 2:]
    slack = _SLACK + _BOX_SLACK * np.abs(high - low).max(axis=1, keepdims=True)
    is_outside: np.ndarray = ((xy < low - slack) | (xy > high + slack)).any(axis=1)
    return is_outside


def _of(number: int, whole: int) -> str:
    return f"{number:,} of {counted(whole, 'point')}"
