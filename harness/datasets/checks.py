"""The one check of what datasets yield: those of this package, the user's own and those of plugins.

A fault of one pair is a `DataError`, so that the pair fails by name and the others are scored.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from harness.datasets.decoding import require_file, size_in_pixels
from harness.datasets.images import ImageFile
from harness.errors import DataError
from harness.frames import FARTHEST, Size
from harness.specs import ImagePair, ImageSource, Scalar, Threshold

LEAST_LENGTH = 1e-6
"""The least length in pixels that a box or a threshold may have: a shorter one measures nothing."""

Box = tuple[float, float, float, float]


SizeReader = Callable[[Path], Size]
"""Reads a picture's size from its header. Raises `DataError`."""


def check_pair(pair: ImagePair, pair_id: str, read_size: SizeReader | None = None) -> ImagePair:
    """Checks all that is known of a pair before its pictures are decoded.

    Args:
        pair: what a dataset yielded.
        pair_id: the name that the dataset announced it by.
        read_size: one that remembers; a picture is in many pairs.

    Returns:
        The pair with float64 points and numbers of plain Python.

    Raises:
        DataError: something is missing, of a wrong kind or contradicts something else.
    """
    if not isinstance(pair, ImagePair):
        raise DataError(f"pair {pair_id}: the dataset yields {type(pair).__name__}, not an ImagePair")
    if pair.pair_id != pair_id:
        raise DataError(f"pair {pair_id}: the dataset yields pair {pair.pair_id!r} in its place")
    where = f"pair {pair_id}"
    check_text(where, "category", pair.category)
    source_points = _check_points(where, "source_points", pair.source_points)
    target_points = _check_points(where, "target_points", pair.target_points)
    _check_names(where, pair.keypoint_ids, len(source_points), len(target_points))
    is_shared = np.isfinite(source_points).all(axis=1) & np.isfinite(target_points).all(axis=1)
    shared = {name for name, is_there in zip(pair.keypoint_ids, is_shared, strict=True) if is_there}
    return replace(
        pair,
        source_size=_check_picture(where, "source", pair.source, pair.source_size, read_size),
        target_size=_check_picture(where, "target", pair.target, pair.target_size, read_size),
        source_points=source_points,
        target_points=target_points,
        keypoint_ids=tuple(pair.keypoint_ids),
        source_keypoints=_check_all_names(where, "source_keypoints", pair.source_keypoints, shared),
        target_keypoints=_check_all_names(where, "target_keypoints", pair.target_keypoints, shared),
        source_box=check_box(where, "source_box", pair.source_box),
        target_box=check_box(where, "target_box", pair.target_box),
        labels=check_labels(where, pair.labels),
    )


def _check_all_names(where: str, what: str, names: object, shared: Collection[str]) -> tuple[str, ...] | None:
    """Returns the names of all keypoints of a picture; None where the dataset does not say them.

    Raises:
        DataError: they are no different texts, or lack one of the points that both pictures have.
    """
    if names is None:
        return None
    if not isinstance(names, tuple | list):
        raise DataError(f"{where}: {what} is {_kind(names)}, not a tuple of names")
    for name in names:
        check_text(where, f"a name in {what}", name)
    if len(set(names)) < len(names):
        raise DataError(f"{where}: {what} has a name twice; name each keypoint once")
    for name in sorted(set(shared) - set(names)):
        raise DataError(f"{where}: {what} lacks keypoint {name!r}, which both pictures have; add it")
    return tuple(names)


def check_text(where: str, what: str, text: object) -> str:
    """Returns a name that tables, files and terminals can hold. Raises `DataError` for any other."""
    if not isinstance(text, str):
        raise DataError(f"{where}: {what} is {_kind(text)}, not text")
    if not text.strip():
        raise DataError(f"{where}: {what} is empty")
    # Most names are printable, which Python knows at once; some that are not are harmless.
    for character in "" if text.isprintable() else text:
        # Control characters, and halves of characters, which no file name or table can hold.
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise DataError(f"{where}: {what} {text!a} has the character U+{ord(character):04X}; remove it")
    return text


def check_box(where: str, what: str, box: object) -> Box | None:
    """Returns a box (x1, y1, x2, y2), None where there is none.

    Raises:
        DataError: it has other than four finite numbers, no area, its corners are not in order or beyond any
            picture.
    """
    if box is None:
        return None
    corners = [_number(corner) for corner in box] if isinstance(box, tuple | list | np.ndarray) else []
    numbers = [corner for corner in corners if corner is not None]
    if not len(corners) == len(numbers) == 4:
        raise DataError(f"{where}: {what} must be [x1, y1, x2, y2] in pixels")
    x1, y1, x2, y2 = numbers
    # Not `<`: a corner that is not a number must be refused, too.
    if not (x2 - x1 >= LEAST_LENGTH and y2 - y1 >= LEAST_LENGTH):
        raise DataError(
            f"{where}: {what} [{x1:g}, {y1:g}, {x2:g}, {y2:g}] is empty; "
            "it is [x1, y1, x2, y2] with x2 > x1 and y2 > y1"
        )
    # Every prediction would be within a share of so long a side.
    if max(map(abs, numbers)) > FARTHEST:
        raise DataError(f"{where}: {what} [{x1:g}, {y1:g}, {x2:g}, {y2:g}] is far beyond any picture")
    return x1, y1, x2, y2


def threshold_problem(kind: Threshold, target_box: Box | None, target_points: np.ndarray) -> str:
    """The reason why a pair has no length that PCK's alpha could multiply; empty where it has one.

    Args:
        target_points: (N, 2) the points that count: those that are there in both pictures.

    The answer holds in every protocol's frame, since a frame changes lengths by positive factors.
    """
    if kind == "box":
        if target_box is None:
            return "the threshold is 'box' and it has no target_box; add it, or choose 'image' or 'points'"
        x1, y1, x2, y2 = target_box
        if not max(abs(x2 - x1), abs(y2 - y1)) >= LEAST_LENGTH:
            return "the threshold is 'box' and its target_box is empty; mend it, or choose another one"
    if kind == "points" and len(target_points) and not np.ptp(target_points, axis=0).max() >= LEAST_LENGTH:
        return (
            "the threshold is 'points' and its target points lie in one place; "
            "annotate another point, or choose 'box' or 'image'"
        )
    return ""


def picture_size(path: Path) -> Size:
    """Reads a picture's width and height from its header, once as long as the file stays as it is.

    Raises:
        DataError: it is missing, is not a file or is no picture.
    """
    status = require_file(path)
    return _header_size(path, status.st_mtime_ns, status.st_size)


def remembering_sizes() -> SizeReader:
    """A reader that asks the file system once for each picture, for as long as a split is read."""
    return lru_cache(maxsize=None)(picture_size)


# Time and size are arguments so that a replaced picture is read anew.
@lru_cache(maxsize=100_000)
def _header_size(path: Path, mtime_ns: int, size: int) -> Size:
    return size_in_pixels(path)


def _check_picture(
    where: str, side: str, image: ImageSource, size: object, read_size: SizeReader | None
) -> Size:
    """Returns the annotated size of a picture. Raises `DataError` where the picture has another one."""
    missing = [name for name in ("name", "identity", "open") if not hasattr(image, name)]
    if missing:
        raise DataError(f"{where}: {side} is {_kind(image)}, not a picture with name, identity and open")
    check_text(where, f"the name of its {side}", image.name)
    sides = list(size) if isinstance(size, tuple | list) else []
    if len(sides) != 2 or not all(_is_whole(number) and number > 0 for number in sides):
        raise DataError(f"{where}: {side}_size {size!r} is not a width and a height in pixels")
    annotated = Size(*map(int, sides))
    # Pictures that are made when they are opened have no header; they are compared when they are decoded.
    if isinstance(image, ImageFile):
        actual = (read_size or picture_size)(image.path)
        # In a frame of another size every point would lie elsewhere.
        if actual != annotated:
            raise DataError(
                f"image {image.name}: has {actual.width} x {actual.height} pixels, its annotation says "
                f"{annotated.width} x {annotated.height}; replace the picture"
            )
    return annotated


def _check_points(where: str, what: str, points: object) -> np.ndarray:
    """Returns (N, 2) float64 points; absent ones have NaN. Raises `DataError`."""
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "fiu":
        raise DataError(f"{where}: {what} is {_kind(points)}, not a numpy array of numbers")
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"{where}: {what} has the shape {points.shape}, not (points, 2)")
    numbers = points.astype(np.float64)
    if np.isinf(numbers).any():
        raise DataError(f"{where}: {what} has an infinite coordinate; a point that is not there is NaN")
    if (np.abs(numbers) > FARTHEST).any():
        raise DataError(f"{where}: {what} has a coordinate far beyond any picture")
    return numbers


def _check_names(where: str, names: object, source_count: int, target_count: int) -> None:
    if not isinstance(names, tuple | list):
        raise DataError(f"{where}: keypoint_ids is {_kind(names)}, not a list of names")
    if source_count != target_count:
        raise DataError(
            f"{where}: {source_count} source points and {target_count} target points; need as many"
        )
    if source_count != len(names):
        raise DataError(f"{where}: {source_count} points and {len(names)} keypoint ids; need as many")
    for name in names:
        check_text(where, "a keypoint id", name)
    # Predictions are keyed by them: two points of one name would share one prediction.
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise DataError(f"{where}: keypoint id '{twice}' occurs twice; give each point its own")


def check_labels(where: str, labels: object) -> dict[str, Scalar]:
    """Returns a pair's labels without those that are null, which are absent. Raises `DataError`."""
    if not isinstance(labels, Mapping):
        raise DataError(f"{where}: labels are {_kind(labels)}, not an object")
    checked: dict[str, Scalar] = {}
    for name, value in labels.items():
        check_text(where, "a label", name)
        if value is None:
            continue
        checked[name] = _check_label(where, name, value)
    return checked


def _check_label(where: str, name: str, value: object) -> Scalar:
    if isinstance(value, str):
        return check_text(where, f"label {name}", value) if value else value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    number = _number(value)
    if number is None or not math.isfinite(number):
        raise DataError(f"{where}: label {name} is {value!r:.40}, not text, a number or true or false")
    # 1 and 1.0 are one value, and must not be two slices of a score.
    if isinstance(value, int):
        return value
    return int(number) if number.is_integer() else number


def _number(value: object) -> float | None:
    """A number as float64; None for any other value, true and false among them, and beyond 1e308."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _kind(value: object) -> str:
    """The kind of a value as a message names it."""
    return "null" if value is None else type(value).__name__
