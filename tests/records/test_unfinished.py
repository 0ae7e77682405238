"""Cells that were begun and have no record are told with their progress."""

from __future__ import annotations

import pytest
from support.made_up_records import a_record

from harness.records.folders import SHARDS, write_record
from harness.records.predictions import prediction_table, write_table
from harness.records.unfinished import unfinished_cells


def begin(folder, name, pairs, first=0):
    (folder / name / SHARDS).mkdir(parents=True, exist_ok=True)
    rows = {key: [] for key in ("pair_id", "keypoint_id", "localizer", "x", "y", "score")}
    for number in range(first, first + pairs):
        for localizer in ("argmax", "bilinear"):
            for key, value in zip(rows, (f"{number:04}", "0", localizer, 1.0, 1.0, 1.0), strict=True):
                rows[key].append(value)
    table = prediction_table(rows, {"argmax": "{} of 1", "bilinear": "{} of 1"})
    write_table(folder / name / SHARDS / f"{first:06}.parquet", table)


def test_progress_of_cells_without_a_record(tmp_path):
    record = a_record("mine", pairs=600)
    write_record(tmp_path / record.cell.id, record)
    begin(tmp_path, "birds-test-slow.00", 64)
    begin(tmp_path, "birds-test-slow.00", 32, first=64)
    begin(tmp_path, "cars-test-slow.00", 1)
    (tmp_path / "birds-test-slow.00" / SHARDS / "000099.parquet").write_bytes(b"PAR1")
    cells = unfinished_cells(tmp_path, [record])
    assert [(cell.name, cell.progress) for cell in cells] == [
        ("birds-test-slow.00", "96 of 600 pairs"),
        ("cars-test-slow.00", "1 pair so far"),
    ]


@pytest.mark.parametrize("format", ["md", "csv"])
def test_the_leaderboard_names_them(bench, tmp_path, format):
    record = a_record("mine", pairs=600)
    write_record(tmp_path / record.cell.id, record)
    begin(tmp_path, "birds-test-slow.00", 96)
    outcome = bench("leaderboard", tmp_path, "--format", format)
    assert outcome.status == 0
    assert outcome.complaint == (
        "bench: birds-test-slow.00: not finished, 96 of 600 pairs; the same 'bench run' goes on with it"
    )
    assert "slow" not in outcome.out
