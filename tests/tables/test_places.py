"""Places of rows: what predictions tell apart, and what they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.made_up_records import a_record
from support.results import put_record, strip_truth

from harness.tables.columns import Column
from harness.tables.places import PlaceFinder
from harness.tables.row import Row


def rows_of(out):
    lines = [line for line in out.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """`position` and `hog` on 80 pairs of shapes, as whole cells: the records say that there are no more."""
    from harness.cli import status
    from harness.records.folders import read_record, write_record

    folder = tmp_path_factory.mktemp("places") / "results"
    options = ("--split", "val", "--limit", "80", "--localizers", "argmax,bilinear", "--out", str(folder))
    code = status(["run", "--methods", "position,hog", *options])
    assert code == 0
    for path in folder.glob("*/record.json"):
        record = read_record(path)
        write_record(
            path.parent,
            record.model_copy(
                update={"counts": record.counts.model_copy(update={"pairs": 80, "official": None})}
            ),
        )
    return folder


def test_rows_that_cannot_be_told_apart_share_a_place(bench, results):
    outcome = bench("leaderboard", results)
    assert outcome.status == 0, outcome.err
    rows = rows_of(outcome.out)
    places = {(row["method"], row["localizer"]): row["#"] for row in rows}
    assert places["hog", "argmax"] in ("1", "1-2")
    assert places["hog", "bilinear"] in ("2", "1-2")
    # The same predictions twice over: whatever is between them is chance.
    assert places["position", "argmax"] == places["position", "bilinear"] == "3-4"
    assert "simultaneous" in outcome.out


@pytest.mark.parametrize("option", ["--no-places", "--no-ties"])
def test_untested_places_are_by_value(bench, results, option):
    outcome = bench("leaderboard", results, option)
    assert [row["#"] for row in rows_of(outcome.out)] == ["1", "2", "3", "4"]
    assert "simultaneous" not in outcome.out


def test_the_same_bytes_each_time(bench, results):
    assert bench("leaderboard", results).out == bench("leaderboard", results).out


def test_a_row_of_damaged_predictions_is_not_tested_and_the_others_are(bench, results, tmp_path):
    from shutil import copytree

    folder = copytree(results, tmp_path / "copy")
    next(folder.glob("*hog*/predictions.parquet")).write_bytes(b"PAR1")
    outcome = bench("leaderboard", folder)
    assert outcome.status == 1
    # Once for both localizers of the file.
    assert "not in the test of places" in outcome.complaint
    assert "predictions.parquet" in outcome.complaint
    rows = rows_of(outcome.out)
    assert [row["#"] for row in rows] == ["1", "2", "3-4", "3-4"]
    assert ["place by value" in row["note"] for row in rows] == [True, True, False, False]


def test_without_two_files_that_can_be_read_places_are_by_value(bench, results, tmp_path):
    from shutil import copytree

    folder = copytree(results, tmp_path / "copy")
    for path in folder.glob("*/predictions.parquet"):
        path.write_bytes(b"PAR1")
    outcome = bench("leaderboard", folder)
    assert outcome.status == 1
    assert len(outcome.warnings) == 2
    assert [row["#"] for row in rows_of(outcome.out)] == ["1", "2", "3", "4"]
    assert "simultaneous" not in outcome.out


def test_a_dataset_that_is_not_at_hand_leaves_places_by_value(bench, results, tmp_path):
    from shutil import copytree

    folder = copytree(results, tmp_path / "copy")
    for path in folder.glob("*/record.json"):
        content = json.loads(path.read_text())
        content["provenance"]["manifest"] = "0" * 64
        put_record(path, content)
    strip_truth(folder)
    outcome = bench("leaderboard", folder)
    assert (outcome.status, outcome.warnings) == (0, [])
    assert "Places: PCK at alpha 0.10. They are by value alone, not tested." in outcome.out
    assert [row["#"] for row in rows_of(outcome.out)] == ["1", "2", "3", "4"]


def test_rows_without_their_dataset_have_no_place():
    from harness.errors import UserError

    def gone(folder, record):
        raise UserError("no dataset here")

    column = Column("birds", "test", 0.1)
    cells = {("birds", "test"): (a_record("a", 10.0),)}
    line = Row("a", "none", "argmax", "none", "Z", cells=cells)
    finder = PlaceFinder(Path(), gone, None, "sd4match", "image")  # type: ignore[arg-type]
    assert finder([line, replace(line, method="b")], [column]) is None
    assert finder.problems == []
