"""`bench merge`: parts of one cell give what one run gives, and nothing that contradicts itself is merged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from support.parts import write_part
from support.results import put_record, strip_truth

from harness.files import try_lock
from harness.records.folders import RECORD, read_record
from harness.records.predictions import PREDICTIONS, read_predictions, write_table


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def parts(cell, tmp_path):
    """The hog cell in two results folders, `a` with some pairs and `b` with the others."""
    pair_ids = sorted(set(read_predictions(cell / PREDICTIONS)["pair_id"].to_pylist()))
    first = set(pair_ids[::2])
    write_part(cell, tmp_path / "a", lambda pair_id: pair_id in first, started="2026-01-01T00:00:00+00:00")
    write_part(
        cell, tmp_path / "b", lambda pair_id: pair_id not in first, started="2026-02-01T00:00:00+00:00"
    )
    return tmp_path / "a", tmp_path / "b"


def plain(path: Path) -> dict:
    """A record without what says where and when it was made."""
    record = json.loads(path.read_text())
    del record["sealed"], record["provenance"]
    return record


def test_two_parts_of_a_cell_give_what_one_run_gives(bench, parts, cell, tmp_path):
    before = content_of(tmp_path / "a"), content_of(tmp_path / "b")
    done = bench("merge", *parts, "-o", tmp_path / "c")
    assert done.status == 0, done.err
    assert "6 of 6 pairs, merged from" in done.out
    merged = tmp_path / "c" / cell.name
    assert (merged / PREDICTIONS).read_bytes() == (cell / PREDICTIONS).read_bytes()
    assert plain(merged / RECORD) == plain(cell / RECORD)
    record = read_record(merged / RECORD)
    assert record.provenance.started == "2026-02-01T00:00:00+00:00"
    assert [run.started for run in record.provenance.earlier_runs] == ["2026-01-01T00:00:00+00:00"]
    assert (content_of(tmp_path / "a"), content_of(tmp_path / "b")) == before
    assert bench("leaderboard", tmp_path / "c").status == 0


def test_a_run_goes_on_in_the_merged_folder(bench, parts, run_once, cell, tmp_path):
    assert bench("merge", parts[0], "-o", tmp_path / "c").status == 0
    done = bench(
        "run",
        "--methods",
        "hog",
        "--datasets",
        f"folder={run_once / 'photos'}",
        "--localizers",
        "argmax,bilinear",
        "-o",
        tmp_path / "c",
    )
    assert done.status == 0
    assert "found 3 of 6 pairs" in done.err
    assert (tmp_path / "c" / cell.name / PREDICTIONS).read_bytes() == (cell / PREDICTIONS).read_bytes()


def test_a_cell_of_one_folder_is_copied(bench, results, tmp_path):
    done = bench("merge", results, "-o", tmp_path / "c")
    assert done.status == 0
    assert content_of(tmp_path / "c") == content_of(results)


def test_a_second_merge_changes_nothing(bench, parts, tmp_path):
    bench("merge", *parts, "-o", tmp_path / "c")
    before = content_of(tmp_path / "c")
    done = bench("merge", *parts, "-o", tmp_path / "c")
    assert "there already" in done.out
    assert content_of(tmp_path / "c") == before


def test_folders_are_added_one_by_one(bench, parts, cell, tmp_path):
    for part in parts:
        assert bench("merge", part, "-o", tmp_path / "c").status == 0
    assert (tmp_path / "c" / cell.name / PREDICTIONS).read_bytes() == (cell / PREDICTIONS).read_bytes()
    assert plain(tmp_path / "c" / cell.name / RECORD) == plain(cell / RECORD)


def test_a_merge_that_was_killed_is_finished_by_the_next(bench, parts, cell, tmp_path):
    bench("merge", parts[0], "-o", tmp_path / "c")
    # The predictions of all, and still the record of a part: the instant between two renames.
    write_table(tmp_path / "c" / cell.name / PREDICTIONS, read_predictions(cell / PREDICTIONS))
    assert bench("merge", *parts, "-o", tmp_path / "c").status == 0
    assert plain(tmp_path / "c" / cell.name / RECORD) == plain(cell / RECORD)


def shift_first(cell: Path, by: float) -> None:
    """Another prediction of one point, as another machine may make it."""
    rows = read_predictions(cell / PREDICTIONS)
    table = rows.set_column(
        rows.column_names.index("x"), "x", [[rows["x"][0].as_py() + by, *rows["x"][1:].to_pylist()]]
    )
    record = json.loads((cell / RECORD).read_text())
    record["predictions_sha256"] = write_table(cell / PREDICTIONS, table)
    put_record(cell / RECORD, record)


@pytest.fixture
def differing(results, cell, tmp_path):
    """A copy of the results, of a later run, that differs in one point."""
    shutil.copytree(results, tmp_path / "other")
    other = tmp_path / "other" / cell.name
    shift_first(other, 0.25)
    record = json.loads((other / RECORD).read_text())
    record["provenance"]["started"] = "2099-01-01T00:00:00+00:00"
    put_record(other / RECORD, record)
    return tmp_path / "other"


def test_other_predictions_of_one_pair_are_refused(bench, results, differing, cell, tmp_path):
    done = bench("merge", results, differing, "-o", tmp_path / "c")
    assert done.status == 1
    (line,) = [line for line in done.warnings if cell.name in line]
    assert f"{results} and {differing} differ in 1 of 60 points, by up to 0.25 px; --prefer newest or" in line
    assert not (tmp_path / "c" / cell.name).exists()
    assert len(list((tmp_path / "c").iterdir())) == 1, "the other cell is merged all the same"


def test_rounding_is_told_and_stops_nothing(bench, results, cell, tmp_path):
    shutil.copytree(results, tmp_path / "other")
    shift_first(tmp_path / "other" / cell.name, 1e-6)
    done = bench("merge", results, tmp_path / "other", "-o", tmp_path / "c")
    assert done.status == 0
    assert f"by up to 1e-06 px, which is rounding; the points of {results} count" in done.err
    merged = tmp_path / "c" / cell.name / PREDICTIONS
    assert merged.read_bytes() == (cell / PREDICTIONS).read_bytes()


@pytest.mark.parametrize(("preference", "number"), [("first", 0), ("newest", 1)])
def test_a_preference_decides(bench, results, differing, cell, tmp_path, preference, number):
    done = bench("merge", results, differing, "-o", tmp_path / "c", "--prefer", preference)
    assert done.status == 0, done.err
    chosen = (results, differing)[number] / cell.name
    assert (tmp_path / "c" / cell.name / PREDICTIONS).read_bytes() == (chosen / PREDICTIONS).read_bytes()


def test_parts_with_other_localizers_are_joined(bench, cell, tmp_path):
    for home, localizer in (("a", "argmax"), ("b", "bilinear")):
        write_part(cell, tmp_path / home, localizers=[localizer], started=f"2026-01-01 {home}")
    assert bench("merge", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c").status == 0
    assert (tmp_path / "c" / cell.name / PREDICTIONS).read_bytes() == (cell / PREDICTIONS).read_bytes()
    assert plain(tmp_path / "c" / cell.name / RECORD) == plain(cell / RECORD)


def test_early_files_are_merged_with_their_dataset(bench, parts, run_once, cell, tmp_path):
    strip_truth(parts[0])
    strip_truth(parts[1])
    done = bench("merge", *parts, "-o", tmp_path / "c")
    assert done.status == 1
    assert "folder" in done.complaint, "the dataset is asked for"
    arguments = ("merge", *parts, "-o", tmp_path / "c", "--datasets", f"folder={run_once / 'photos'}")
    assert bench(*arguments).status == 0
    assert (tmp_path / "c" / cell.name / PREDICTIONS).read_bytes() == (cell / PREDICTIONS).read_bytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda record: record["provenance"].update(manifest="f" * 64), "data (manifest)"),
        (lambda record: record["provenance"]["plugins"].update(extractor="hog 2"), "plugin code"),
        (lambda record: record["provenance"].update(weights={"x": {"y": "z"}}), "weights"),
        (lambda record: record["counts"].update(pairs=7), "number of pairs"),
    ],
)
def test_parts_of_other_data_or_code_are_refused(bench, parts, cell, tmp_path, change, named):
    path = parts[1] / cell.name / RECORD
    record = json.loads(path.read_text())
    change(record)
    put_record(path, record)
    done = bench("merge", *parts, "-o", tmp_path / "c")
    assert done.status == 1
    assert f"{parts[0]} and {parts[1]} differ in {named}" in done.complaint
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("options", [(), ("--prefer", "newest")])
def test_versions_of_a_localizer_are_not_mixed(bench, parts, cell, tmp_path, options):
    target = parts[1] / cell.name
    table = read_predictions(target / PREDICTIONS)
    fingerprints = table.schema.metadata[b"localizers"].replace(b"code ", b"code 0", 1)
    assert fingerprints != table.schema.metadata[b"localizers"]
    changed = table.replace_schema_metadata({**table.schema.metadata, b"localizers": fingerprints})
    record = json.loads((target / RECORD).read_text())
    record["predictions_sha256"] = write_table(target / PREDICTIONS, changed)
    put_record(target / RECORD, record)
    done = bench("merge", *parts, "-o", tmp_path / "c", *options)
    assert done.status == 1
    assert "predictions of other versions of" in done.complaint
    assert not (tmp_path / "c").exists()


def test_a_running_cell_is_left_out(bench, parts, cell, tmp_path):
    handle = os.open(parts[1] / cell.name, os.O_RDONLY)
    try:
        assert try_lock(handle)
        done = bench("merge", *parts, "-o", tmp_path / "c")
    finally:
        os.close(handle)
    assert done.status == 1
    assert "another process is running this cell; merge again" in done.err
    assert "3 of 6 pairs, copied from" in done.out


def test_damage_is_told_and_left_out(bench, parts, cell, tmp_path):
    (parts[0] / cell.name / RECORD).write_text("{")
    done = bench("merge", *parts, "-o", tmp_path / "c")
    assert done.status == 1
    assert "not a readable record" in done.err
    path = parts[1] / cell.name / PREDICTIONS
    path.write_bytes(path.read_bytes()[:-100])
    done = bench("merge", *parts, "-o", tmp_path / "d")
    assert done.status == 1
    assert "is not the file that the record beside it was made from" in done.err
    assert not (tmp_path / "d").exists()


def test_an_unfinished_cell_is_told(bench, parts, cell, tmp_path):
    shards = parts[0] / "shapes-test-dift.0123456789ab" / "shards"
    shards.mkdir(parents=True)
    (parts[1] / cell.name / "shards").mkdir()
    done = bench("merge", *parts, "-o", tmp_path / "c")
    assert done.status == 0
    assert "not finished, 0 pairs so far; left out" in done.err
    assert "a later run of it has not come to its end" in done.err
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_a_cell_that_failed_gives_way_to_its_numbers(bench, results, cell, tmp_path):
    failed = tmp_path / "failed" / cell.name
    record = json.loads((cell / RECORD).read_text())
    content = {name: record[name] for name in ("schema", "cell")}
    content |= {"status": "failed", "error": {"type": "OSError", "message": "disk", "traceback": ""}}
    failed.mkdir(parents=True)
    put_record(failed / RECORD, content)
    done = bench("merge", tmp_path / "failed", results, "-o", tmp_path / "c")
    assert done.status == 0
    assert "failed there; left out" in done.err
    assert content_of(tmp_path / "c") == content_of(results)


def test_a_cell_under_two_names_is_one(bench, parts, cell, tmp_path):
    digest = cell.name.rpartition(".")[2]
    renamed = parts[1] / f"photos-asked-otherwise.{digest}"
    table = read_predictions(parts[1] / cell.name / PREDICTIONS)
    record = json.loads((parts[1] / cell.name / RECORD).read_text())
    (parts[1] / cell.name).rename(renamed)
    record["predictions_sha256"] = write_table(renamed / PREDICTIONS, table)
    record["cell"]["id"] = renamed.name
    put_record(renamed / RECORD, record)
    assert bench("merge", *parts, "-o", tmp_path / "c").status == 0
    assert (tmp_path / "c" / cell.name / PREDICTIONS).read_bytes() == (cell / PREDICTIONS).read_bytes()


def test_wrong_folders_are_told_in_one_line(bench, results, cell, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for arguments, problem in (
        ((results, "-o", results), "is one of the folders to merge"),
        ((results, results, "-o", tmp_path / "c"), "which is named already"),
        ((tmp_path / "nowhere", "-o", tmp_path / "c"), "no results folder"),
        ((tmp_path / "empty", "-o", tmp_path / "c"), "no finished cell"),
        ((cell, "-o", tmp_path / "c"), "is the folder of one cell"),
        ((results, "-o", tmp_path / "file"), "is not a folder"),
        ((results, "-o", cell), "is the folder of one cell"),
    ):
        done = bench("merge", *arguments)
        assert done.status == 2, problem
        assert problem in done.complaint


def test_an_empty_folder_is_told_and_the_others_are_merged(bench, results, cell, tmp_path):
    (tmp_path / "empty").mkdir()
    done = bench("merge", results, tmp_path / "empty", "-o", tmp_path / "c")
    assert done.status == 1
    assert f"no finished cell in {tmp_path / 'empty'}; " in done.err
    assert (tmp_path / "c" / cell.name / PREDICTIONS).read_bytes() == (cell / PREDICTIONS).read_bytes()


def test_a_folder_that_cannot_be_made_is_told(bench, results, tmp_path):
    (tmp_path / "file").write_text("")
    done = bench("merge", results, "-o", tmp_path / "file" / "c")
    assert done.status == 1
    assert "Not a directory; choose another with --out" in done.complaint
