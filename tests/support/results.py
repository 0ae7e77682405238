"""What a run wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from harness.records.predictions import prediction_table, read_predictions, write_table
from harness.records.seal import SEAL, seal_of
from harness.records.truth_columns import without_truth


def predictions(results: Path) -> dict[str, bytes]:
    """Cell id -> bytes of its predictions."""
    return {path.parent.name: path.read_bytes() for path in sorted(results.glob("*/predictions.parquet"))}


def the_record(results: Path) -> dict:
    """The only record of a results folder."""
    (path,) = results.glob("*/record.json")
    return json.loads(path.read_text())


def rewrite_predictions(folder: Path, rows: list[dict]) -> None:
    """Puts other predictions in a cell's folder, with a record that speaks of them, as a run would."""
    path = folder / "predictions.parquet"
    fingerprints = json.loads(pq.read_schema(path).metadata[b"localizers"])
    table = prediction_table({name: [row[name] for row in rows] for name in rows[0]}, fingerprints)
    record = json.loads((folder / "record.json").read_text())
    record["predictions_sha256"] = write_table(path, table)
    for localizer, info in record["localizers"].items():
        pair_ids = [row["pair_id"] for row in rows if row["localizer"] == localizer]
        info.update(pairs=len(set(pair_ids)), keypoints=len(pair_ids))
    for score in record["scores"]:
        info = record["localizers"][score["localizer"]]
        score.update({key: min(score[key], info[key]) for key in ("pairs", "keypoints")})
        if score["images"]:
            score["images"] = min(score["images"], 2 * score["pairs"])
    put_record(folder / "record.json", record)


def strip_truth(results: Path) -> None:
    """Makes the files of predictions those of an earlier version, without the truth beside each point."""
    for path in results.glob("*/predictions.parquet"):
        record = json.loads((path.parent / "record.json").read_text())
        record["predictions_sha256"] = write_table(path, without_truth(read_predictions(path)))
        put_record(path.parent / "record.json", record)


def put_record(path: Path, content: dict) -> None:
    """Writes a record that a run might have written: its seal is that of its content."""
    path.write_text(json.dumps({**content, SEAL: seal_of(json.dumps(content))}))
