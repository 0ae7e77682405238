"""Values of lists and annotations, read strictly: as they stand in the file, or refused.

Every function raises `ValueError` with a message that begins with what was read; loaders add the place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.frames import FARTHEST, Size

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_ABSENT = ("", "nan", "na", "n/a", "null", "none")
"""What programs write into a field that has no value, in lower case."""

_YES, _NO = ("true", "yes", "t", "y"), ("false", "no", "f", "n")


def is_absent(text: str) -> bool:
    """Says whether a field of a table has no value."""
    return text.strip().lower() in _ABSENT


def read_number(text: str, what: str) -> float:
    """A finite number in a field of a table."""
    stripped = text.strip()
    # Python alone would also read 1_000, and digits of other scripts.
    number = float(stripped) if _NUMBER.fullmatch(stripped) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} '{_shortened(text)}' is not a number")
    return number


def read_coordinate(text: str, what: str) -> float:
    """A coordinate in a field of a table; NaN where it is absent."""
    return math.nan if is_absent(text) else read_number(text, what)


def read_flag(text: str, what: str) -> bool:
    """A flag in a field of a table, as programs write it: 0, 0.0, False or nothing; 1, 1.0, True or yes."""
    word = text.strip().lower()
    if is_absent(word) or word in _NO:
        return False
    if word in _YES:
        return True
    if _NUMBER.fullmatch(word) and float(word) in (0, 1):
        return bool(float(word))
    raise ValueError(f"{what} '{_shortened(text)}' is neither 0 nor 1 (nor no, yes, False or True)")


def read_class_number(text: str, what: str, classes: int) -> int:
    """The number of a class, counted from 1, in a field of a table; `3.0` is 3."""
    word = text.strip()
    number = float(word) if _NUMBER.fullmatch(word) else math.nan
    # From 1: an index of -1 would be the last class.
    if not (1 <= number <= classes and number.is_integer()):
        raise ValueError(f"{what} '{_shortened(text)}' is not a number from 1 to {classes}")
    return int(number)


def read_numbers(text: str, what: str) -> list[float]:
    """Coordinates separated by semicolons in one field; an empty one between two others is absent."""
    parts = text.strip().removesuffix(";").split(";")
    return [read_coordinate(part, what) for part in parts]


def number_of(value: Any) -> float | None:
    """A number of a JSON file; None for any other value, true and false among them, and beyond 1e308."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def points_of(value: Any, what: str) -> np.ndarray:
    """(N, 2) points of a JSON list; null for a point, or for one of its coordinates, means that it is absent.

    Python writes and reads NaN in JSON as well, which is read as null.
    """
    problem = f"{what} must be a list of [x, y] in pixels, or null for a point that is not there"
    if not isinstance(value, list):
        raise ValueError(problem)
    points = np.full((len(value), 2), math.nan)
    for row, point in enumerate(value):
        if point is None:
            continue
        if not isinstance(point, list) or len(point) != 2:
            raise ValueError(problem)
        for column, coordinate in enumerate(point):
            if coordinate is None:
                continue
            number = number_of(coordinate)
            if number is None or math.isinf(number):
                raise ValueError(f"{problem}; {_shortened(repr(coordinate))} is neither")
            points[row, column] = number
    return points


def box_of(value: Any, what: str) -> tuple[float, float, float, float] | None:
    """The corners of a JSON box; None for null. Their order and area are checked with the pair."""
    if value is None:
        return None
    numbers = [number_of(corner) for corner in value] if isinstance(value, list) else []
    corners = [number for number in numbers if number is not None]
    if not len(numbers) == len(corners) == 4:
        raise ValueError(f"{what} must be [x1, y1, x2, y2] in pixels")
    return corners[0], corners[1], corners[2], corners[3]


def size_of(value: Any, what: str) -> Size:
    """Width and height of a JSON list, which may go on with the number of channels."""
    numbers = [number_of(side) for side in value[:2]] if isinstance(value, list) else []
    sides = [int(side) for side in numbers if side and 0 < side <= FARTHEST and side.is_integer()]
    if not len(numbers) == len(sides) == 2:
        raise ValueError(f"{what} must be [width, height] in whole pixels")
    return Size(*sides)


def text_of(value: Any, what: str) -> str:
    """A JSON text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        kind = "empty" if isinstance(value, str) else _kind(value)
        raise ValueError(f"{what} is {kind}; it must be text")
    return value


def names_of(value: Any, what: str) -> tuple[str, ...]:
    """Names of points in a JSON list: texts or whole numbers."""
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list of names, and is {_kind(value)}")
    names: list[str] = []
    for name in value:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ValueError(f"{what} must be texts or whole numbers, and one is {_kind(name)}")
        names.append(str(name))
    return tuple(names)


def level_of(value: Any, what: str) -> int | None:
    """A level of difficulty in a JSON file, such as 0, 1 or 2; None for null, which is absent."""
    if value is None:
        return None
    if isinstance(value, bool):
        return int(value)
    number = number_of(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
    if number is None or not number.is_integer():
        raise ValueError(f"{what} is {_shortened(repr(value))}; it must be a whole number")
    return int(number)


def first_repeated(names: Sequence[str]) -> str | None:
    """The first name that occurs twice; None where each occurs once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _kind(value: Any) -> str:
    """The kind of a JSON value as a message names it."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _shortened(text: str) -> str:
    """A value as a message quotes it: in one line, and not all of a long one."""
    line = ascii(text)[1:-1] if not text.isprintable() else text
    return line if len(line) <= 40 else f"{line[:37]}..."
