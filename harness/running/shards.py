"""Predictions on their way to disk, a few pairs at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.records.predictions import merge_tables, prediction_table, read_predictions, write_table
from harness.running.asked import asked_pairs
from harness.running.predict import Prediction
from harness.running.resolve import ResolvedCell

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


def write_shard(resolved: ResolvedCell, predictions: Sequence[Prediction]) -> None:
    """Writes predictions into the cell's folder of shards; nothing where there are none."""
    if predictions:
        store_shard(resolved, shard_table(resolved, predictions))


def shard_table(resolved: ResolvedCell, predictions: Sequence[Prediction]) -> pa.Table:
    """The rows of some predictions, as they are stored: see `prediction_table`."""
    rows: dict[str, list[object]] = {}
    for column in ("pair_id", "keypoint_id", "localizer", "x", "y", "score"):
        rows[column] = []
    for prediction in predictions:
        keypoint_ids = resolved.index.keypoint_ids(prediction.pair_id)
        points = prediction.located.points.numpy()
        rows["pair_id"] += [prediction.pair_id] * len(keypoint_ids)
        rows["keypoint_id"] += keypoint_ids
        rows["localizer"] += [prediction.localizer] * len(keypoint_ids)
        rows["x"] += points[:, 0].tolist()
        rows["y"] += points[:, 1].tolist()
        rows["score"] += prediction.located.score.tolist()
    fingerprints: dict[str, str] = {}
    for prediction in predictions:
        fingerprints[prediction.localizer] = resolved.localizers[prediction.localizer].fingerprint
    return prediction_table(rows, fingerprints)


def store_shard(resolved: ResolvedCell, table: pa.Table) -> None:
    """Puts the rows of some pairs into the cell's folder of shards.

    The file is called after the first of its pairs in the dataset's order.
    """
    pair_ids = set(table["pair_id"].unique().to_pylist())
    numbers = (number for number, pair_id in enumerate(resolved.index.pair_ids) if pair_id in pair_ids)
    path = resolved.shards / f"{next(numbers):06d}.parquet"
    if path.exists():
        # Of an earlier run that was interrupted, with other localizers.
        table = merge_tables([table, *_read_sound_shard(path)])
    write_table(path, table, planned=_count_planned(resolved))


def _count_planned(resolved: ResolvedCell) -> int:
    """Number of pairs that the run is to predict, those of earlier runs included."""
    return len(asked_pairs(resolved.index, resolved.options))


def _read_sound_shard(path: Path) -> list[pa.Table]:
    """The table in a shard; none where it is damaged, which the run has told when it began."""
    try:
        return [read_predictions(path)]
    except UserError:
        return []
