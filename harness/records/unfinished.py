"""Cells of a results folder that were begun and have no record: running, or interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError
from harness.messages import counted
from harness.records.folders import RECORD, SHARDS
from harness.records.predictions import read_predictions
from harness.records.schema import Record


@dataclass(frozen=True)
class Unfinished:
    """A cell without record.

    Attributes:
        name: the name of its folder.
        done: pairs with predictions.
        planned: pairs of the split; None where no finished cell of the split says it.
    """

    name: str
    done: int
    planned: int | None

    @property
    def progress(self) -> str:
        """`96 of 600 pairs`, or `96 pairs so far`."""
        if self.planned is None:
            return f"{counted(self.done, 'pair')} so far"
        return f"{self.done:,} of {counted(self.planned, 'pair')}"


def unfinished_cells(folder: Path, records: Sequence[Record]) -> list[Unfinished]:
    """The cells of a results folder that have shards and no record, in order of name.

    Args:
        records: those of the folder, which know the sizes of splits.
    """
    cells = []
    for shards in sorted(folder.glob(f"*/{SHARDS}")):
        cell_folder = shards.parent
        if not (cell_folder / RECORD).exists():
            cells.append(Unfinished(cell_folder.name, _done(shards), _planned(cell_folder.name, records)))
    return cells


def _done(shards: Path) -> int:
    """Pairs in the shards that can be read; a run that goes on computes the others again."""
    pairs: set[str] = set()
    for path in sorted(shards.glob("*.parquet")):
        try:
            pairs.update(read_predictions(path)["pair_id"].to_pylist())
        except BenchError:
            continue
    return len(pairs)


def _planned(cell_id: str, records: Sequence[Record]) -> int | None:
    """Pairs of the cell's split, as the records of that split have them; None where these differ."""
    sizes = set()
    for record in records:
        # An id begins with dataset and split, and goes on with the method.
        start, found, _ = record.cell.id.partition(f"-{record.cell.split}-")
        if found and record.counts and cell_id.startswith(f"{start}{found}"):
            sizes.add(record.counts.pairs)
    return sizes.pop() if len(sizes) == 1 else None
