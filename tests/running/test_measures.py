"""Measures that a dataset lacks, and pairs that lack one: known before the work, and the rest is scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.photos import make_photos, read_list, write_list
from support.results import the_record

BOX = "original[threshold=box]"

POINTS = "original[threshold=points]"


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six pairs; the second one has a single point."""
    folder = make_photos(tmp_path / "photos", images=3)
    content = read_list(folder)
    for key in ("source_points", "target_points"):
        content["pairs"][1][key] = content["pairs"][1][key][:1]
    write_list(folder, content)
    return folder


@pytest.fixture
def boxless(tmp_path) -> Path:
    """Six pairs without boxes."""
    folder = make_photos(tmp_path / "boxless", images=3)
    content = read_list(folder)
    for pair in content["pairs"]:
        del pair["target_box"]
    write_list(folder, content | {"name": "boxless"})
    return folder


def record_of(results: Path, dataset: str) -> dict:
    (path,) = results.glob(f"folder-{dataset}-*/record.json")
    return json.loads(path.read_text())


def pairs_scored(record: dict) -> dict[str, int]:
    """Protocol -> number of pairs behind its numbers."""
    return {score["protocol"]: score["pairs"] for score in record["scores"] if score["slice"] == "all"}


def test_a_measure_that_one_dataset_lacks_costs_nothing_else(bench, photos, boxless, tmp_path):
    data = f"folder={photos},folder={boxless}"
    run = ("run", "--methods", "position", "--datasets", data, "--out", tmp_path / "r")
    done = bench(*run, "--protocols", f"original,{BOX}")
    assert done.status == 0, done.err
    told = [line for line in done.err.splitlines() if "is not applicable" in line]
    assert told == [
        f"bench: protocol {BOX} is not applicable: no target of folder:boxless test has a box, which is what "
        "alpha multiplies"
    ]
    record = record_of(tmp_path / "r", "boxless")
    assert record["status"] == "ok"
    assert record["failures"] == []
    assert pairs_scored(record) == {"original": 6}
    assert set(record["not_applicable"]) == {BOX}
    assert pairs_scored(record_of(tmp_path / "r", "photos")) == {"original": 6, BOX: 6}
    shown = bench("leaderboard", tmp_path / "r", "--protocol", BOX, "--no-places")
    assert shown.status == 0
    assert "folder:boxless @" not in shown.out
    assert "folder:boxless: not applicable: no target of folder:boxless test has a box" in shown.out
    # The numbers of the other dataset are ranked all the same.
    assert any(line.startswith("| 1 ") for line in shown.out.splitlines())
    # Nothing is left of it once it is not asked for alone.
    alone = bench("run", "--methods", "position", "--datasets", f"folder={boxless}", "--protocols", BOX)
    assert alone.status == 2
    assert f"protocol {BOX} is not applicable" in alone.complaint


def test_rescoring_names_the_cell_that_lacks_a_measure_and_does_the_others(bench, photos, boxless, tmp_path):
    data = f"folder={photos},folder={boxless}"
    assert bench("run", "--methods", "position", "--datasets", data, "--out", tmp_path / "r").status == 0
    done = bench("rescore", tmp_path / "r", "--threshold", "box", "--alphas", "0.2", "--datasets", data)
    assert done.status == 0
    assert "folder-boxless-test-position" in done.complaint
    assert "sd4match[threshold=box] is not applicable" in done.complaint
    assert pairs_scored(record_of(tmp_path / "r", "photos"))["sd4match[threshold=box]"] == 6
    assert "@0.20" in done.out
    assert "@0.10" not in done.out, "only what was asked for"


def test_a_pair_without_a_threshold_fails_by_name_and_before_the_work(
    bench, photos, tmp_path, with_extractor
):
    seen = []
    with_extractor(lambda requests: seen.append(len(requests)))
    run = ("run", "--datasets", f"folder={photos}", "--localizers", "argmax", "--out", tmp_path / "r")
    done = bench(*run, "--methods", "position", "--protocols", POINTS)
    assert done.status == 1
    assert f"folder:photos test: pair 000002 cannot be scored under {POINTS}: " in done.err
    record = the_record(tmp_path / "r")
    assert record["status"] == "partial"
    assert pairs_scored(record) == {POINTS: 5}
    assert {key: record["localizers"]["argmax"][key] for key in ("pairs", "failed")} == {
        "pairs": 5,
        "failed": 1,
    }
    (failure,) = record["failures"]
    assert (failure["pair_id"], failure["localizers"], failure["protocol"]) == ("000002", ["argmax"], None)
    # Under another protocol as well the pair is predicted, and lacks one of the two scores.
    done = bench(*run, "--methods", "position", "--protocols", f"original,{POINTS}")
    assert done.status == 1
    record = the_record(tmp_path / "r")
    assert pairs_scored(record) == {"original": 6, POINTS: 5}
    assert record["localizers"]["argmax"]["failed"] == 0
    (failure,) = record["failures"]
    assert (failure["pair_id"], failure["protocol"]) == ("000002", POINTS)
    tidy = json.loads(bench("leaderboard", tmp_path / "r", "--format", "json").out)
    failed = {(row["protocol"], row["failed"], row["status"]) for row in tidy if row["slice"] == "all"}
    assert failed == {("original", 0, "ok"), (POINTS, 1, "partial")}


def test_rescoring_by_points_scores_the_other_pairs(bench, photos, tmp_path):
    data = ("--datasets", f"folder={photos}")
    assert bench("run", "--methods", "position,hog", *data, "--out", tmp_path / "r").status == 0
    done = bench("rescore", tmp_path / "r", "--threshold", "points", "--protocols", "original", *data)
    assert done.status == 1
    told = done.err.splitlines()
    assert len(told) == 2, "a line for each cell"
    assert all(f"1 pair failed under protocol {POINTS}; pair 000002: " in line for line in told)
    for path in (tmp_path / "r").glob("*/record.json"):
        record = json.loads(path.read_text())
        assert record["status"] == "partial"
        assert pairs_scored(record) == {"sd4match": 6, POINTS: 5}
    compared = bench(
        "compare", f"{tmp_path / 'r'}:hog", f"{tmp_path / 'r'}:position", "--protocols", POINTS, *data
    )
    assert compared.status == 0
    assert "1 pair that cannot be scored left out" in compared.out
