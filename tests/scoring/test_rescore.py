"""Stored predictions scored anew: other protocols, alphas and thresholds, without a model."""

from __future__ import annotations

import json
import shutil

import pytest
from support.photos import draw, make_photos, read_list, write_list
from support.results import put_record, strip_truth, the_record

import baselines.methods.position
from harness.specs import ExtractorSpec

SCORED = ("scores", "thresholds", "frames", "averagings", "measures", "sealed")


@pytest.fixture
def photos(tmp_path):
    """Three pictures and six pairs."""
    return make_photos(tmp_path / "photos", images=3)


@pytest.fixture
def run(bench, photos):
    """`bench run` on the photos."""

    def start(out, *more):
        done = bench(
            "run",
            "--methods",
            "position",
            "--localizers",
            "argmax,soft-argmax",
            "--datasets",
            f"folder={photos}",
            "--out",
            out,
            *more,
        )
        assert done.status == 0, done.err
        return the_record(out)

    return start


@pytest.fixture
def rescore(bench, photos, monkeypatch):
    """`bench rescore`, in which making an extractor is an error."""

    def start(out, *more):
        with monkeypatch.context() as patch:
            patch.setattr(
                baselines.methods.position.Position,
                "__init__",
                lambda self, context: pytest.fail("a model was made"),
            )
            patch.setattr(ExtractorSpec, "fed", lambda self, weights: pytest.fail("weights were read"))
            return bench("rescore", out, "--datasets", f"folder={photos}", *more)

    return start


@pytest.mark.parametrize(
    "more",
    [
        ("--protocols", "original"),
        ("--protocols", "padded,original"),
        ("--alphas", "0.01,0.2"),
        ("--protocols", "original", "--alphas", "0.3"),
    ],
)
def test_rescored_numbers_are_those_of_a_fresh_run(run, rescore, tmp_path, more):
    before = run(tmp_path / "r")
    done = rescore(tmp_path / "r", *more)
    assert done.status == 0, done.err
    rescored, fresh = the_record(tmp_path / "r"), run(tmp_path / "fresh", *more)
    wanted = {(one["protocol"], one["alpha"]) for one in fresh["scores"]}
    kept = [one for one in rescored["scores"] if (one["protocol"], one["alpha"]) in wanted]
    assert kept == fresh["scores"]
    assert fresh["thresholds"].items() <= rescored["thresholds"].items()
    assert fresh["frames"].items() <= rescored["frames"].items()
    # What was there stays, and nothing else changes.
    assert [one for one in rescored["scores"] if one in before["scores"]] == before["scores"]
    assert {key: value for key, value in rescored.items() if key not in SCORED} == {
        key: value for key, value in before.items() if key not in SCORED
    }


def test_rescoring_without_options_counts_the_same_again(run, rescore, tmp_path):
    run(tmp_path / "r")
    (path,) = (tmp_path / "r").glob("*/record.json")
    before = path.read_bytes()
    assert rescore(tmp_path / "r").status == 0
    assert path.read_bytes() == before


def test_rescoring_replaces_the_scores_of_a_record(run, rescore, tmp_path):
    before = run(tmp_path / "r")
    (path,) = (tmp_path / "r").glob("*/record.json")
    content = json.loads(path.read_text())
    for one in content["scores"]:
        one["pck"] = 99.0
    put_record(path, content)
    assert rescore(tmp_path / "r").status == 0
    assert the_record(tmp_path / "r") == before


def test_another_threshold_is_kept_apart_and_said(run, rescore, tmp_path):
    before = run(tmp_path / "r")
    done = rescore(tmp_path / "r", "--threshold", "image", "--protocols", "original")
    assert done.status == 0
    record = the_record(tmp_path / "r")
    assert record["thresholds"] == {"sd4match": "box", "original[threshold=image]": "image"}
    assert record["frames"] == {"sd4match": "stretched", "original[threshold=image]": "original"}
    assert "protocol original[threshold=image]" in done.out
    assert "(folder:photos: image)" in done.out
    fresh = run(tmp_path / "fresh", "--protocols", "original")
    found = {
        (one["localizer"], one["averaging"], one["alpha"]): one["pck"]
        for one in fresh["scores"]
        if one["slice"] == "all"
    }
    for one in record["scores"]:
        if one["protocol"] != "sd4match" and one["slice"] == "all":
            # The image is 60 pixels long and the box 50, so that more is right.
            assert one["pck"] >= found[one["localizer"], one["averaging"], one["alpha"]]
    assert [one for one in record["scores"] if one["protocol"] == "sd4match"] == before["scores"]


def test_a_later_run_keeps_the_scores_that_were_added(run, rescore, tmp_path):
    run(tmp_path / "r")
    rescore(tmp_path / "r", "--protocols", "padded", "--alphas", "0.25")
    added = the_record(tmp_path / "r")
    again = run(tmp_path / "r")
    assert sorted(again["scores"], key=str) == sorted(added["scores"], key=str)
    assert again["provenance"] == added["provenance"]
    assert {one["protocol"] for one in again["scores"]} == {"sd4match", "padded"}


def test_the_frame_of_a_stretched_protocol_is_the_one_the_extractor_was_fed(run, rescore, tmp_path):
    """768 x 768, whatever the photos are. Where a record says otherwise, rescoring measures in that frame."""
    record = run(tmp_path / "r")
    assert record["cell"]["fed"] == [768, 768]
    (path,) = (tmp_path / "r").glob("*/record.json")
    record["cell"]["fed"] = [768, 96]
    put_record(path, record)
    assert rescore(tmp_path / "r").status == 0
    assert the_record(tmp_path / "r")["scores"] != record["scores"]


def test_tables_of_every_protocol_are_printed(run, rescore, tmp_path):
    run(tmp_path / "r")
    done = rescore(tmp_path / "r", "--protocols", "original,padded")
    captions = [line for line in done.out.splitlines() if line.startswith("PCK")]
    assert sorted(line.split("protocol ")[1].split()[0].rstrip(",") for line in captions) == [
        "original",
        "padded",
    ]


def test_annotations_that_changed_are_refused(bench, run, rescore, photos, tmp_path):
    run(tmp_path / "r")
    content = read_list(photos)
    content["pairs"][0]["target_points"][0] = [11, 12]
    write_list(photos, content)
    (path,) = (tmp_path / "r").glob("*/record.json")
    before = path.read_bytes()
    done = rescore(tmp_path / "r", "--alphas", "0.3")
    assert done.status == 2
    assert "dataset folder:photos differs from the one it was run on" in done.complaint
    assert path.read_bytes() == before


def test_pictures_that_changed_are_refused(run, rescore, photos, tmp_path):
    run(tmp_path / "r")
    draw(photos / "photo1.png", 99)
    done = rescore(tmp_path / "r")
    assert done.status == 2
    assert "differs from the one it was run on" in done.complaint


def test_a_dataset_that_is_not_named(bench, run, tmp_path):
    """And that is needed, since the file of predictions is of an earlier version."""
    run(tmp_path / "r")
    strip_truth(tmp_path / "r")
    done = bench("rescore", tmp_path / "r", "--data-root", tmp_path / "nowhere")
    assert done.status == 2
    assert "there is no such folder or file" in done.complaint


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--protocols", "sd4macht"), "unknown protocol 'sd4macht'; did you mean sd4match?"),
        (("--alphas", "0"), "'0' is not a list of positive numbers separated by commas"),
        (("--alphas", "0.1,inf"), "is not a list of positive numbers"),
        (("--threshold", "bbox"), "'bbox' is not one of 'box', 'image', 'points'"),
    ],
)
def test_what_cannot_be_scored_is_told(run, rescore, tmp_path, more, message):
    before = run(tmp_path / "r")
    done = rescore(tmp_path / "r", *more)
    assert done.status == 2
    assert message in done.complaint
    assert the_record(tmp_path / "r") == before


def test_a_threshold_that_the_dataset_lacks(run, rescore, bench, photos, tmp_path):
    content = read_list(photos)
    for pair in content["pairs"]:
        del pair["target_box"]
    write_list(photos, content)
    run(tmp_path / "r")
    done = rescore(tmp_path / "r", "--threshold", "box")
    assert done.status == 2
    assert "sd4match[threshold=box] is not applicable: no target of folder:photos test has" in done.complaint


def test_a_cell_that_another_process_runs_is_left_alone(run, rescore, tmp_path):
    import fcntl
    import os

    run(tmp_path / "r")
    (cell,) = (tmp_path / "r").glob("*/")
    handle = os.open(cell, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        done = rescore(tmp_path / "r", "--alphas", "0.4")
    finally:
        os.close(handle)
    assert done.status == 2
    assert "another process is running this cell" in done.complaint


def test_two_lists_of_ones_own_are_told_apart_by_their_content(bench, photos, tmp_path):
    other = tmp_path / "photos2"
    shutil.copytree(photos, other)
    write_list(other, read_list(photos) | {"name": "others", "threshold": "image"})
    results = tmp_path / "both"
    for place in (photos, other):
        assert (
            bench("run", "--methods", "position", "--datasets", f"folder={place}", "--out", results).status
            == 0
        )
    places = f"folder={other},folder={photos}"
    assert bench("rescore", results, "--datasets", places, "--protocols", "original").status == 0
    done = bench("rescore", results, "--datasets", f"folder={other}", "--protocols", "padded")
    assert done.status == 2
    assert "folder:photos differs from the one it was run on" in done.complaint
    assert "folder:others" in done.out
