"""Cells of a results folder that were begun and have no record: running, or interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError
from harness.messages import counted
from harness.records.folders import FRESH, RECORD, SHARDS
from harness.records.predictions import planned_pairs, read_predictions
from harness.records.schema import Record


@dataclass(frozen=True)
class Unfinished:
    """A cell without record.

    Attributes:
        name: the name of its folder.
        done: pairs with predictions.
        planned: pairs that the run was to predict; None where neither a shard nor a finished cell of the
            split says it.
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

    def describe(self) -> str:
        """A line for the user: the cell, its progress and what to do."""
        return f"{self.name}: not finished, {self.progress}; the same 'bench run' goes on with it"


def unfinished_cells(folder: Path, records: Sequence[Record]) -> list[Unfinished]:
    """The cells of a results folder that have shards and no record, in order of name.

    Args:
        records: those of the folder, which know the sizes of splits.
    """
    cells = []
    folders = {shards.parent for name in (SHARDS, FRESH) for shards in folder.glob(f"*/{name}")}
    for cell_folder in sorted(folders):
        if not (cell_folder / RECORD).exists():
            # Of a run with --fresh and one without, the one that is further.
            counts = [_count_pairs(cell_folder / name) for name in (SHARDS, FRESH)]
            done, planned = max(counts, key=lambda count: count[0])
            if planned is None:
                planned = _split_size(cell_folder.name, records)
            cells.append(Unfinished(cell_folder.name, done, planned))
    return cells


def _count_pairs(shards: Path) -> tuple[int, int | None]:
    """Pairs in the shards that can be read, and pairs that the largest run which wrote one was to predict.

    A run that goes on computes again what cannot be read. Shards of earlier versions do not say what was
    planned: None.
    """
    pairs: set[str] = set()
    planned: list[int] = []
    for path in sorted(shards.glob("*.parquet")):
        try:
            pairs.update(read_predictions(path)["pair_id"].to_pylist())
            planned += planned_pairs(path)
        except (BenchError, OSError):  # OSError: a run that ended meanwhile has removed it
            continue
    return len(pairs), max(planned, default=None)


def _split_size(cell_id: str, records: Sequence[Record]) -> int | None:
    """Pairs of the cell's split, as the records of that split have them; None where these differ."""
    sizes = set()
    for record in records:
        # An id begins with dataset and split, and goes on with the method.
        start, found, _ = record.cell.id.partition(f"-{record.cell.split}-")
        if found and record.counts and cell_id.startswith(f"{start}{found}"):
            sizes.add(record.counts.pairs)
    return sizes.pop() if len(sizes) == 1 else None
