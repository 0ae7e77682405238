"""Cells that were begun and have no record are told with their progress."""

from __future__ import annotations

import signal

import pytest
from support.made_up_records import a_record

from harness.records.folders import FRESH, SHARDS, write_record
from harness.records.predictions import prediction_table, write_table
from harness.records.unfinished import unfinished_cells


def begin(folder, name, pairs, first=0, planned=None, shards=SHARDS):
    (folder / name / shards).mkdir(parents=True, exist_ok=True)
    rows = {key: [] for key in ("pair_id", "keypoint_id", "localizer", "x", "y", "score")}
    for number in range(first, first + pairs):
        for localizer in ("argmax", "bilinear"):
            for key, value in zip(rows, (f"{number:04}", "0", localizer, 1.0, 1.0, 1.0), strict=True):
                rows[key].append(value)
    table = prediction_table(rows, {"argmax": "{} of 1", "bilinear": "{} of 1"})
    write_table(folder / name / shards / f"{first:06}.parquet", table, planned)


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


def test_shards_say_how_many_pairs_were_planned(tmp_path):
    begin(tmp_path, "birds-test-slow.00", 20, planned=300)
    begin(tmp_path, "birds-test-slow.00", 230, first=20, planned=600)
    # Shards of an earlier version do not say it.
    begin(tmp_path, "cars-test-slow.00", 1)
    begin(tmp_path, "cats-test-slow.00", 2, planned=5, shards=FRESH)
    assert [(cell.name, cell.progress) for cell in unfinished_cells(tmp_path, [])] == [
        ("birds-test-slow.00", "250 of 600 pairs"),
        ("cars-test-slow.00", "1 pair so far"),
        ("cats-test-slow.00", "2 of 5 pairs"),
    ]


def test_commands_on_unfinished_cells_alone_name_them(bench, tmp_path):
    folder = tmp_path / "r"
    begin(folder, "birds-test-slow.00", 250, planned=600)
    told = "bench: birds-test-slow.00: not finished, 250 of 600 pairs; the same 'bench run' goes on with it"
    remedy = f"bench: no finished cell in {folder}; repeat the 'bench run --out {folder}' that began"
    for words in (["leaderboard", folder], ["rescore", folder], ["compare", folder, folder]):
        done = bench(*words)
        assert (done.status, done.out) == (2, "")
        assert done.err.splitlines() == [told, remedy]
    done = bench("report", folder, "-o", tmp_path / "page.html")
    assert (done.status, done.err.splitlines()) == (2, [told, remedy])
    assert not (tmp_path / "page.html").exists()


def test_an_unfinished_cell_that_is_named_itself(bench, tmp_path, monkeypatch):
    record = a_record("mine", pairs=600)
    write_record(tmp_path / "r" / record.cell.id, record)
    begin(tmp_path / "r", "birds-test-slow.00", 250, planned=600)
    monkeypatch.chdir(tmp_path)
    for words in (
        ["compare", "r/birds-test-slow.00", "r"],
        ["compare", "birds-test-slow", "r", "--results", "r"],
        ["leaderboard", "r/birds-test-slow.00"],
    ):
        done = bench(*words)
        assert done.status == 2
        assert done.err.splitlines()[0] == (
            "bench: birds-test-slow.00: not finished, 250 of 600 pairs; the same 'bench run' goes on with it"
        )
    done = bench("leaderboard", f"r/{record.cell.id}")
    assert done.status == 2
    assert "is the folder of one cell; name the results folder that it is in" in done.complaint


def test_an_interrupted_run_is_told_and_the_next_says_what_it_found(bench, tmp_path, monkeypatch):
    import harness.running.predict as work

    run = ("run", "--methods", "position", "--limit", 5, "--out", tmp_path / "r")
    predict_pair = work.Predictor._predict_pair
    seen = []

    def killed(self, pair, localizers):
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)
        seen.append(pair.pair_id)
        predict_pair(self, pair, localizers)

    monkeypatch.setattr(work.Predictor, "_predict_pair", killed)
    assert "found" not in bench(*run).err
    monkeypatch.setattr(work.Predictor, "_predict_pair", predict_pair)
    told = bench("leaderboard", tmp_path / "r")
    assert told.status == 2
    assert "not finished, 2 of 5 pairs; the same 'bench run' goes on with it" in told.err.splitlines()[0]
    done = bench(*run)
    assert done.status == 0
    assert "shapes position: found 2 of 5 pairs" in done.err.splitlines()[0]
    # The record removed: the predictions are there.
    (path,) = (tmp_path / "r").glob("*/record.json")
    path.unlink()
    assert "shapes position: found all of 5 pairs, scored anew" in bench(*run).err
