"""The user's own photos: a folder of pictures with `pairs.json` or `pairs.csv`.

The schema is in docs/guides/own-data.md.

Paths are relative to the list's folder, points are (x, y) in pixels of the pictures as stored, (0, 0) being
the top left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.datasets.checks import remembering_sizes
from harness.datasets.images import ImageFile
from harness.datasets.lists import find_picture
from harness.datasets.own_lists import Row, example_of, read_own_list
from harness.errors import DataError, UserError
from harness.frames import Size
from harness.messages import counted
from harness.specs import DatasetSpec, ImagePair, Threshold

_SUFFIXES = (".json", ".csv")


class Folder:
    """The pairs of a list, in its order (a `PairDataset`).

    Attributes:
        label: the name tables print.
        threshold: as the list says; else `box` where every pair has a target box, and `image` where not.
        notes: a line where some pairs have a target box and the list does not say what alpha multiplies.
    """

    def __init__(self, folder: Path, split: str) -> None:
        path = _find_list(folder)
        self._folder = path.parent
        self._read_size = remembering_sizes()
        own_list = read_own_list(path)
        threshold, self._rows = own_list.threshold, own_list.rows
        _check_ids(path, self._rows)
        if not self._rows:
            raise UserError(f"{path}: has no pairs; {example_of(path)}")
        boxless = [row.pair_id for row in self._rows if row.target_box is None]
        if threshold == "box" and boxless:
            raise UserError(
                f"{path}: threshold is 'box' and pair {boxless[0]} has no target_box; "
                "add it, or choose 'image' or 'points'"
            )
        self.label = f"folder:{own_list.name or self._folder.resolve().name}"
        # One threshold for all pairs: a score must not mix two.
        default: Threshold = "image" if boxless else "box"
        self.threshold: Threshold = threshold or default
        self.notes = () if threshold else _notes_on_boxes(len(self._rows) - len(boxless), len(self._rows))
        self.pair_ids: Sequence[str] = tuple(row.pair_id for row in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` where a picture is missing or a point lies outside it."""
        row = self._rows[index]
        source = ImageFile(f"{row.category}-{row.source}", find_picture(self._folder, [row.source]))
        target = ImageFile(f"{row.category}-{row.target}", find_picture(self._folder, [row.target]))
        source_size = self._read_size(source.path)
        target_size = self._read_size(target.path)
        # Points outside are the sign of another picture size, or of (y, x): scores would be silently wrong.
        _check_inside(row.pair_id, "source", row.source, source_size, row.source_points)
        _check_inside(row.pair_id, "target", row.target, target_size, row.target_points)
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


def _notes_on_boxes(boxes: int, pairs: int) -> tuple[str, ...]:
    """A line on a list of which some pairs have a target box: one that lacks changes every number."""
    if boxes in (0, pairs):
        return ()
    return (
        f"target_box is there for {boxes:,} of {counted(pairs, 'pair')}, so alpha multiplies the image's "
        "size; give it to all pairs or to none, or name a threshold in pairs.json",
    )


def _check_ids(path: Path, rows: Sequence[Row]) -> None:
    """Raises `UserError` where two different pairs have one id: predictions are keyed by it."""
    first: dict[str, Row] = {}
    for row in rows:
        earlier = first.setdefault(row.pair_id, row)
        if earlier is not row and _content(earlier) != _content(row):
            raise UserError(f"{path}: two pairs are called '{row.pair_id}'; give each its own id")


def _content(row: Row) -> tuple[object, ...]:
    """All that a pair says, as it is compared with another of the same id."""
    points = (row.source_points.tobytes(), row.target_points.tobytes())
    labels = sorted(row.labels.items())
    return (
        row.source,
        row.target,
        row.category,
        points,
        row.keypoint_ids,
        row.source_box,
        row.target_box,
        labels,
    )


def _find_list(path: Path) -> Path:
    """The list of pairs: the file itself, or the list in a folder. Raises `UserError`."""
    advice = f"name the list or its folder as '--datasets folder=PATH'; {example_of(Path('pairs.json'))}"
    try:
        if path.is_file():
            if path.suffix.lower() in _SUFFIXES:
                return path
            raise UserError(f"dataset folder: {path} is neither .json nor .csv; {advice}")
        if not path.exists():
            raise UserError(f"dataset folder: there is no such folder or file: {path}; {advice}")
        names = sorted(entry.name for entry in path.iterdir() if entry.is_file()) if path.is_dir() else []
    except (OSError, ValueError) as error:  # too long a name, a NUL in it, or no right to look
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"dataset folder: {path!s:.100}: {reason}; {advice}") from error
    for wanted in ("pairs.json", "pairs.csv"):
        # Also `pairs.JSON`, as some cameras and editors write it; the plain name first.
        for name in sorted(names, key=lambda name: name != wanted):
            if name.lower() == wanted:
                return path / name
    raise UserError(f"dataset folder: no pairs.json or pairs.csv in {path}; {advice}")


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


SPEC = DatasetSpec(
    name="folder",
    open=Folder,
    threshold="image",
    description="your own photos with pairs.json or pairs.csv: --datasets folder=PATH",
)
