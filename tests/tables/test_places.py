"""Places of rows: what predictions tell apart, and what they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.made_up_records import a_record
from support.results import put_record, strip_truth

from harness.records.folders import cell_folders
from harness.records.predictions import read_predictions, write_table
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
    assert "95 % intervals that hold for all rows together" in outcome.out


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
    assert "Places are by the value of PCK at alpha 0.10 alone, not tested." in outcome.out
    assert [row["#"] for row in rows_of(outcome.out)] == ["1", "2", "3", "4"]


def test_rows_without_their_dataset_have_no_place():
    from harness.errors import UserError

    def gone(folder, record):
        raise UserError("no dataset here")

    column = Column("birds", "test", 0.1)
    cells = {("birds", "test"): (a_record("a", 10.0),)}
    line = Row("a", "none", "argmax", "none", "Z", cells=cells)
    finder = PlaceFinder(cell_folders(Path()), gone, None, "sd4match", "image")  # type: ignore[arg-type]
    assert finder([line, replace(line, method="b")], [column]) is None
    assert finder.problems == []


def copy_of(results, folder, method, name):
    """A copy of the results in which the cell of a method stands a second time under another name."""
    from shutil import copytree

    copytree(results, folder)
    (source,) = folder.glob(f"*{method}*")
    target = copytree(source, folder / source.name.replace(method, name))
    content = json.loads((target / "record.json").read_text())
    content["cell"] |= {"id": target.name, "method": name, "label": name}
    path = target / "predictions.parquet"
    # A file says which cell it is of: it is written anew.
    content["predictions_sha256"] = write_table(path, read_predictions(source / path.name))
    put_record(target / "record.json", content)
    return folder


def test_identical_runs_share_their_places_and_differ_by_nothing(bench, results, tmp_path):
    folder = copy_of(results, tmp_path / "copy", "hog", "twin")
    shown = bench("leaderboard", folder, "--localizers", "argmax")
    places = {row["method"]: row["#"] for row in rows_of(shown.out)}
    assert places == {"hog": "1-2", "twin": "1-2", "position": "3"}
    done = bench("leaderboard", folder, "--localizers", "argmax", "--table", "differences")
    assert done.status == 0
    first, second, third = rows_of(done.out)
    assert (first["above"], first["below"]) == ("hog, 1-2", "twin, 1-2")
    assert [first[key] for key in ("difference", "95 %", "finds", "told apart")] == [
        *("0.0", "0.0 to 0.0", "–", "no")
    ]
    assert [row["told apart"] for row in (second, third)] == ["yes", "yes"]
    assert "2 of 3 couples of rows told apart" in done.out
    assert "80 pairs of" in done.out


def test_differences_for_machines_are_all_of_them(bench, results):
    people = bench("leaderboard", results, "--table", "differences")
    rows = json.loads(bench("leaderboard", results, "--table", "differences", "--format", "json").out)
    assert len(rows) == len(rows_of(people.out)) == 6
    for row in rows:
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["is_found"] is (row["low"] > 0)
        assert row["difference"] >= 0
    csv = bench("leaderboard", results, "--table", "differences", "--format", "csv").out
    assert csv.splitlines()[0].split(",") == list(rows[0])
    assert len(csv.splitlines()) == 7


def test_differences_without_a_test_are_refused(bench, results):
    refused = bench("leaderboard", results, "--table", "differences", "--no-places")
    assert (refused.status, refused.out) == (2, "")
    alone = bench("leaderboard", results, "--table", "differences", "--localizers", "argmax", "--alphas", "7")
    assert alone.status == 2


def test_of_many_rows_neighbours_and_the_first_are_shown():
    from itertools import combinations

    from support.made_up_records import a_record

    from harness.tables.row import Places, RowDifference
    from harness.tables.row_differences import row_differences
    from harness.tables.view import View

    records = [a_record(f"m{number}", 90.0 - number, identity=f"{number:012}") for number in range(8)]
    differences = [
        RowDifference(a, b, b - a, b - a - 2.5, b - a + 2.5, 3.0) for a, b in combinations(range(8), 2)
    ]
    places = Places([1] * 8, [8] * 8, frozenset(), differences, 600, 298)
    table = row_differences(records, View(find_places=lambda rows, columns: places))
    assert len(table.rows) == 7 + 6
    assert len(table.tidy) == 28
    assert "Shown: 13 of 28 couples" in table.caption
    assert "15 of 28 couples of rows told apart" in table.caption


def counts_of(results, localizer="argmax"):
    """The numbers of `hog` and `position` right on each pair."""
    from functools import partial

    from harness.plugins.loading import load_plugins
    from harness.records.results import read_results
    from harness.scoring.criteria import make_criterion
    from harness.scoring.sources import Sources
    from harness.tables.row_counts import RowCounter

    host = load_plugins()
    records, _ = read_results(results)
    rows = [Row(record.cell.method, "none", localizer, "none", "Z") for record in records]
    counter = RowCounter(
        cell_folders(results), Sources(host, Path()).read, partial(make_criterion, host), "sd4match"
    )
    counts = counter.count_rows([(record,) for record in records], rows, [0.1])
    assert counter.problems == []
    return [counts[number] for number in range(len(rows))]


def test_places_do_not_depend_on_the_order_of_rows(results):
    from harness.scoring.ranks import rank_estimates
    from harness.tables.row_counts import estimate_rows

    counts = [*counts_of(results), *counts_of(results, "bilinear")]
    ranks = rank_estimates(estimate_rows([counts], "image"))
    turned = rank_estimates(estimate_rows([counts[::-1]], "image"))
    assert turned.best.tolist() == ranks.best.tolist()[::-1]
    assert turned.worst.tolist() == ranks.worst.tolist()[::-1]


def test_datasets_that_share_their_images_are_drawn_together(results):
    from harness.tables.row_counts import estimate_rows

    counts = counts_of(results)
    alone = estimate_rows([counts], "image").spread.variance
    # The same pairs twice over are no more evidence.
    assert estimate_rows([counts, counts], "image").spread.variance == pytest.approx(alone)


def test_a_row_whose_scores_are_not_those_of_its_predictions_is_not_tested(bench, results, tmp_path):
    from shutil import copytree

    folder = copytree(results, tmp_path / "copy")
    (path,) = folder.glob("*hog*/record.json")
    content = json.loads(path.read_text())
    for score in content["scores"]:
        # Below the rows of the other method: predictions would give it the place of one of those.
        if score["localizer"] == "argmax" and score["pck"] > 1:
            score.update(pck=score["pck"] - 1, low=0, high=100)
    put_record(path, content)
    outcome = bench("leaderboard", folder)
    assert outcome.status == 1
    assert "scores are not those of the predictions; 'bench rescore' makes them anew" in outcome.complaint
    notes = {(row["method"], row["localizer"]): row["note"] for row in rows_of(outcome.out)}
    assert [key for key, note in notes.items() if "place by value" in note] == [("hog", "argmax")]
    assert bench("rescore", folder).status == 0
    assert bench("leaderboard", folder).status == 0


def test_a_split_of_more_columns_weighs_as_much_as_rows_are_ordered_by(results):
    from harness.records.results import read_results

    finder = finder_of(results)
    records, _ = read_results(results)
    rows = []
    columns = [Column(name, "val", alpha) for name, alpha in (("a", 0.05), ("a", 0.15), ("b", 0.05))]
    for record in records:
        scores = {
            score.alpha: score
            for score in record.scores
            if (score.localizer, score.slice, score.averaging) == ("argmax", "all", "image")
        }
        values = {column: scores[column.alpha] for column in columns}
        cells = {("a", "val"): (record,), ("b", "val"): (record,)}
        rows.append(Row(record.cell.method, "none", "argmax", "none", "Z", values=values, cells=cells))
    rows.sort(key=lambda row: -row.mean(columns))
    places = finder(rows, columns)
    assert finder.problems == []
    (difference,) = places.differences
    assert difference.points == pytest.approx(rows[0].mean(columns) - rows[1].mean(columns))


def finder_of(results):
    from functools import partial

    from harness.plugins.loading import load_plugins
    from harness.scoring.criteria import make_criterion
    from harness.scoring.sources import Sources

    host = load_plugins()
    read = Sources(host, Path()).read
    return PlaceFinder(cell_folders(results), read, partial(make_criterion, host), "sd4match", "image")
