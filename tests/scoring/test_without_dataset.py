"""Results whose dataset is gone: every command that scores them says what it says with the dataset."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pytest
from support.paths import ROOT
from support.photos import draw, make_photos, read_list, write_list
from support.results import predictions, put_record, strip_truth

import baselines.methods.position
import harness.datasets.splits
from harness.cli import status
from harness.records.predictions import read_predictions, write_table
from harness.records.truth_columns import TRUTH_COLUMNS

KEPT_APART = ("predictions_sha256", "sealed")
"""What differs in the records of a file with the truth and of one without."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two methods on `shapes` and on photos of several sizes, of which some lack a box."""
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos", images=4)
    draw(photos / "photo1.png", 1, (90, 48))
    draw(photos / "photo2.png", 2, (64, 80))
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = ("blob", "blot")[number % 2]
        if number % 4 == 0:
            del pair["target_box"]
    write_list(photos, content)
    data = ["--datasets", f"shapes,folder={photos}"]
    run = ["run", "--methods", "position,hog", "--limit", "12", "--out", str(folder / "r")]
    assert status([*run, *data]) == 0
    return folder


@pytest.fixture
def results(finished, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(finished / "r", tmp_path / "r")


@pytest.fixture
def old_results(finished, tmp_path):
    """The same as an earlier version left them, without the truth."""
    folder = shutil.copytree(finished / "r", tmp_path / "old" / "r")
    strip_truth(folder)
    return folder


@pytest.fixture
def no_dataset(monkeypatch):
    """Reading any dataset is an error."""

    def forbid() -> None:
        monkeypatch.setattr(
            harness.datasets.splits, "read_split", lambda *arguments: pytest.fail("a dataset was read")
        )

    return forbid


def records_of(results) -> dict[str, dict]:
    records = {}
    for path in sorted(results.glob("*/record.json")):
        content = json.loads(path.read_text())
        records[path.parent.name] = {key: content[key] for key in content.keys() - set(KEPT_APART)}
    return records


def cell_of(results, dataset: str, method: str):
    (folder,) = results.glob(f"{dataset}*-{method}.*")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--protocols", "original,padded", "--alphas", "0.07,0.3"),
        ("--protocols", "padded", "--threshold", "box"),
        ("--threshold", "points"),
    ],
)
def test_scores_are_those_of_the_dataset(bench, finished, results, old_results, no_dataset, options):
    expected = bench("rescore", old_results, "--datasets", f"folder={finished / 'photos'}", *options)
    before = predictions(results)
    no_dataset()
    found = bench("rescore", results, *options)
    assert found.status == expected.status == int("box" in options)
    assert (found.out, found.err) == (expected.out, expected.err)
    assert records_of(results) == records_of(old_results)
    assert predictions(results) == before


@pytest.mark.parametrize("dataset", ["shapes", "folder"])
def test_differences_are_those_of_the_dataset(bench, finished, results, old_results, no_dataset, dataset):
    def compare(folder, *more):
        runs = [cell_of(folder, dataset, method) for method in ("position", "hog")]
        return bench("compare", *runs, "--protocols", "sd4match,padded", "--alphas", "0.1", *more)

    expected = compare(old_results, "--datasets", f"folder={finished / 'photos'}")
    assert expected.status == 0, expected.err
    no_dataset()
    assert compare(results).out == expected.out


def test_a_file_with_the_truth_is_compared_with_one_without(bench, finished, results, old_results):
    data = ("--datasets", f"folder={finished / 'photos'}")
    runs = cell_of(results, "folder", "hog"), cell_of(old_results, "folder", "position")
    expected = bench("compare", *(cell_of(results, "folder", name) for name in ("hog", "position")))
    assert bench("compare", *runs, *data).out == expected.out
    done = bench("compare", *runs)
    assert (done.status, done.out) == (2, "")
    assert "there is no such folder or file" in done.complaint


def test_places_are_those_of_the_dataset(bench, finished, results, old_results, no_dataset):
    for folder in (results, old_results):
        # As whole cells: rows of limited ones have no place.
        for path in folder.glob("*/record.json"):
            content = json.loads(path.read_text())
            content["counts"].update(pairs=12, official=None, limit=None)
            put_record(path, content)
    data = ("--datasets", f"folder={finished / 'photos'}")
    expected = bench("leaderboard", old_results, *data)
    assert expected.status == 0
    assert bench("leaderboard", old_results).out != expected.out
    no_dataset()
    assert bench("leaderboard", results).out == expected.out
    # A place that is named and gone does no harm either.
    assert bench("leaderboard", results, "--datasets", "folder=/nowhere").out == expected.out


def test_tables_of_a_page_are_those_of_the_dataset(bench, results, tmp_path, no_dataset):
    for path in results.glob("*/record.json"):
        content = json.loads(path.read_text())
        content["counts"].update(pairs=12, official=None, limit=None)
        put_record(path, content)
    page = tmp_path / "page.html"
    assert bench("report", results, "-o", page, "--data-root", tmp_path / "nowhere").status == 0
    assert "not tested" not in page.read_text()
    strip_truth(results)
    assert bench("report", results, "-o", page, "--data-root", tmp_path / "nowhere").status == 0
    assert "not tested" in page.read_text()


def test_files_of_earlier_versions_need_their_dataset(bench, finished, old_results):
    before = records_of(old_results)
    done = bench("rescore", old_results, "--protocols", "original")
    assert done.status == 2
    assert "there is no such folder or file" in done.complaint
    done = bench("rescore", old_results, "--datasets", f"folder={finished / 'photos'}")
    assert done.status == 0
    assert {name: record for name, record in records_of(old_results).items() if "folder" in name} == {
        name: record for name, record in before.items() if "folder" in name
    }


def test_a_dataset_that_is_named_is_used_and_checked(bench, finished, results, tmp_path):
    other = shutil.copytree(finished / "photos", tmp_path / "photos")
    content = read_list(other)
    content["pairs"][0]["target_points"][0] = [11, 12]
    write_list(other, content)
    done = bench("rescore", results, "--datasets", f"folder={other}")
    assert done.status == 2
    assert done.err.count("dataset folder:photos differs from the one it was run on") == 2


def test_a_run_adds_the_truth_to_complete_files_and_computes_nothing(
    bench, finished, old_results, monkeypatch
):
    expected = predictions(finished / "r")
    assert predictions(old_results) != expected
    monkeypatch.setattr(
        baselines.methods.position.Position, "__init__", lambda self, context: pytest.fail("a model was made")
    )
    data = ("--datasets", f"shapes,folder={finished / 'photos'}")
    run = ("run", "--methods", "position,hog", "--limit", "12", *data, "--out")
    assert bench(*run, old_results).status == 0
    assert predictions(old_results) == expected
    assert records_of(old_results) == records_of(finished / "r")
    stamps = {path: path.stat().st_mtime_ns for path in old_results.glob("*/predictions.parquet")}
    assert bench(*run, old_results).status == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in old_results.glob("*/predictions.parquet")}


def damage(folder) -> str:
    """Gives a cell a truth that no run writes, sealed and recorded all the same; returns its file."""
    path = folder / "predictions.parquet"
    table = read_predictions(path)
    widths = table["target_width"].to_pylist()
    number = table.column_names.index("target_width")
    table = table.set_column(number, "target_width", pa.array([-width for width in widths], pa.int64()))
    record = json.loads((folder / "record.json").read_text())
    record["predictions_sha256"] = write_table(path, table)
    put_record(folder / "record.json", record)
    return str(path)


def test_a_cell_of_damaged_truth_is_told_and_the_others_are_shown(bench, finished, results, tmp_path):
    path = damage(cell_of(results, "folder", "hog"))
    problem = "the truth beside the predictions is damaged"
    done = bench("rescore", results)
    assert done.status == 1
    assert path in done.complaint
    assert problem in done.complaint
    assert "| position" in done.out
    done = bench("compare", results, results)
    assert done.status == 1
    assert problem in done.complaint
    # A run has the dataset: predictions are kept, and their truth is made anew.
    data = ("--datasets", f"shapes,folder={finished / 'photos'}")
    assert bench("run", "--methods", "position,hog", "--limit", "12", *data, "--out", results).status == 0
    assert predictions(results) == predictions(finished / "r")


def test_a_truth_of_other_data_is_told(bench, results):
    mine, other = cell_of(results, "folder", "hog"), cell_of(results, "shapes", "hog")
    table = read_predictions(mine / "predictions.parquet")
    facts = read_predictions(other / "predictions.parquet").schema.metadata[b"truth"]
    record = json.loads((mine / "record.json").read_text())
    wrong = table.replace_schema_metadata({**table.schema.metadata, b"truth": facts})
    record["predictions_sha256"] = write_table(mine / "predictions.parquet", wrong)
    put_record(mine / "record.json", record)
    done = bench("rescore", results)
    assert done.status == 1
    assert "has the truth of shapes test, and the record beside it is of folder:photos test" in done.complaint


def test_the_columns_are_what_the_documentation_says(results):
    text = (ROOT / "docs" / "reference" / "record.md").read_text()
    table = read_predictions(cell_of(results, "shapes", "hog") / "predictions.parquet")
    assert set(TRUTH_COLUMNS) < set(table.column_names)
    for name in table.column_names:
        assert f"`{name}`" in text
