"""COCO files of key points, read strictly.

`images` have `id`, `file_name`, `width`, `height`; `categories` have `id`, `name`, `keypoints` (names) and
perhaps `supercategory`; `annotations` have `id`, `image_id`, `category_id`, `keypoints` (x, y, v for each
name, v being 0 for a point that is not annotated), `bbox` (left, top, width, height) and perhaps `iscrowd`.

A mistake is a `UserError` of one line that names the file and the entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.datasets.checks import Box, check_box, check_text
from harness.datasets.lists import read_annotation
from harness.datasets.values import first_repeated, names_of, number_of, size_of, text_of
from harness.errors import DataError, UserError
from harness.frames import FARTHEST, Size

_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class Picture:
    """An entry of `images`.

    Attributes:
        picture_id: the whole number, or text, as text.
        file_name: relative to a folder that the file does not name.
        size: None where the file does not say it.
    """

    picture_id: str
    file_name: str
    size: Size | None


@dataclass(frozen=True)
class Category:
    """An entry of `categories`.

    Attributes:
        group: its `supercategory`; empty where there is none.
        keypoints: names; empty for a category without key points.
    """

    name: str
    group: str
    keypoints: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """An entry of `annotations`: one object in one picture.

    Attributes:
        subject_id: its `id` as text.
        points: name -> (x, y) in pixels, of those that are annotated (v above 0), in the category's order.
        box: None where there is none.
        is_crowd: True for an area with several objects.
        stated_points: its `num_keypoints`; None where there is none.
    """

    subject_id: str
    picture: Picture
    category: Category
    points: Mapping[str, tuple[float, float]]
    box: Box | None
    is_crowd: bool
    stated_points: int | None


@dataclass(frozen=True)
class CocoFile:
    """What a file holds; subjects come in the order of their ids, whatever the file's own order is."""

    pictures: Mapping[str, Picture]
    categories: Sequence[Category]
    subjects: Sequence[Subject]


def is_coco(content: Any) -> bool:
    """Says whether a JSON file's content has the three lists of a COCO file."""
    return isinstance(content, dict) and all(isinstance(content.get(name), list) for name in _LISTS)


def id_order(identifier: str) -> tuple[int, str]:
    """A key that sorts ids that are whole numbers by their value."""
    return len(identifier), identifier


def read_coco(path: Path, advice: str = "name another file, or mend it") -> CocoFile:
    """Reads a COCO file of key points. Raises `UserError` that says where it is wrong.

    Args:
        advice: what to do about a file that cannot be read.
    """
    try:
        content = read_annotation(path, advice)
    except DataError as error:
        raise UserError(str(error)) from error
    if not is_coco(content):
        raise UserError(f"{path}: is no COCO file, an object with the lists {', '.join(_LISTS)}; {advice}")
    try:
        pictures = _by_id("images", content["images"], _read_picture)
        categories = _by_id("categories", content["categories"], _read_category)
        _check_names(categories)
        subjects: list[Subject] = []
        for number, entry in enumerate(content["annotations"], start=1):
            subjects.append(_read_subject(_place("annotations", number, entry), entry, pictures, categories))
        twice = first_repeated([subject.subject_id for subject in subjects])
        if twice is not None:
            raise DataError(f"annotations: id {twice} occurs twice")
    except (DataError, ValueError) as error:
        raise UserError(f"{path}: {error}; {advice}") from error
    subjects.sort(key=lambda subject: id_order(subject.subject_id))
    return CocoFile(pictures, list(categories.values()), subjects)


def _check_names(categories: Mapping[str, Category]) -> None:
    """Raises `DataError` where categories of one name differ: their objects would be taken for one kind."""
    named: dict[str, Category] = {}
    for category in categories.values():
        if named.setdefault(category.name, category) != category:
            raise DataError(
                f"categories: two are called '{category.name}', and differ in key points or supercategory"
            )


def _place(name: str, number: int, entry: Any) -> str:
    """`annotations: entry 3 (id 17)`."""
    identifier = entry.get("id") if isinstance(entry, dict) else None
    return f"{name}: entry {number}" + (f" (id {identifier})" if isinstance(identifier, int) else "")


def _by_id(name: str, entries: Sequence[Any], read: Any) -> dict[str, Any]:
    """id -> entry. Raises `DataError` for an id that is there twice with two contents."""
    by_id: dict[str, Any] = {}
    for number, entry in enumerate(entries, start=1):
        place = _place(name, number, entry)
        identifier = _id_of(place, entry, "id")
        value = read(place, identifier, entry)
        if by_id.setdefault(identifier, value) != value:
            raise DataError(f"{place}: an earlier entry has the same id and says otherwise")
    return by_id


def _value(place: str, entry: Any, key: str) -> Any:
    if not isinstance(entry, dict):
        raise DataError(f"{place}: is not an object")
    if entry.get(key) is None:
        raise DataError(f"{place}: key '{key}' is {'null' if key in entry else 'missing'}")
    return entry[key]


def _id_of(place: str, entry: Any, key: str) -> str:
    value = _value(place, entry, key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{place}: {key} is neither a whole number nor text")
    return check_text(place, key, str(value))


def _read_picture(place: str, identifier: str, entry: Any) -> Picture:
    name = check_text(place, "file_name", _text(place, entry, "file_name"))
    sides = [entry.get("width"), entry.get("height")]
    size = None if sides == [None, None] else _sized(place, sides)
    return Picture(identifier, name, size)


def _sized(place: str, sides: list[Any]) -> Size:
    try:
        return size_of(sides, "its width and height")
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error


def _text(place: str, entry: Any, key: str) -> str:
    try:
        return text_of(_value(place, entry, key), key)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error


def _read_category(place: str, identifier: str, entry: Any) -> Category:
    name = check_text(place, "name", _text(place, entry, "name"))
    group = _text(place, entry, "supercategory") if entry.get("supercategory") else ""
    try:
        names = names_of(entry.get("keypoints") or [], "keypoints")
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    for keypoint in names:
        check_text(place, "the name of a key point", keypoint)
    twice = first_repeated(names)
    if twice is not None:
        raise DataError(f"{place}: key point '{twice}' occurs twice")
    return Category(name, group, names)


def _read_subject(
    place: str, entry: Any, pictures: Mapping[str, Picture], categories: Mapping[str, Category]
) -> Subject:
    subject_id = _id_of(place, entry, "id")
    picture = pictures.get(_id_of(place, entry, "image_id"))
    if picture is None:
        raise DataError(f"{place}: image_id {entry['image_id']} is the id of no image")
    category = categories.get(_id_of(place, entry, "category_id"))
    if category is None:
        raise DataError(f"{place}: category_id {entry['category_id']} is the id of no category")
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise DataError(f"{place}: iscrowd is {crowd!r:.40}, neither 0 nor 1")
    # A crowd, and an object of a file that has boxes as well, has no key points.
    values = entry.get("keypoints")
    points = {} if values is None or crowd else _read_points(place, values, category)
    return Subject(
        subject_id,
        picture,
        category,
        points,
        box=_read_box(place, entry.get("bbox")),
        is_crowd=bool(crowd),
        stated_points=_read_count(place, entry.get("num_keypoints")),
    )


def _read_count(place: str, value: Any) -> int | None:
    number = number_of(value)
    if value is not None and (number is None or number < 0 or not number.is_integer()):
        raise DataError(f"{place}: num_keypoints is {value!r:.40}, not a whole number")
    return None if number is None else int(number)


def _read_points(place: str, values: Any, category: Category) -> dict[str, tuple[float, float]]:
    """Reads x, y, v for each name of the category. Raises `DataError`."""
    count = len(category.keypoints)
    if not isinstance(values, list) or len(values) != 3 * count:
        length = f"has {len(values)} numbers" if isinstance(values, list) else "is no list"
        raise DataError(
            f"{place}: keypoints {length}, and category '{category.name}' names {count} key points: "
            f"{3 * count} numbers x, y, v"
        )
    points: dict[str, tuple[float, float]] = {}
    for position, name in enumerate(category.keypoints):
        x, y, seen = (number_of(value) for value in values[3 * position : 3 * position + 3])
        if seen not in (0, 1, 2):
            raise DataError(f"{place}: v of key point '{name}' is not 0, 1 or 2")
        if not seen:
            continue
        if x is None or y is None or not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
            raise DataError(f"{place}: x and y of key point '{name}' are not numbers of pixels")
        points[name] = (x, y)
    return points


def _read_box(place: str, value: Any) -> Box | None:
    """The corners of a box that is left, top, width, height."""
    if value is None:
        return None
    numbers = [number_of(number) for number in value] if isinstance(value, list) else []
    sides = [number for number in numbers if number is not None and math.isfinite(number)]
    if not len(numbers) == len(sides) == 4:
        raise DataError(f"{place}: bbox must be [left, top, width, height] in pixels")
    left, top, width, height = sides
    if width <= 0 or height <= 0:
        raise DataError(f"{place}: bbox [{left:g}, {top:g}, {width:g}, {height:g}] has no area")
    return check_box(place, "bbox", (left, top, left + width, top + height))
