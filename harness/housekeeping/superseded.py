"""Cells of a results folder that nobody needs any more, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harness.errors import BenchError, UserError
from harness.housekeeping.cell_folder import CellFolder, cell_folders_in, last_changes, stray_files
from harness.plugins.registry import SESSION
from harness.records.folders import RECORD, DamagedRecord, read_record
from harness.records.locks import CellIsRunning, lock_folder
from harness.records.predictions import PREDICTIONS, predicted_tasks
from harness.records.schema import Record
from harness.records.unfinished import unfinished_cells
from harness.scoring.points import read_cell

Category = Literal["old", "failed", "temporary", "unfinished", "damaged"]

CATEGORIES: tuple[Category, ...] = get_args(Category)

SAFE: tuple[Category, ...] = ("old", "failed", "temporary")
"""Those in which nothing was computed that stands nowhere else."""


@dataclass(frozen=True)
class Superseded:
    """Something that may be removed.

    Attributes:
        folder: the cell's folder, which goes as well when nothing is left in it; None for a stray file.
        paths: files and folders to remove, in this order.
        reason: why they are not needed, in words.
        size: bytes of their files.
        changes: when everything in the cell's folder was last written to (`last_changes`).
    """

    category: Category
    folder: Path | None
    paths: tuple[Path, ...]
    reason: str
    size: int
    changes: Mapping[Path, int]

    @property
    def name(self) -> str:
        """Name of the cell, or of the stray file."""
        return self.folder.name if self.folder else self.paths[0].name


def find_superseded(folder: Path, warn: Callable[[str, str], None]) -> tuple[list[Superseded], list[str]]:
    """What may be removed of a results folder, and a line for each cell that was left alone.

    Reads every record, and the predictions of every cell with scores.

    Args:
        warn: called with a subject and a message where the file system has no locks.

    Raises:
        UserError: the results folder does not exist, or is no results folder.
    """
    if not folder.is_dir():
        raise UserError(f"no results folder {folder}; name the one to clean")
    if (folder / RECORD).exists():
        raise UserError(f"{folder}: is the folder of one cell; name the results folder that it is in")
    items: list[Superseded] = []
    notes: list[str] = []
    sound: list[tuple[CellFolder, Record]] = []
    for cell in cell_folders_in(folder):
        if cell.foreign:
            notes.append(f"{cell.path}: has {cell.foreign}, which no command wrote; left alone")
            continue
        try:
            with lock_folder(cell.path, warn):
                item = _examine(cell, sound)
        except CellIsRunning:
            notes.append(f"{cell.path}: another process is running this cell; left alone")
        except BenchError as error:
            notes.append(f"{error}; left alone")
        else:
            items += [item] if item else []
    items += _old_versions(sound)
    for path in stray_files(folder):
        reason = "left behind by a command that was killed"
        items.append(Superseded("temporary", None, (path,), reason, _size([path]), {}))
    return sorted(items, key=lambda item: (CATEGORIES.index(item.category), item.name)), notes


def _examine(cell: CellFolder, sound: list[tuple[CellFolder, Record]]) -> Superseded | None:
    """What may be removed of one cell. Adds a cell whose numbers can be read to `sound`.

    Raises:
        UserError: the record is of a newer version or of another cell, or cannot be read.
    """
    path = cell.path / RECORD
    if not path.exists():
        return _without_record(cell)
    try:
        record = read_record(path)
    except DamagedRecord as error:
        if isinstance(error.__cause__, OSError):
            raise
        return _whole_cell(cell, "damaged", "its record is damaged; its predictions may be sound")
    if record.status == "failed":
        return _of_failed(cell, record)
    if record.scores and (cell.path / PREDICTIONS).exists():
        try:
            read_cell(cell.path, record)
        except UserError:
            return _whole_cell(cell, "damaged", "its predictions are damaged, or not those of its record")
    sound.append((cell, record))
    return _leftover(cell)


def _of_failed(cell: CellFolder, record: Record) -> Superseded:
    reason = record.error.message if record.error else "failed"
    if cell.shards or (cell.path / PREDICTIONS).exists():
        return _whole_cell(cell, "unfinished", f"failed, and has predictions: {reason}")
    return _whole_cell(cell, "failed", reason)


def _leftover(cell: CellFolder) -> Superseded | None:
    """What a sound cell has besides its record and its predictions."""
    if cell.shards:
        reason = "a later run of this cell that has not come to its end; the finished part stays"
        return _part(cell, "unfinished", cell.shards, reason)
    if cell.temporary:
        return _part(cell, "temporary", cell.temporary, "left behind by a killed run; the cell stays")
    return None


def _without_record(cell: CellFolder) -> Superseded:
    if not cell.contents:
        return _whole_cell(cell, "temporary", "an empty folder")
    progress = {each.name: each.progress for each in unfinished_cells(cell.path.parent, [])}
    return _whole_cell(cell, "unfinished", progress.get(cell.path.name, "predictions without a record"))


def _whole_cell(cell: CellFolder, category: Category, reason: str) -> Superseded:
    return _part(cell, category, cell.contents, reason)


def _part(cell: CellFolder, category: Category, paths: Sequence[Path], reason: str) -> Superseded:
    changes = last_changes(cell.path)
    return Superseded(category, cell.path, tuple(paths), reason, _size(paths), changes)


def _old_versions(cells: Sequence[tuple[CellFolder, Record]]) -> list[Superseded]:
    """Cells of older code, of which the newest version has every prediction.

    Of one row (method, parameters, prompt, weights, data, seed, precision) the newest version stays, and so
    does every other that has a pair or a localizer which the newest has not, and those of objects of a Python
    session: another version may be other values, such as weights that were trained further, and no command
    makes it again.
    """
    by_row: dict[str, list[tuple[CellFolder, Record]]] = {}
    for cell, record in cells:
        provenance = record.provenance
        if provenance is None or provenance.plugins.get("extractor", "").startswith(f"{SESSION} "):
            continue
        if record.scores and (cell.path / PREDICTIONS).exists():
            by_row.setdefault(_row_key(record), []).append((cell, record))
    items = []
    for versions in by_row.values():
        *older, (newest, newest_record) = sorted(versions, key=lambda each: (_started(each[1]), each[0].path))
        if not older:
            continue
        kept = predicted_tasks(read_cell(newest.path, newest_record))
        for cell, record in older:
            if predicted_tasks(read_cell(cell.path, record)) <= kept:
                reason = f"older code than {newest.path.name}, which has all of its pairs"
                items.append(_whole_cell(cell, "old", reason))
    return items


def _row_key(record: Record) -> str:
    """What one row of a table has in common, whatever the version of its code."""
    provenance = record.provenance
    assert provenance is not None
    cell = record.cell
    # A learned prompt is among them: another one is another experiment, and no older version.
    files = {name: hashes for name, hashes in provenance.weights.items() if not name.startswith("files of ")}
    return repr(
        (
            (cell.method, cell.label, cell.extractor, cell.prompt, sorted(cell.params.items())),
            (cell.dataset, cell.split, provenance.manifest, cell.seed, cell.fed, provenance.precision),
            sorted((name, sorted(hashes.items())) for name, hashes in files.items()),
        )
    )


def _started(record: Record) -> str:
    return record.provenance.started if record.provenance else ""


def _size(paths: Sequence[Path]) -> int:
    size = 0
    for path in paths:
        files = path.rglob("*") if path.is_dir() else [path]
        size += sum(file.stat().st_size for file in files if file.is_file())
    return size
