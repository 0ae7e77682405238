"""The user's own photos: a folder of pictures with `pairs.json` or `pairs.csv` (schema in docs/own-data.md).

Paths are relative to the list's folder, points are (x, y) in pixels of the pictures as stored, (0, 0) being
the top left corner.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from harness.datasets.decoding import size_in_pixels
from harness.datasets.images import ImageFile
from harness.datasets.lists import read_csv, read_text
from harness.errors import DataError, UserError
from harness.frames import Size
from harness.specs import DatasetSpec, ImagePair, Scalar, Threshold

_KEYS = {
    "id",
    "source",
    "target",
    "category",
    "source_points",
    "target_points",
    "keypoint_ids",
    "source_box",
    "target_box",
    "labels",
}
_POINT_COLUMNS = ("source_x", "source_y", "target_x", "target_y")
_BOX_COLUMNS = ("target_x1", "target_y1", "target_x2", "target_y2")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Row:
    """One pair as the list has it, checked."""

    pair_id: str
    source: str
    target: str
    category: str
    source_points: np.ndarray
    target_points: np.ndarray
    keypoint_ids: tuple[str, ...]
    source_box: Box | None
    target_box: Box | None
    labels: dict[str, Scalar]


class Folder:
    """The pairs of a list, in its order (a `PairDataset`).

    Attributes:
        label: the name tables print.
        threshold: as the list says; else `box` where every pair has a target box, and `image` where not.
    """

    def __init__(self, folder: Path, split: str) -> None:
        path = _find_list(folder)
        self._folder = path.parent
        read = _read_json if path.suffix == ".json" else _read_csv
        name, threshold, self._rows = read(path)
        # Predictions are keyed by the pair's id, so that two of one id would be mixed up.
        counts = Counter(row.pair_id for row in self._rows)
        for pair_id, count in counts.items():
            if count > 1:
                raise UserError(f"{path}: two pairs are called '{pair_id}'; give each its own id")
        if not self._rows:
            raise UserError(f"{path}: has no pairs; docs/own-data.md shows the format")
        boxless = [row.pair_id for row in self._rows if row.target_box is None]
        if threshold == "box" and boxless:
            raise UserError(
                f"{path}: threshold is 'box' and pair {boxless[0]} has no target_box; "
                "add it, or choose 'image' or 'points'"
            )
        self.label = f"folder:{name or self._folder.resolve().name}"
        # One threshold for all pairs: a score must not mix two.
        default: Threshold = "image" if boxless else "box"
        self.threshold: Threshold = threshold or default
        self.pair_ids: Sequence[str] = tuple(row.pair_id for row in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` where a picture is missing or a point lies outside it."""
        row = self._rows[index]
        source = ImageFile(f"{row.category}-{row.source}", self._folder / row.source)
        target = ImageFile(f"{row.category}-{row.target}", self._folder / row.target)
        source_size = size_in_pixels(source.path)
        target_size = size_in_pixels(target.path)
        # Points outside are the sign of another picture size, or of (y, x): scores would be silently wrong.
        _check_inside(row.pair_id, "source", row.source, source_size, row.source_points)
        _check_inside(row.pair_id, "target", row.target, target_size, row.target_points)
        if self.threshold == "points":
            _check_extent(row)
        return ImagePair(
            pair_id=row.pair_id,
            source=source,
            target=target,
            source_size=source_size,
            target_size=target_size,
            category=row.category,
            source_points=row.source_points,
            target_points=row.target_points,
            keypoint_ids=row.keypoint_ids,
            source_box=row.source_box,
            target_box=row.target_box,
            labels=row.labels,
        )


def _find_list(path: Path) -> Path:
    """The list of pairs: the file itself, or the list in a folder. Raises `UserError`."""
    if path.is_file() and path.suffix in (".json", ".csv"):
        return path
    for name in ("pairs.json", "pairs.csv"):
        if (path / name).is_file():
            return path / name
    raise UserError(
        f"dataset folder: no pairs.json or pairs.csv in {path}; "
        "name the list or its folder as '--datasets folder=PATH' (docs/own-data.md shows the format)"
    )


def _check_inside(
    pair_id: str,
    side: str,
    path: str,
    size: Size,
    points: np.ndarray,
) -> None:
    is_beyond = ((points < 0) | (points > size)).any(axis=1)
    outside = np.isfinite(points).all(axis=1) & is_beyond
    if outside.any():
        x, y = points[outside][0]
        raise DataError(
            f"pair {pair_id}: {side} point ({x:g}, {y:g}) lies outside {path}, "
            f"which has {size.width} x {size.height} pixels; "
            "points are (x, y) in pixels of the stored picture"
        )


def _check_extent(row: _Row) -> None:
    points = row.target_points[np.isfinite(row.target_points).all(axis=1)]
    if len(points) and not np.ptp(points, axis=0).max() > 0:
        raise DataError(
            f"pair {row.pair_id}: threshold is 'points' and its target points lie in one place; "
            "annotate another point, or choose 'box' or 'image'"
        )


def _read_json(path: Path) -> tuple[str, Threshold | None, list[_Row]]:
    try:
        content = json.loads(read_text(path))
    except DataError as error:
        raise UserError(str(error)) from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("pairs"), list):
        raise UserError(f"{path}: needs an object with a list 'pairs'; docs/own-data.md shows the format")
    threshold = content.get("threshold")
    if threshold is not None and threshold not in get_args(Threshold):
        raise UserError(f"{path}: threshold '{threshold}' is not one of {', '.join(get_args(Threshold))}")
    rows: list[_Row] = []
    for number, pair in enumerate(content["pairs"], start=1):
        rows.append(_json_row(f"{path}: pair {number}", number, pair))
    return str(content.get("name") or ""), threshold, rows


def _json_row(where: str, number: int, pair: Any) -> _Row:
    if not isinstance(pair, dict):
        raise UserError(f"{where}: is {type(pair).__name__}, not an object")
    # A misspelt `target_box` would otherwise change the threshold without a word.
    unknown = sorted(set(pair) - _KEYS)
    if unknown:
        raise UserError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(sorted(_KEYS))}")
    for key in ("source", "target", "source_points", "target_points"):
        if key not in pair:
            raise UserError(f"{where}: key '{key}' is missing")
    source = _points(where, "source_points", pair["source_points"])
    target = _points(where, "target_points", pair["target_points"])
    names = tuple(str(name) for name in pair.get("keypoint_ids", range(len(source))))
    if not len(source) == len(target) == len(names):
        raise UserError(
            f"{where}: {len(source)} source points, {len(target)} target points "
            f"and {len(names)} keypoint ids; need as many"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{where}: a keypoint id occurs twice")
    labels = pair.get("labels", {})
    if not isinstance(labels, dict):
        raise UserError(f'{where}: labels must be an object such as {{"occlusion": 1}}')
    return _Row(
        pair_id=str(pair.get("id") or f"{number:06d}"),
        source=str(pair["source"]),
        target=str(pair["target"]),
        category=str(pair.get("category", "object")),
        source_points=source,
        target_points=target,
        keypoint_ids=names,
        source_box=_box(where, "source_box", pair.get("source_box")),
        target_box=_box(where, "target_box", pair.get("target_box")),
        labels=labels,
    )


def _points(where: str, key: str, rows: Any) -> np.ndarray:
    """(N, 2); null for a point, or for one of its coordinates, means that it is not there."""
    points: list[list[float]] = []
    try:
        for row in rows:
            coordinates = (None, None) if row is None else row
            points.append([_coordinate(value) for value in coordinates])
        # `reshape` gives an empty list two columns, and refuses rows of another length.
        return np.array(points, dtype=np.float64).reshape(len(points), 2)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where}: {key} must be a list of [x, y] in pixels, or null for a point that is not there"
        ) from error


def _coordinate(value: Any) -> float:
    return math.nan if value is None else float(value)


def _box(where: str, key: str, corners: Any) -> Box | None:
    if corners is None:
        return None
    try:
        x1, y1, x2, y2 = (float(value) for value in corners)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {key} must be [x1, y1, x2, y2] in pixels") from error
    is_finite = all(map(math.isfinite, (x1, y1, x2, y2)))
    if not (x2 > x1 and y2 > y1 and is_finite):
        raise UserError(
            f"{where}: {key} [{x1:g}, {y1:g}, {x2:g}, {y2:g}] is empty; "
            "it is [x1, y1, x2, y2] with x2 > x1 and y2 > y1"
        )
    return x1, y1, x2, y2


def _read_csv(path: Path) -> tuple[str, Threshold | None, list[_Row]]:
    """Reads a list with one row a point; rows of the same source and target are one pair."""
    groups: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
    known = ("source", "target", "category", "keypoint", *_POINT_COLUMNS, *_BOX_COLUMNS)
    try:
        points = read_csv(path, ("source", "target", *_POINT_COLUMNS), known)
    except DataError as error:
        raise UserError(str(error)) from error
    for line, row in enumerate(points, start=2):  # the header is line 1
        groups.setdefault((row["source"], row["target"]), []).append((line, row))
    pairs: list[_Row] = []
    for number, rows in enumerate(groups.values(), start=1):
        pairs.append(_csv_row(path, number, rows))
    # The table has no room for a name or a threshold of the whole list.
    return "", None, pairs


def _csv_row(path: Path, number: int, rows: list[tuple[int, dict[str, str]]]) -> _Row:
    """Makes a pair of its points: (line in the file, fields) each."""
    first_line, first_row = rows[0]
    where = f"{path}: row {first_line}"
    pair_columns = ("category", *_BOX_COLUMNS)
    properties = [first_row.get(column) for column in pair_columns]
    points: list[list[float]] = []
    for line, row in rows:
        points.append([_number(f"{path}: row {line}", row, column) for column in _POINT_COLUMNS])
        # Each point's row repeats what belongs to the pair.
        if [row.get(column) for column in pair_columns] != properties:
            raise UserError(
                f"{path}: row {line} has another category or box than row {first_line} of the same pair"
            )
    coordinates = np.array(points)
    corners = None
    if first_row.get(_BOX_COLUMNS[0]):
        corners = [_number(where, first_row, column) for column in _BOX_COLUMNS]
    names = tuple(row.get("keypoint") or str(position) for position, (_, row) in enumerate(rows))
    if len(set(names)) < len(names):
        pair = f"{first_row['source']}, {first_row['target']}"
        raise UserError(f"{where}: a keypoint occurs twice in the pair {pair}")
    return _Row(
        pair_id=f"{number:06d}",
        source=first_row["source"],
        target=first_row["target"],
        category=first_row.get("category") or "object",
        source_points=coordinates[:, :2],
        target_points=coordinates[:, 2:],
        keypoint_ids=names,
        source_box=None,
        target_box=_box(where, "target box", corners),
        labels={},
    )


def _number(where: str, row: dict[str, str], column: str) -> float:
    """A coordinate; an empty field is a point that is not there."""
    text = (row.get(column) or "").strip()
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise UserError(f"{where}: {column} '{text}' is not a number") from error


SPEC = DatasetSpec(
    name="folder",
    open=Folder,
    threshold="image",
    description="your own photos with pairs.json or pairs.csv: --datasets folder=PATH (docs/own-data.md)",
)
