"""`bench leaderboard A B` and `bench report A B`: one table of several folders."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import pytest
from support.photos import make_photos
from support.results import rewrite_predictions

from harness.records.predictions import read_predictions


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folders `a` (hog) and `b` (position)."""
    from harness.cli import status

    folder = tmp_path_factory.mktemp("several")
    data = ["--datasets", f"folder={make_photos(folder / 'photos', images=3)}"]
    for method, name in (("hog", "a"), ("position", "b")):
        assert status(["run", "--methods", method, *data, "--out", str(folder / name)]) == 0
    return folder


def move_points(folder: Path, pixels: float) -> None:
    (cell,) = folder.iterdir()
    rows = read_predictions(cell / "predictions.parquet").to_pylist()
    rewrite_predictions(cell, [{**row, "x": row["x"] + pixels} for row in rows])


def table_of(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("|")][2:]


def test_two_folders_are_one_table_with_places(bench, finished, tmp_path):
    both = bench("leaderboard", finished / "a", finished / "b")
    assert both.status == 0 and not both.err
    assert [line.split("|")[2].strip() for line in table_of(both.out)] == ["position", "hog"]
    assert "share their places" in both.out
    # As of one folder that holds the cells of both.
    for name in ("a", "b"):
        copytree(finished / name, tmp_path / "both", dirs_exist_ok=True)
    assert bench("leaderboard", tmp_path / "both").out == both.out


def test_a_copy_in_another_folder_changes_nothing(bench, finished, tmp_path):
    copytree(finished / "a", tmp_path / "copy")
    twice = bench("leaderboard", finished / "a", tmp_path / "copy")
    assert twice.status == 0 and not twice.err
    assert twice.out == bench("leaderboard", finished / "a").out


def test_copies_that_differ_are_told_and_not_ranked(bench, finished, tmp_path):
    copytree(finished / "b", tmp_path / "other")
    move_points(tmp_path / "other", 5.0)
    outcome = bench("leaderboard", finished / "b", tmp_path / "other", finished / "a")
    assert outcome.status == 1
    (line,) = outcome.err.splitlines()
    assert f"{finished / 'b'} and {tmp_path / 'other'} differ in" in line
    (row,) = [line for line in table_of(outcome.out) if "position" in line]
    assert row.split("|")[1].strip() == ""
    assert "folder:photos: copies in b and other differ" in row


def test_copies_that_differ_by_rounding_keep_their_place(bench, finished, tmp_path):
    copytree(finished / "b", tmp_path / "other")
    move_points(tmp_path / "other", 0.001)
    outcome = bench("leaderboard", finished / "b", tmp_path / "other")
    assert outcome.status == 0
    assert "by up to 0.001 px" in outcome.err
    assert outcome.out == bench("leaderboard", finished / "b").out


def test_several_folders_as_json(bench, finished):
    rows = json.loads(bench("leaderboard", finished / "a", finished / "b", "--format", "json").out)
    assert {row["method"] for row in rows} == {"hog", "position"}


def test_a_page_of_two_folders(bench, finished, tmp_path):
    copytree(finished / "b", tmp_path / "other")
    move_points(tmp_path / "other", 5.0)
    page = tmp_path / "page.html"
    outcome = bench("report", finished / "a", finished / "b", "-o", page)
    assert outcome.status == 0
    text = page.read_text()
    assert "Results folders <code>a</code>, <code>b</code>:" in text
    assert "position" in text and "hog" in text
    outcome = bench("report", finished / "b", tmp_path / "other", "-o", page)
    assert outcome.status == 1
    text = page.read_text()
    assert "copies in b and other differ" in text
    assert str(tmp_path) not in text


def test_without_a_folder_it_is_results(bench, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    outcome = bench("leaderboard")
    assert outcome.status == 2
    assert "no results folder results" in outcome.err
