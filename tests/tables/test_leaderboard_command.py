"""`bench leaderboard`: the tables of a results folder, in five formats."""

from __future__ import annotations

import json
import re
from shutil import copytree

import pytest
from support.made_up_records import a_failed_record, a_record
from support.markdown import cells_of_markdown
from support.photos import make_photos, read_list, write_list

from harness.cli import status
from harness.records.folders import RECORD, write_record
from harness.tables.table import FORMATS

DETAILS = ["sup.", "t", "ensemble", "trained on", "tuned on", "seeds", "pairs", "s/pair"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder of two finished cells on the usual photos."""
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos")
    run = [
        "run",
        "--methods",
        "position,hog",
        "--datasets",
        f"folder={photos}",
        "--localizers",
        "argmax",
        "--out",
        str(folder / "r"),
    ]
    assert status(run) == 0
    return folder / "r"


@pytest.fixture
def results(finished, tmp_path):
    """A copy that a test may change."""
    return copytree(finished, tmp_path / "r")


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_folder_gives_the_same_bytes(bench, results, format):
    first, second = (bench("leaderboard", results, "--format", format) for _ in range(2))
    assert (first.status, first.err) == (0, "")
    assert first.out == second.out
    assert first.out.endswith("\n")


def test_leaderboard_has_the_numbers_that_run_printed(bench, photos, results):
    again = bench(
        "run",
        "--methods",
        "hog,position",
        "--datasets",
        f"folder={photos}",
        "--localizers",
        "argmax",
        "--out",
        results,
    )
    printed = cells_of_markdown(again.out)
    shown = [
        [cell.replace("**", "") for cell in row]
        for row in cells_of_markdown(re.sub("</?ins>", "", bench("leaderboard", results).out))
    ]
    columns = [shown[0].index(title) for title in printed[0]]
    assert [[row[column] for column in columns] for row in (shown[0], *shown[2:])] == [
        printed[0],
        *printed[2:],
    ]
    # Of five photos no method is told from another.
    assert [row[0] for row in printed[2:]] == ["1-2", "1-2"]
    assert shown[0][8:] == [*DETAILS, "note"]


def test_a_limited_run_says_so_and_is_not_ranked(bench, photos, results):
    limited = (
        "run",
        "--methods",
        "hog",
        "--datasets",
        f"folder={photos}",
        "--localizers",
        "bilinear",
        "--limit",
        5,
        "--out",
        results,
    )
    assert bench(*limited).status == 0
    markdown = cells_of_markdown(bench("leaderboard", results).out)
    places = {(row[1], row[3]): (row[0], row[-1]) for row in markdown[2:]}
    assert places["hog", "bilinear"] == ("", "folder:photos: limited to 5 of 12 pairs")
    # Four pictures tell no two rows apart.
    assert {places["hog", "argmax"][0], places["position", "argmax"][0]} == {"1-2"}
    tidy_rows = json.loads(bench("leaderboard", results, "--format", "json").out)
    assert {row["status"] for row in tidy_rows if row["localizer"] == "bilinear"} == {"limited"}


def test_labels_of_pairs_have_rows_of_their_own(bench, results):
    rows = json.loads(bench("leaderboard", results, "--format", "json").out)
    assert {row["slice"] for row in rows} == {
        "all",
        "category=blob",
        "viewpoint=0",
        "viewpoint=1",
        "viewpoint=2",
    }
    assert {row["pairs"] for row in rows if row["slice"] == "viewpoint=1"} == {4}


def test_a_single_pair_has_no_interval(bench, tmp_path):
    photos = make_photos(tmp_path / "two", images=2)
    content = read_list(photos)
    content["pairs"] = content["pairs"][:1]
    write_list(photos, content)
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 0
    assert "±" not in cells_of_markdown(done.out)[2][5]
    rows = json.loads(bench("leaderboard", tmp_path / "r", "--format", "json").out)
    assert {(row["low"], row["high"]) for row in rows} == {(None, None)}
    assert "nan" not in bench("leaderboard", tmp_path / "r", "--format", "csv").out.lower()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: None, "no results folder"),
        (lambda folder: folder.mkdir(), "no finished cell in"),
        (lambda folder: folder.write_text("a file"), "no results folder"),
        (lambda folder: (folder / "cell.123").mkdir(parents=True), "no finished cell in"),
    ],
)
def test_a_folder_without_results_is_one_line(bench, tmp_path, prepare, message):
    prepare(tmp_path / "r")
    for command in ("leaderboard", "rescore"):
        done = bench(command, tmp_path / "r")
        assert (done.status, done.out) == (2, "")
        assert message in done.complaint
        assert f"'bench run --out {tmp_path / 'r'}' makes" in done.complaint


def test_a_folder_of_damaged_records_alone(bench, results):
    for path in results.glob(f"*/{RECORD}"):
        path.write_text("{")
    done = bench("leaderboard", results)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 3
    assert "no finished cell in" in done.err.splitlines()[-1]


def test_a_cell_that_is_not_finished_is_left_out(bench, results):
    (hog,) = results.glob("*hog*")
    (hog / RECORD).unlink()
    done = bench("leaderboard", results)
    assert (done.status, done.warnings) == (0, [])
    assert "hog" not in done.out


def test_a_table_of_failed_cells_alone_can_be_printed(bench, tmp_path):
    record = a_failed_record()
    write_record(tmp_path / "r" / record.cell.id, record)
    for format in FORMATS:
        done = bench("leaderboard", tmp_path / "r", "--format", format)
        assert done.status == 0
        assert "broken" in done.out
    assert r"birds: failed: no & \<such> 5_% thing" in bench("leaderboard", tmp_path / "r").out


def test_an_asked_for_protocol_that_is_not_there_is_one_line(bench, results):
    done = bench("leaderboard", results, "--protocol", "padded")
    assert done.status == 2
    assert "no record has protocol 'padded'; they have sd4match" in done.complaint


def test_localizers_and_alphas_can_be_chosen(bench, photos, results):
    bench(
        "run",
        "--methods",
        "hog",
        "--datasets",
        f"folder={photos}",
        "--localizers",
        "soft-argmax",
        "--out",
        results,
    )
    done = bench("leaderboard", results, "--localizers", "soft-argmax", "--alphas", "0.1")
    rows = cells_of_markdown(done.out)
    assert rows[0] == [
        "#",
        "method",
        "prompt",
        "localizer",
        "backbone",
        "folder:photos @0.10",
        *DETAILS,
        "note",
    ]
    assert [row[1:4] for row in rows[2:]] == [["hog", "none", "soft-argmax"]]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--alphas", "0.3", "no record has alpha 0.3; they have 0.05, 0.1, 0.15"),
        ("--localizers", "foo", "no record has localizer foo; they have argmax"),
    ],
)
def test_asking_for_what_no_record_has_is_told(bench, photos, tmp_path, option, value, message):
    bench(
        "run",
        "--methods",
        "position",
        "--localizers",
        "argmax",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "out",
    )
    done = bench("leaderboard", tmp_path / "out", option, value)
    assert done.status == 2
    assert message in done.complaint


def test_thresholds_in_a_header_are_never_rounded_into_each_other(bench, photos, tmp_path):
    done = bench(
        "run",
        "--methods",
        "position",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "out",
        "--alphas",
        "0.001,0.004,0.1",
    )
    assert [title for title in ("@0.001 ", "@0.004 ", "@0.10 ") if title in done.out] == [
        "@0.001 ",
        "@0.004 ",
        "@0.10 ",
    ]


def test_csv_and_json_have_what_was_asked_for_and_otherwise_everything(bench, results):
    def values(*options):
        rows = json.loads(bench("leaderboard", results, "--format", "json", *options).out)
        return {key: {row[key] for row in rows} for key in ("averaging", "alpha", "localizer", "protocol")}

    assert values() == {
        "averaging": {"image", "point", "category-image", "category-point"},
        "alpha": {0.05, 0.1, 0.15},
        "localizer": {"argmax"},
        "protocol": {"sd4match"},
    }
    asked = values("--averaging", "point", "--alphas", "0.1", "--protocol", "sd4match")
    assert asked == {
        "averaging": {"point"},
        "alpha": {0.1},
        "localizer": {"argmax"},
        "protocol": {"sd4match"},
    }


def test_run_and_leaderboard_give_the_same_records_the_same_places(bench, photos, results):
    options = ("--datasets", f"folder={photos}", "--localizers", "argmax,bilinear", "--out", results)
    run = cells_of_markdown(bench("run", "--methods", "position,hog", *options).out)
    shown = cells_of_markdown(re.sub("</?ins>|[*][*]", "", bench("leaderboard", results, *options[:2]).out))
    places = [[(row[0], row[1], row[3]) for row in table[2:]] for table in (run, shown)]
    assert places[0] == places[1]
    # Of the two localizers, predictions of `position` are the same: a difference would be by chance.
    assert len({place for place, method, _ in places[0] if method == "position"}) == 1


def test_datasets_can_be_chosen(bench, tmp_path):
    for record in (a_record("a", 10.0), a_record("a", 20.0, dataset="cars"), a_record("b", 70.0)):
        (tmp_path / record.cell.id).mkdir()
        write_record(tmp_path / record.cell.id, record)
    # There are no predictions to test.
    whole = bench("leaderboard", tmp_path, "--no-places")
    assert "No places: " in whole.out
    page = tmp_path / "page.html"
    bench("report", tmp_path, "--output", page)
    assert "No places: " in page.read_text(encoding="utf-8")
    chosen = bench("leaderboard", tmp_path, "--no-places", "--datasets", "birds")
    assert (chosen.status, "cars" in chosen.out) == (0, False)
    assert [row[:2] for row in cells_of_markdown(chosen.out)[2:]] == [["1", "b"], ["2", "a"]]
    both = bench("leaderboard", tmp_path, "--no-places", "--datasets", "birds/test,cars")
    assert both.out == whole.out
    tidy = json.loads(bench("leaderboard", tmp_path, "--datasets", "cars", "--format", "json").out)
    assert {row["dataset"] for row in tidy} == {"cars"}
    wrong = bench("leaderboard", tmp_path, "--datasets", "brids")
    assert (wrong.status, wrong.out) == (2, "")
    assert "--datasets brids: no record is of it; they are of birds and cars" in wrong.err


def test_a_mended_picture_gets_the_row_its_place_back(bench, photos, tmp_path):
    picture = next(path for path in sorted(photos.rglob("*.png")))
    content = picture.read_bytes()
    picture.unlink()
    run = ["run", "--methods", "position,hog", "--datasets", f"folder={photos}", "--localizers", "argmax"]
    assert bench(*run, "--out", tmp_path / "r").status == 1
    picture.write_bytes(content)
    again = bench(*run, "--out", tmp_path / "r")
    shown = bench("leaderboard", tmp_path / "r", "--datasets", f"folder={photos}")
    places = [
        [row[:2] for row in cells_of_markdown(re.sub("</?ins>", "", done.out).replace("*", ""))[2:] if row[0]]
        for done in (again, shown)
    ]
    assert places[0] == places[1]
    assert len(places[0]) == 2
    assert "failed" in shown.out
