"""Predictions on their way to disk, a few pairs at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from harness.records.folders import SHARDS
from harness.records.predictions import merge_tables, prediction_table, read_predictions, write_table
from harness.specs import Located

SHARD_PAIRS = 32
"""Pairs whose predictions are written at once: the most work that a killed run repeats."""

SHARD_SECONDS = 30.0
"""Slow work is written more often."""


class Shards:
    """Writes predictions into a cell's folder of shards, each named by the first of its pairs.

    Args:
        folder: the cell's.
        signature: localizer -> what its predictions depend on (`harness.records.predictions.prediction_table`).
    """

    def __init__(self, folder: Path, signature: Callable[[str], str]) -> None:
        self._folder, self._signature = folder / SHARDS, signature
        self._begin()

    def _begin(self) -> None:
        self._columns: Mapping[str, list[object]] = {
            name: [] for name in ("pair_id", "keypoint_id", "localizer", "x", "y", "score")
        }
        self._first: int | None = None
        self._since = time.monotonic()

    def add(
        self, number: int, pair_id: str, keypoint_ids: Sequence[str], localizer: str, found: Located
    ) -> None:
        """One localizer's predictions for the pair of a number in the dataset's order."""
        count = len(keypoint_ids)
        xy = found.points.numpy()
        values = (
            [pair_id] * count,
            keypoint_ids,
            [localizer] * count,
            xy[:, 0].tolist(),
            xy[:, 1].tolist(),
            found.score.tolist(),
        )
        for column, more in zip(self._columns.values(), values, strict=True):
            column.extend(more)
        self._first = number if self._first is None else min(number, self._first)

    @property
    def overdue(self) -> bool:
        """Whether the last shard was written long ago."""
        return time.monotonic() - self._since > SHARD_SECONDS

    def write(self) -> None:
        """Writes what was added since the last time, if anything was."""
        if self._first is not None:
            signatures = {
                name: self._signature(name) for name in set(cast("list[str]", self._columns["localizer"]))
            }
            table = prediction_table(self._columns, signatures)
            path = self._folder / f"{self._first:06d}.parquet"
            if path.exists():
                # Of an earlier run that was interrupted, with other localizers.
                table = merge_tables([table, read_predictions(path)])
            write_table(path, table)
        self._begin()
