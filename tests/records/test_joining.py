"""Several results folders together: copies of a cell are one where they agree, and told where they do not."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from support.photos import make_photos
from support.results import put_record, rewrite_predictions

from harness.errors import SeveralErrors, UserError
from harness.records.joining import read_folders
from harness.records.predictions import read_predictions


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folders `whole` (position and hog), `limited` (two pairs) and `other` (another localizer)."""
    from harness.cli import status

    folder = tmp_path_factory.mktemp("joining")
    data = ["--datasets", f"folder={make_photos(folder / 'photos', images=3)}"]
    position = ["run", "--methods", "position", *data]
    assert status(["run", "--methods", "position,hog", *data, "--out", str(folder / "whole")]) == 0
    assert status([*position, "--limit", "2", "--out", str(folder / "limited")]) == 0
    assert status([*position, "--localizers", "soft-argmax", "--out", str(folder / "other")]) == 0
    return folder


@pytest.fixture
def two(finished, tmp_path):
    """Two equal folders that a test may change."""
    return [copytree(finished / "whole", tmp_path / name) for name in ("a", "b")]


def cell_folder(results: Path, method: str = "position") -> Path:
    (folder,) = results.glob(f"*-{method}.*")
    return folder


def move_points(folder: Path, pixels: float) -> None:
    """Moves every point of a cell's predictions."""
    rows = read_predictions(folder / "predictions.parquet").to_pylist()
    rewrite_predictions(folder, [{**row, "x": row["x"] + pixels} for row in rows])


def change_record(folder: Path, change) -> None:
    path = folder / "record.json"
    record = json.loads(path.read_text())
    change(record)
    record.pop("sealed")
    put_record(path, record)


def test_equal_copies_are_one_cell(two):
    results = read_folders(two)
    assert len(results.cells) == 2
    assert not results.warnings()
    assert all(results.folder_of(record).parent == two[0] for record in results.records)


def test_one_folder_under_two_names_is_one(two, tmp_path):
    (tmp_path / "link").symlink_to(two[0])
    results = read_folders([two[0], tmp_path / "link", two[0]])
    assert results.folders == (two[0],)
    assert not results.warnings()


def test_copies_without_hash_in_their_records_are_compared_by_points(two):
    for folder in two:
        change_record(cell_folder(folder), lambda record: record.update(predictions_sha256=""))
    assert not read_folders(two).warnings()


@pytest.mark.parametrize("order", [["limited", "whole"], ["whole", "limited"]])
def test_of_a_part_and_the_whole_the_whole_is_chosen_and_told(finished, order):
    results = read_folders([finished / name for name in order])
    cell = next(cell for cell in results.cells.values() if len(cell.copies) == 2)
    assert cell.chosen.folder.parent == finished / "whole"
    assert cell.is_whole and not cell.conflicts
    (line,) = results.warnings()
    assert line == (
        f"{cell.id}: {finished / 'whole'} has more of it than {finished / 'limited'}; "
        f"the table shows {finished / 'whole'}'s"
    )


def test_copies_that_each_have_what_the_other_lacks_are_told(finished):
    results = read_folders([finished / "limited", finished / "other"])
    (cell,) = results.cells.values()
    assert not cell.is_whole and not cell.conflicts
    (line,) = results.warnings()
    assert "have predictions that the other lacks" in line and "'bench merge'" in line
    assert str(finished / "limited") in line and str(finished / "other") in line


@pytest.mark.parametrize(("pixels", "is_rounding"), [(3.0, False), (0.004, True)])
def test_copies_that_differ_name_both_folders_and_how_much(two, pixels, is_rounding):
    move_points(cell_folder(two[1]), pixels)
    results = read_folders(two)
    (cell,) = [cell for cell in results.cells.values() if cell.conflicts]
    assert cell.is_rounding == is_rounding
    assert list(results.reasons.values()) == ([] if is_rounding else ["copies in a and b differ"])
    (line,) = results.warnings()
    assert line.startswith(f"{cell.id}: {two[0]} and {two[1]} differ in ")
    assert f"by up to {pixels:.3g} px; the table shows {two[0]}'s" in line
    assert cell.chosen.folder.parent == two[0]


def test_copies_of_other_options_of_a_localizer_differ(two):
    change_record(
        cell_folder(two[1]), lambda record: record["localizers"]["bilinear"].update(options={"k": 2})
    )
    (line,) = read_folders(two).warnings()
    assert "have other options of bilinear" in line


def test_equal_predictions_have_the_scores_of_both_records(two):
    def rename(record):
        for score in record["scores"]:
            score["protocol"] = "original"
        record["thresholds"] = {"original": "box"}

    change_record(cell_folder(two[1]), rename)
    results = read_folders(two)
    assert not results.warnings()
    (record,) = [record for record in results.records if record.cell.method == "position"]
    assert {score.protocol for score in record.scores} == {"sd4match", "original"}
    assert record.thresholds["original"] == "box"


def test_equal_predictions_with_other_scores_of_one_protocol_are_told(two):
    change_record(cell_folder(two[1]), lambda record: record["scores"][0].update(pck=1.0, low=0.5, high=1.5))
    (line,) = read_folders(two).warnings()
    assert "other scores of protocol sd4match; 'bench rescore'" in line


def test_a_copy_that_cannot_be_read_is_told(two):
    (cell_folder(two[1]) / "predictions.parquet").unlink()
    change_record(cell_folder(two[1]), lambda record: record.update(predictions_sha256="0" * 64))
    (line,) = read_folders(two).warnings()
    assert "cannot be compared" in line and "is not there" in line


def test_a_folder_without_records_is_told_beside_others(two, tmp_path):
    (tmp_path / "empty").mkdir()
    results = read_folders([two[0], tmp_path / "empty"])
    assert len(results.cells) == 2
    (line,) = results.damaged
    assert line.startswith(f"no finished cell in {tmp_path / 'empty'}")
    with pytest.raises(SeveralErrors, match="no finished cell"):
        read_folders([tmp_path / "empty"])
    with pytest.raises(UserError, match="no results folder"):
        read_folders([two[0], tmp_path / "absent"])


def test_a_cell_that_another_folder_finished_is_not_called_unfinished(two):
    begun = cell_folder(two[1])
    (begun / "shards").mkdir()
    (begun / "record.json").unlink()
    assert [cell.name for cell in read_folders([two[1]]).unfinished()] == [begun.name]
    assert not read_folders(two).unfinished()
    rmtree(begun)
