"""The user's own lists, `pairs.json` and `pairs.csv`, read strictly (schema in docs/guides/own-data.md).

A mistake in a list is a `UserError`: it stops a run before it begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from harness.datasets.checks import Box, check_box, check_text
from harness.datasets.coco.reading import is_coco
from harness.datasets.lists import number_entries, read_annotation, read_csv
from harness.datasets.values import (
    box_of,
    first_repeated,
    is_absent,
    names_of,
    points_of,
    read_coordinate,
    read_number,
    text_of,
)
from harness.errors import DataError, UserError
from harness.specs import Scalar, Threshold

_NEEDED = ("source", "target", "source_points", "target_points")
_OPTIONAL = ("category", "id", "keypoint_ids", "labels", "source_box", "target_box")
_LIST_KEYS = ("name", "pairs", "threshold")
_POINT_COLUMNS = ("source_x", "source_y", "target_x", "target_y")
_BOX_COLUMNS = ("target_x1", "target_y1", "target_x2", "target_y2")

NO_CATEGORY = "object"
"""What a prompt calls the object of a pair without a category."""

EXAMPLE = (
    '{"pairs": [{"source": "a.jpg", "target": "b.jpg", '
    '"source_points": [[120, 80]], "target_points": [[90, 60]]}]}'
)
"""A list as short as can be, for messages: the pages are not at hand wherever this package is installed."""

CSV_EXAMPLE = ",".join(("source", "target", *_POINT_COLUMNS))
"""The first row of the same list as CSV."""


def example_of(path: Path) -> str:
    """A list like the user's as short as can be, as the end of a message."""
    if path.suffix.lower() == ".csv":
        return f"such a list has a row for each point, below {CSV_EXAMPLE}"
    return f"such a list is {EXAMPLE}"


@dataclass(frozen=True, eq=False)
class Row:
    """One pair as the list has it, checked.

    Attributes:
        pair_id: that of an earlier pair where the list repeats it.
        source, target: names of pictures, relative to the list's folder.
    """

    pair_id: str
    source: str
    target: str
    category: str
    source_points: np.ndarray
    target_points: np.ndarray
    keypoint_ids: tuple[str, ...]
    source_box: Box | None = None
    target_box: Box | None = None
    labels: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnList:
    """A list of the user's.

    Attributes:
        name: empty where the list has none.
        threshold: None where the list has none.
    """

    name: str
    threshold: Threshold | None
    rows: Sequence[Row]


def read_own_list(path: Path) -> OwnList:
    """Reads a `.json` or `.csv` list. Raises `UserError` that says where it is wrong."""
    return _read_json(path) if path.suffix.lower() == ".json" else _read_csv(path)


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Turns what readers of values raise into the user's mistake at a place."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    except DataError as error:
        raise UserError(str(error)) from error


def _read_json(path: Path) -> OwnList:
    with _at(str(path)):
        content = read_annotation(path, "mend the list")
    if is_coco(content):
        raise UserError(
            f"{path}: is a COCO file, which names no pairs; "
            f"'bench data pairs {path} --per-category 100' makes a list of pairs of it"
        )
    if not isinstance(content, dict) or not isinstance(content.get("pairs"), list):
        raise UserError(f"{path}: needs an object with a list 'pairs'; {example_of(path)}")
    _refuse_unknown_keys(str(path), content, _LIST_KEYS)
    name, threshold = content.get("name"), content.get("threshold")
    if threshold is not None and threshold not in get_args(Threshold):
        raise UserError(f"{path}: threshold {threshold!r:.40} is not one of {', '.join(get_args(Threshold))}")
    if name is not None:
        with _at(str(path)):
            check_text(str(path), "name", text_of(name, "name"))
    pairs = content["pairs"]
    # The text of a pair tells whether an earlier one is repeated; numbers keep their spelling apart from it.
    numbers = number_entries([repr(pair) for pair in pairs])
    rows: list[Row] = []
    for position, (number, pair) in enumerate(zip(numbers, pairs, strict=True), start=1):
        rows.append(_json_row(f"{path}: pair {position}", number, pair))
    return OwnList(name or "", threshold, rows)


def _refuse_unknown_keys(where: str, content: Mapping[str, Any], known: Sequence[str]) -> None:
    # A misspelt `target_box` or `threshold` would otherwise change numbers without a word.
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise UserError(f"{where}: unknown key {unknown[0]!r:.40}; known: {', '.join(sorted(known))}")


def _json_row(where: str, number: int, pair: Any) -> Row:
    """Reads a pair; a key that is null is read as one that is absent.

    Args:
        number: names a pair without an id.
    """
    if not isinstance(pair, dict):
        raise UserError(f"{where}: is {type(pair).__name__}, not an object")
    _refuse_unknown_keys(where, pair, (*_NEEDED, *_OPTIONAL))
    for key in _NEEDED:
        if pair.get(key) is None:
            reason = "is null, and needed" if key in pair else "is missing"
            raise UserError(f"{where}: key '{key}' {reason}")
    with _at(where):
        source = points_of(pair["source_points"], "source_points")
        target = points_of(pair["target_points"], "target_points")
        names = pair.get("keypoint_ids")
        category = pair.get("category")
        return Row(
            pair_id=_pair_id(where, pair.get("id"), number),
            source=check_text(where, "source", text_of(pair["source"], "source")),
            target=check_text(where, "target", text_of(pair["target"], "target")),
            category=NO_CATEGORY if category is None else check_text(where, "category", category),
            source_points=source,
            target_points=target,
            keypoint_ids=_point_names(where, names, len(source), len(target)),
            source_box=check_box(where, "source_box", box_of(pair.get("source_box"), "source_box")),
            target_box=check_box(where, "target_box", box_of(pair.get("target_box"), "target_box")),
            labels=_labels(where, pair.get("labels")),
        )


def _pair_id(where: str, given: Any, number: int) -> str:
    if given is None:
        return f"{number:06d}"
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise UserError(f"{where}: id must be text or a whole number")
    return check_text(where, "id", str(given))


def _point_names(where: str, given: Any, source_count: int, target_count: int) -> tuple[str, ...]:
    if source_count != target_count:
        raise UserError(
            f"{where}: {source_count} source points and {target_count} target points; need as many"
        )
    names = tuple(map(str, range(source_count))) if given is None else names_of(given, "keypoint_ids")
    if source_count != len(names):
        raise UserError(f"{where}: {source_count} points and {len(names)} keypoint ids; need as many")
    for name in names:
        check_text(where, "a keypoint id", name)
    twice = first_repeated(names)
    if twice is not None:
        raise UserError(f"{where}: a keypoint id occurs twice, '{twice}'")
    return names


def _labels(where: str, given: Any) -> dict[str, Scalar]:
    labels = {} if given is None else given
    if not isinstance(labels, dict):
        raise UserError(f'{where}: labels must be an object such as {{"occlusion": 1}}')
    for name, value in labels.items():
        if isinstance(value, dict | list):
            raise UserError(f"{where}: label {name!r:.40} must be a number, text, true, false or null")
    return labels


def _read_csv(path: Path) -> OwnList:
    """Reads a list with one row a point; rows of the same source and target are one pair."""
    groups: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = defaultdict(list)
    known = ("source", "target", "category", "keypoint", *_POINT_COLUMNS, *_BOX_COLUMNS)
    points = read_csv(path, ("source", "target", *_POINT_COLUMNS), known)
    for line, row in enumerate(points, start=2):  # the header is line 1
        for side in ("source", "target"):
            with _at(f"{path}: row {line}"):
                check_text(f"{path}: row {line}", side, row[side])
        groups[row["source"], row["target"]].append((line, row))
    pairs: list[Row] = []
    for number, rows in enumerate(groups.values(), start=1):
        pairs.append(_csv_row(path, number, rows))
    # The table has no room for a name or a threshold of the whole list.
    return OwnList("", None, pairs)


def _csv_row(path: Path, number: int, rows: Sequence[tuple[int, dict[str, str]]]) -> Row:
    """Makes a pair of its points: (line in the file, fields) each."""
    first_line, first_row = rows[0]
    where = f"{path}: row {first_line}"
    pair_columns = ("category", *_BOX_COLUMNS)
    properties = [first_row.get(column) for column in pair_columns]
    points: list[list[float]] = []
    lines: dict[tuple[str, ...], int] = {}
    for line, row in rows:
        with _at(f"{path}: row {line}"):
            points.append([read_coordinate(row[column], column) for column in _POINT_COLUMNS])
        # Each point's row repeats what belongs to the pair.
        if [row.get(column) for column in pair_columns] != properties:
            raise UserError(
                f"{path}: row {line} has another category or box than row {first_line} of the same pair"
            )
        earlier = lines.setdefault(tuple(row.values()), line)
        # A row with a name that is there twice is told below.
        if earlier != line and not _given(row, "keypoint"):
            raise UserError(f"{path}: row {line} repeats row {earlier}; remove one, or name their keypoints")
    coordinates = np.array(points)
    names = tuple(_given(row, "keypoint") or str(position) for position, (_, row) in enumerate(rows))
    if first_repeated(names) is not None:
        pair = f"{first_row['source']}, {first_row['target']}"
        raise UserError(f"{where}: a keypoint occurs twice in the pair {pair}")
    with _at(where):
        return Row(
            pair_id=f"{number:06d}",
            source=first_row["source"],
            target=first_row["target"],
            category=check_text(where, "category", _given(first_row, "category") or NO_CATEGORY),
            source_points=coordinates[:, :2],
            target_points=coordinates[:, 2:],
            keypoint_ids=tuple(check_text(where, "a keypoint", name) for name in names),
            target_box=_csv_box(where, first_row),
        )


def _given(row: Mapping[str, str], column: str) -> str:
    """A text in a table; empty where the column or the value is absent, as pandas writes NaN."""
    text = row.get(column, "")
    return "" if is_absent(text) else text


def _csv_box(where: str, row: Mapping[str, str]) -> Box | None:
    absent = [column for column in _BOX_COLUMNS if is_absent(row.get(column, ""))]
    if len(absent) == len(_BOX_COLUMNS):
        return None
    if absent:
        raise UserError(f"{where}: target box lacks {', '.join(absent)}; give all four corners, or none")
    return check_box(where, "target box", [read_number(row[column], column) for column in _BOX_COLUMNS])
