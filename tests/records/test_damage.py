"""A damaged cell: all commands name the file, show the other cell, and agree; a run repairs it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from shutil import copytree

import pytest
from support.photos import make_photos, read_list, write_list
from support.results import predictions

from harness.records.folders import RECORD
from harness.records.predictions import PREDICTIONS, prediction_table, write_table


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A results folder `r` of two finished cells, and their photos."""
    from harness.cli import status

    folder = tmp_path_factory.mktemp("finished")
    make_photos(folder / "photos", images=3)
    assert status([*run_words(folder), "--out", str(folder / "r")]) == 0
    return folder


@pytest.fixture(scope="module")
def finished_with_intervals(tmp_path_factory) -> Path:
    """As `finished`, of ten photos, the fewest that have intervals, in as many pairs."""
    from harness.cli import status

    folder = tmp_path_factory.mktemp("intervals")
    photos = make_photos(folder / "photos", images=10)
    content = read_list(photos)
    # From each photo to the next one, and from the last to the first.
    content["pairs"] = [content["pairs"][number] for number in (*range(0, 81, 10), 81)]
    # No method may have the same share of all pairs.
    for pair in content["pairs"][::3]:
        pair["target_points"][0][0] += 25
    write_list(photos, content)
    assert status([*run_words(folder), "--out", str(folder / "r")]) == 0
    return folder


def run_words(folder: Path) -> list[str]:
    data = ["--datasets", f"folder={folder / 'photos'}"]
    return ["run", "--methods", "position,hog", "--localizers", "argmax", *data]


@pytest.fixture
def results(finished, tmp_path) -> Path:
    """A copy that a test may damage."""
    return copytree(finished / "r", tmp_path / "r")


def cell_of(results: Path, method: str) -> Path:
    (folder,) = results.glob(f"*-{method}.*")
    return folder


def change_record(results: Path, change) -> Path:
    path = cell_of(results, "hog") / RECORD
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def copy_cell(results: Path) -> Path:
    copytree(cell_of(results, "position"), results / "backup")
    return results / "backup" / RECORD


def cut_record(results: Path) -> Path:
    path = cell_of(results, "hog") / RECORD
    path.write_text(path.read_text()[:500])
    return path


def flip_bit(results: Path) -> Path:
    path = cell_of(results, "hog") / PREDICTIONS
    content = bytearray(path.read_bytes())
    content[30] ^= 4
    path.write_bytes(content)
    return path


def copy_predictions(results: Path) -> Path:
    path = cell_of(results, "hog") / PREDICTIONS
    path.write_bytes((cell_of(results, "position") / PREDICTIONS).read_bytes())
    return path


def empty_predictions(results: Path) -> Path:
    path = cell_of(results, "hog") / PREDICTIONS
    columns = ("pair_id", "keypoint_id", "localizer", "x", "y", "score")
    write_table(path, prediction_table({name: [] for name in columns}, {"argmax": ""}))
    return path


def remove_predictions(results: Path) -> Path:
    path = cell_of(results, "hog") / PREDICTIONS
    path.unlink()
    return path


def make_pipe(results: Path) -> Path:
    path = cell_of(results, "hog") / PREDICTIONS
    path.unlink()
    os.mkfifo(path)
    return path


def make_pipe_of_record(results: Path) -> Path:
    path = cell_of(results, "hog") / RECORD
    path.unlink()
    os.mkfifo(path)
    return path


def forget_localizer(results: Path) -> Path:
    return change_record(results, lambda content: content.update(localizers={}))


def claim_other_id(results: Path) -> Path:
    return change_record(results, lambda content: content["cell"].update(id="../elsewhere"))


def make_nan(results: Path) -> Path:
    return change_record(results, lambda content: content["scores"][0].update(pck=float("nan")))


def raise_scores(results: Path) -> Path:
    def change(content):
        for score in content["scores"]:
            if score["slice"] == "all":
                score["pck"] = 99.0

    return change_record(results, change)


def raise_scores_of_earlier_version(results: Path) -> Path:
    raise_scores(results)
    return change_record(results, lambda content: content.pop("sealed"))


def rename_method(results: Path) -> Path:
    return change_record(results, lambda content: content["cell"].update(method="mine", label="mine"))


def change_provenance(results: Path) -> Path:
    return change_record(results, lambda content: content["provenance"].update(device="cuda"))


OF_RECORDS = [
    copy_cell,
    cut_record,
    forget_localizer,
    claim_other_id,
    make_nan,
    make_pipe_of_record,
    raise_scores,
    raise_scores_of_earlier_version,
    rename_method,
    change_provenance,
]

OF_PREDICTIONS = [flip_bit, copy_predictions, empty_predictions, remove_predictions, make_pipe]


def numbers_of(text: str) -> set[str]:
    """The numbers of `position` with their intervals, from a table in Markdown or on a page."""
    (row,) = [line for line in text.splitlines() if re.match(r"\|[^|]*\|[* _]*position\b", line)]
    return numbers_in(row)


def numbers_in(text: str) -> set[str]:
    # Bold and underlined numbers are marked.
    return set(re.findall(r"\d+\.\d (?:±\d+\.\d|–)", re.sub(r"\*|<[^>]*>", "", text)))


@pytest.mark.parametrize("damage", [*OF_RECORDS, *OF_PREDICTIONS])
def test_rescore_leaderboard_and_report_agree(bench, finished_with_intervals, tmp_path, damage):
    finished = finished_with_intervals
    results = copytree(finished / "r", tmp_path / "r")
    data = ("--datasets", f"folder={finished / 'photos'}")
    expected = numbers_of(bench("leaderboard", finished / "r", *data).out)
    assert len(expected) > 0
    path = damage(results)
    before = {file: file.read_bytes() for file in results.rglob("*") if file.is_file()}
    leaderboard = bench("leaderboard", results, *data)
    rescored = bench("rescore", results, *data)
    page = tmp_path / "page.html"
    reported = bench("report", results, "-o", page, *data)
    for done in (leaderboard, rescored, reported):
        assert done.status == 1
        told = [line for line in done.err.splitlines() if str(path) in line]
        assert len(told) == 1, done.err
        assert "Traceback" not in done.err
    assert numbers_of(leaderboard.out) == numbers_of(rescored.out) == expected
    assert expected <= numbers_in(page.read_text())
    # Rescoring gives the sound cell the same bytes, and leaves the damaged one as it is.
    assert {file: file.read_bytes() for file in results.rglob("*") if file.is_file()} == before
    compared = bench("compare", f"{results}:position", f"{results}:hog", *data)
    assert compared.status == (0 if damage is copy_cell else 2) or str(path) in compared.err


@pytest.mark.parametrize("damage", [raise_scores, raise_scores_of_earlier_version, rename_method])
def test_the_remedy_for_an_edited_record_works(bench, finished, results, monkeypatch, damage):
    """The file is removed, and the same run makes it again from the predictions that are there."""
    before = predictions(results)
    scores = json.loads((cell_of(results, "hog") / RECORD).read_text())["scores"]
    path = damage(results)
    words = [*run_words(finished), "--out", results]
    refused = bench(*words)
    assert refused.status == 1
    assert str(path) in refused.err
    assert "remove this file and run the cell again, its predictions are kept" in refused.err
    assert predictions(results) == before
    path.unlink()
    monkeypatch.setattr("harness.running.run_cell.predict", None)
    done = bench(*words)
    assert done.status == 0, done.err
    assert predictions(results) == before
    assert json.loads(path.read_text())["scores"] == scores


@pytest.mark.parametrize("damage", OF_PREDICTIONS)
def test_a_run_computes_damaged_predictions_again_and_says_so(bench, finished, results, damage):
    before = predictions(results)
    path = damage(results)
    done = bench(*run_words(finished), "--out", results)
    assert done.status == 0, done.err
    assert predictions(results) == before
    told = [line for line in done.err.splitlines() if str(path) in line]
    assert len(told) == 1, done.err
    assert "computed again where this run asks for it" in told[0]
    again = bench("rescore", results, "--datasets", f"folder={finished / 'photos'}")
    assert (again.status, again.err) == (0, "")


@pytest.mark.parametrize("damage", OF_PREDICTIONS)
def test_a_limited_run_says_how_many_pairs_it_gives_up(bench, finished, results, damage):
    path = damage(results)
    done = bench(*run_words(finished), "--out", results, "--limit", 2)
    (told,) = [line for line in done.err.splitlines() if str(path) in line]
    assert told.endswith(
        "; predictions of 4 pairs (argmax) are lost; without --limit they are computed again"
    )
    record = json.loads((cell_of(results, "hog") / RECORD).read_text())
    assert record["localizers"]["argmax"]["pairs"] == 2
    # Afterwards they are what is missing, and nothing is lost.
    assert "lost" not in bench(*run_words(finished), "--out", results).err


@pytest.mark.parametrize("limit", [(), ("--limit", 2)])
def test_a_run_says_which_localizer_it_gives_up(bench, finished, results, limit):
    words = [*run_words(finished), "--out", results]
    assert bench(*words, "--localizers", "bilinear").status == 0
    path = flip_bit(results)
    done = bench(*words, "--localizers", "argmax", *limit)
    (told,) = [line for line in done.err.splitlines() if str(path) in line]
    if limit:
        assert told.endswith(
            "; predictions of 6 pairs (argmax and bilinear) are lost; without --limit and with "
            "--localizers argmax,bilinear they are computed again"
        )
    else:
        assert told.endswith(
            "; predictions of 6 pairs (bilinear) are lost; with --localizers argmax,bilinear they "
            "are computed again"
        )


def test_a_limited_run_says_what_a_changed_localizer_gives_up(bench, finished, results, monkeypatch):
    from harness.running.resolve import ResolvedLocalizer

    fingerprint = ResolvedLocalizer.fingerprint
    changed = property(lambda localizer: f"{fingerprint.fget(localizer)} changed")
    monkeypatch.setattr(ResolvedLocalizer, "fingerprint", changed)
    done = bench(*run_words(finished), "--out", results, "--limit", 2)
    name = cell_of(results, "hog").name
    (told,) = [line for line in done.err.splitlines() if line.startswith(f"bench: {name}:")]
    assert told == (
        f"bench: {name}: a localizer has changed; predictions of 4 pairs (argmax) are lost; without --limit "
        "they are computed again"
    )


def test_a_limited_fresh_run_says_what_it_gives_up(bench, finished, results):
    done = bench(*run_words(finished), "--out", results, "--limit", 2, "--fresh")
    name = cell_of(results, "hog").name
    told = "predictions of 4 pairs (argmax) are lost; without --limit they are computed again"
    assert f"bench: {name}: {told}" in done.err
    assert "lost" not in bench(*run_words(finished), "--out", results, "--fresh").err


def test_a_damaged_shard_is_computed_again(bench, finished, results):
    """A run that was killed between its last shard and its one file, and a bit that flipped since."""
    before = predictions(results)
    cell = cell_of(results, "hog")
    shard = cell / "shards" / "000000.parquet"
    shard.parent.mkdir()
    (cell / PREDICTIONS).rename(shard)
    (cell / RECORD).unlink()
    assert bench(*run_words(finished), "--out", copytree(results, results.parent / "whole")).status == 0
    assert predictions(results.parent / "whole") == before
    content = bytearray(shard.read_bytes())
    content[30] ^= 4
    shard.write_bytes(content)
    done = bench(*run_words(finished), "--out", results)
    assert done.status == 0
    assert [str(shard) in line for line in done.err.splitlines()].count(True) == 1
    assert predictions(results) == before


def test_a_run_killed_between_its_two_writes_goes_on(bench, finished, tmp_path):
    """Predictions of all pairs, and a record of the first four: nothing is computed again."""
    words = [*run_words(finished), "--out", tmp_path / "r"]
    assert bench(*words, "--limit", 4).status == 0
    records = {path: path.read_bytes() for path in (tmp_path / "r").glob(f"*/{RECORD}")}
    assert bench(*words).status == 0
    before = predictions(tmp_path / "r")
    for path, content in records.items():
        path.write_bytes(content)
    refused = bench("rescore", tmp_path / "r", "--datasets", f"folder={finished / 'photos'}")
    assert "is not the file that the record beside it was made from" in refused.err
    done = bench(*words)
    assert done.status == 0
    assert "computed again" not in done.err
    assert predictions(tmp_path / "r") == before
    for path in records:
        assert json.loads(path.read_text())["localizers"]["argmax"]["pairs"] == 6
