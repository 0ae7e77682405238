"""A cell as one results folder has it, read while nobody else writes to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError, DamagedResult, UserError
from harness.housekeeping.target import lock_patiently
from harness.records.folders import RECORD, read_record
from harness.records.locks import CellIsRunning
from harness.records.predictions import PREDICTIONS, read_to_resume
from harness.records.schema import Record
from harness.scoring.points import read_cell

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Part:
    """What one results folder has of a cell.

    Attributes:
        folder: the cell's folder.
        record: its record.
        predictions: its predictions; None for a cell that failed or is not applicable.
        is_whole: whether record and predictions speak of the same rows.
    """

    folder: Path
    record: Record
    predictions: pa.Table | None
    is_whole: bool = True

    @property
    def home(self) -> Path:
        """The results folder."""
        return self.folder.parent

    @property
    def started(self) -> str:
        """Start of its last run, UTC in ISO format; empty where it is not known."""
        return self.record.provenance.started if self.record.provenance else ""


def read_part(folder: Path, warn: Callable[[str, str], None], *, is_target: bool = False) -> Part:
    """Reads a cell's folder.

    Args:
        warn: called with a subject and a message where the file system has no locks.
        is_target: whether it is the folder that is written to: its predictions may be newer than its record,
            where an earlier merge was killed between the two.

    Raises:
        CellIsRunning: another process works in the folder.
        BenchError: record or predictions are damaged, or are not there.
    """
    try:
        with lock_patiently(folder, warn, waits_for_writers=is_target):
            return _read(folder, is_target=is_target)
    except CellIsRunning as error:
        raise CellIsRunning(
            f"{folder}: another process is running this cell; merge again when it has ended"
        ) from error


def _read(folder: Path, *, is_target: bool) -> Part:
    record = read_record(folder / RECORD)
    path = folder / PREDICTIONS
    if not record.localizers:
        return Part(folder, record, None)
    if not path.exists():
        raise UserError(
            f"{path}: is not there, so its scores cannot be merged; copy it from where it was run"
        )
    try:
        return Part(folder, record, read_cell(folder, record))
    except UserError as error:
        if not is_target:
            raise DamagedResult(str(error)) from error
    table, unsound, _ = read_to_resume(path, {}, record.predictions_sha256)
    for pair_id, problem in unsound.items():
        raise BenchError(f"{path}: pair {pair_id!r}: {problem}; remove the cell's folder, and merge again")
    return Part(folder, record, table, is_whole=False)
