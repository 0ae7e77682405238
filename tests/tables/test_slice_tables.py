"""Tables and comparisons in which only points that look alike count, and results of versions without them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from support.layouts import spair_annotation, write_spair_annotation, write_spair_list
from support.markdown import cells_of_markdown
from support.photos import draw
from support.results import put_record

import harness
from harness.cli import status
from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.records.predictions import PREDICTIONS, read_predictions, write_table
from harness.records.results import read_results
from harness.records.truth_columns import POINT_SLICE
from harness.scoring.criteria import make_criterion
from harness.scoring.sources import Sources
from harness.tables.seed_intervals import SeedIntervals

SLICE = ("--slice", "geometry-aware")

RUN = ("run", "--methods", "position", "--datasets", "spair-71k", "--limit", "20", "--protocols", "original")

PICTURES = 8


def make_data(root: Path, *, says_all: bool = True) -> Path:
    """Two categories of SPair-71k, in which ears, 2 and 3, look alike; pair after pair lacks one of them.

    Args:
        says_all: whether pictures have files of their own, which say that both ears are there.
    """
    folder, names = root / "SPair-71k", []
    # Of each point, so near to where it is in other pictures that some are found by `position`.
    noise = np.random.default_rng(0).normal(0, 4, (2 * PICTURES, 3, 2))
    places = (np.array([[20, 15], [40, 15], [30, 35]]) + noise).round(1).tolist()
    for category, shift in (("cat", 0), ("dog", PICTURES)):
        for number in range(PICTURES):
            draw(folder / "JPEGImages" / category / f"{number}.png", shift + number, (60, 48))
            if says_all:
                path = folder / "ImageAnnotation" / category / f"{number}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                ears = {"2": [20, 15], "3": [40, 15] if number else None}
                path.write_text(json.dumps({"kps": {**ears, "8": [30, 35]}}))
            for step in (1, 2):
                other = (number + step) % PICTURES
                names.append(f"{len(names):06d}-{number}-{other}:{category}")
                ids = ["2", "3", "8"] if number % 2 else ["2", "8"]
                annotation = {**spair_annotation(number, other), "category": category, "kps_ids": ids}
                for side, picture in (("src", number), ("trg", other)):
                    annotation[f"{side}_kps"] = places[shift + picture][: len(ids)]
                write_spair_annotation(folder, names[-1], json.dumps(annotation))
    write_spair_list(folder, names)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Two seeds, in which `position` predicts the same, with two localizers."""
    folder = tmp_path_factory.mktemp("slices")
    make_data(folder / "data")
    words = ("--seeds", "0,1", "--localizers", "bilinear,soft-argmax", "--out", str(folder / "r"))
    assert status([*RUN, *words, "--data-root", str(folder / "data")]) == 0
    return folder


@pytest.fixture
def results(finished, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BENCH_DATA_ROOT", str(finished / "data"))
    return Path(shutil.copytree(finished / "r", tmp_path / "r"))


def cell_of(results: Path, seed: int = 0) -> Path:
    (cell,) = results.glob("*-seed-1.*" if seed else "*position.*")
    return cell


def make_old(cell: Path, *, keeps_scores: bool = False) -> None:
    """Makes a cell one of a version that did not say which points look alike."""
    path, record = cell / PREDICTIONS, json.loads((cell / "record.json").read_text())
    record["predictions_sha256"] = write_table(path, read_predictions(path).drop_columns([POINT_SLICE]))
    if not keeps_scores:
        record["scores"] = [score for score in record["scores"] if "geometry" not in score["slice"]]
    put_record(cell / "record.json", record)


def counted_by_hand(results: Path, localizer: str) -> dict[str, float]:
    """Category -> mean over its pairs of their share of points within 0.1 of the box; `all` as well."""
    shares: dict[str, list[float]] = {}
    of_pairs: dict[tuple[str, str], list[bool]] = {}
    for row in read_predictions(cell_of(results) / PREDICTIONS).to_pylist():
        if row["localizer"] == localizer and row[POINT_SLICE] == "geometry-aware":
            side = max(row["box_x2"] - row["box_x1"], row["box_y2"] - row["box_y1"])
            distance = np.hypot(row["x"] - row["true_x"], row["y"] - row["true_y"])
            of_pairs.setdefault((row["category"], row["pair_id"]), []).append(distance <= 0.1 * side)
    for (category, _), points in of_pairs.items():
        for name in (category, "all"):
            shares.setdefault(name, []).append(100 * float(np.mean(points)))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def table_of(bench, *words) -> list[dict[str, str]]:
    done = bench(*words, "--format", "csv")
    assert done.status == 0, done.err
    return list(csv.DictReader(io.StringIO(done.out)))


def numbers_of(rows: list[dict[str, str]]) -> dict[str, float]:
    return {row["slice"]: float(row["pck"]) for row in rows}


ONE = ("--localizers", "bilinear", "--alphas", "0.1")


def test_the_table_by_category_is_what_a_count_by_hand_gives(bench, results):
    done = bench("leaderboard", results, *SLICE, "--table", "per-category", *ONE)
    assert done.status == 0, done.err
    assert "Slice geometry-aware: only points that look like another one of the target count." in done.out
    header, _, row = cells_of_markdown(done.out)
    shown = dict(zip(header, row, strict=True))
    expected = counted_by_hand(results, "bilinear")
    assert expected.keys() == {"cat", "dog", "all"}
    assert 0 < min(expected.values()) < max(expected.values()) < 100
    for name, number in expected.items():
        assert shown[name].split()[0] == f"{number:.1f}"
    # Without the number in each category, which would be of the slice's pairs.
    assert "limited to 20 of 32 pairs;" in shown["note"]


def test_rows_for_machines_say_of_which_slice_they_are(bench, results):
    words = ("leaderboard", results, *ONE, "--averaging", "image")
    # As another draw might have given it.
    path = cell_of(results) / "record.json"
    record = json.loads(path.read_text())
    for score in record["scores"]:
        if score["slice"] == "geometry-aware":
            score["low"] = score["pck"] / 2
    put_record(path, record)
    of_slice, of_all = table_of(bench, *words, *SLICE), table_of(bench, *words)
    assert {row["slice"].partition(",")[0] for row in of_slice} == {"geometry-aware"}
    # The record's own row, to the ends of its interval.
    (own,) = (row for row in of_all if (row["slice"], row["seed"]) == ("geometry-aware", "0"))
    assert own in of_slice
    assert float(own["low"]) == pytest.approx(float(own["pck"]) / 2)
    expected = counted_by_hand(results, "bilinear")
    numbers = numbers_of(of_slice)
    for name, number in expected.items():
        key = "geometry-aware" if name == "all" else f"geometry-aware, category={name}"
        assert numbers[key] == pytest.approx(number)


def test_the_difference_is_that_of_two_counts_by_hand(bench, results):
    other = Path(shutil.copytree(results, results.with_name("other")))
    for cell in (cell_of(other), cell_of(other, 1)):
        table = read_predictions(cell / PREDICTIONS)
        shifted = table.set_column(table.column_names.index("x"), "x", pc.add(table["x"], 3.0))
        record = json.loads((cell / "record.json").read_text())
        record["predictions_sha256"] = write_table(cell / PREDICTIONS, shifted)
        put_record(cell / "record.json", record)
    words = ("compare", results, other, *ONE, *SLICE)
    a, b = (counted_by_hand(folder, "bilinear") for folder in (results, other))
    assert a["all"] != b["all"]
    rows = {row["slice"]: row for row in table_of(bench, *words)}
    assert len(rows) == len(a)
    for name in a:
        row = rows["geometry-aware" if name == "all" else f"geometry-aware, category={name}"]
        assert float(row["difference"]) == pytest.approx(b[name] - a[name])
    assert rows["geometry-aware"]["low"] != ""
    keypoints = [int(of[0]["keypoints"]) for of in (list(rows.values()), table_of(bench, *words[:-2]))]
    assert 0 < keypoints[0] < keypoints[1]
    text = bench(*words, "--top", 0)
    assert text.out.startswith("Slice geometry-aware: only points that look like another one")
    assert [row[1] for row in cells_of_markdown(text.out)[2:]] == ["all", *sorted(set(a) - {"all"})]


def test_python_has_the_same_numbers(bench, results):
    one = {"localizers": ["bilinear"], "alphas": [0.1], "point_slice": "geometry-aware"}
    expected = counted_by_hand(results, "bilinear")
    (shown,) = harness.leaderboard(results, table="per-category", **one)["cat"]
    assert shown == pytest.approx(expected["cat"], abs=0.05)
    numbers = harness.scores(results, averaging="image", **one).set_index("slice")["pck"]
    assert set(numbers["geometry-aware"].round(6)) == {round(expected["all"], 6)}
    assert set(harness.compare(results, results, **one)["difference"]) == {0.0}
    with pytest.raises(UserError, match="point_slice"):
        harness.compare(results, results, point_slice="all")


def test_reported_numbers_are_those_of_the_slice(bench, results):
    done = bench("leaderboard", results, *SLICE, "--reported", *ONE)
    # SD+DINO's 49.3 is of the slice, and its 59.9 of all points.
    assert "49.3" in done.out
    assert "59.9" not in done.out


def test_where_there_is_no_such_slice_one_line_says_why(bench, results, photos, tmp_path):
    refused = {
        ("leaderboard", results, "--slice", "geometry-aware-shared"): "it has geometry-aware; give --slice",
        ("leaderboard", results, *SLICE, "--format", "eval-results"): "leave out --table, --columns and --sl",
    }
    own = tmp_path / "own"
    assert bench(*RUN[:3], "--datasets", f"folder={photos}", "--out", own).status == 0
    for words in (("leaderboard", own), ("compare", own, own)):
        refused[*words, *SLICE] = "does not say which points look alike"
    for words, text in refused.items():
        done = bench(*words)
        assert done.status == 2, words
        assert text in done.err
    # Beside a dataset that has it, that is no fault.
    done = bench("leaderboard", results, own, *SLICE)
    assert done.status == 0
    assert "folder:" not in done.out
    for cell in (cell_of(results), cell_of(results, 1)):
        table = read_predictions(cell / PREDICTIONS)
        column = table.column_names.index(POINT_SLICE)
        record = json.loads((cell / "record.json").read_text())
        nowhere = table.set_column(column, POINT_SLICE, [[""] * table.num_rows])
        record["predictions_sha256"] = write_table(cell / PREDICTIONS, nowhere)
        put_record(cell / "record.json", record)
    assert "none of its points is in it" in bench("compare", results, results, *SLICE).err


# Results of versions that do not know the slice


def test_an_old_seed_is_averaged_and_has_the_slice_from_its_dataset(bench, results):
    words = ("leaderboard", results, *ONE)
    before, of_slice = bench(*words).out, bench(*words, *SLICE).out
    assert "2 seeds" in of_slice
    make_old(cell_of(results, 1))
    assert bench(*words).out == before
    assert bench(*words, *SLICE).out == of_slice


def test_intervals_over_seeds_do_without_the_slice_of_an_old_file(results):
    # As 'bench rescore' leaves it: the record has the slice, the file does not say which points are in it.
    make_old(cell_of(results, 1), keeps_scores=True)
    host = load_plugins()
    records, _ = read_results(results)
    sources = Sources(host, results.parent)
    find = SeedIntervals(
        lambda record: results / record.cell.id,
        sources.read,
        lambda name, alphas: make_criterion(host, name, alphas),
    )
    scores = [
        score
        for score in records[0].scores
        if (score.localizer, score.averaging, score.alpha) == ("bilinear", "image", 0.1)
    ]
    found = find(records, "bilinear", scores)
    assert not isinstance(found, str), found
    by_slice = {score.slice: score for score in found}
    assert by_slice["all"].low is not None
    assert by_slice["geometry-aware"] in scores


def test_a_merged_cell_of_old_and_new_parts_says_so(bench, finished, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA_ROOT", str(finished / "data"))
    parts = [tmp_path / "a", tmp_path / "b"]
    for number, part in enumerate(parts, start=1):
        assert bench(*RUN, "--shard", f"{number}/2", "--out", part).status == 0
    make_old(cell_of(parts[1]))
    for order in (parts, parts[::-1]):
        merged = tmp_path / order[0].name / "merged"
        done = bench("merge", *order, "--out", merged)
        assert done.status == 0, done.err
        assert f"{cell_of(parts[1])}: of an earlier version" in done.err
        assert POINT_SLICE not in read_predictions(cell_of(merged) / PREDICTIONS).column_names
        before = numbers_of(table_of(bench, "leaderboard", merged, "--averaging", "point"))
        assert "geometry-aware" not in before
        assert bench("rescore", merged).status == 0
        after = numbers_of(table_of(bench, "leaderboard", merged, "--averaging", "point"))
        assert after.keys() - before.keys() == {"geometry-aware"}
        assert {name: after[name] for name in before} == before


@pytest.fixture
def without_data(bench, tmp_path) -> Path:
    """Old results on `spair-71k`, whose files are not there any more."""
    root, out = make_data(tmp_path / "data", says_all=False), tmp_path / "spair"
    done = bench(*RUN, "--data-root", root, "--out", out)
    assert done.status == 0, done.err
    # No picture's own file: what a pair shares is all that is known.
    (cell,) = out.iterdir()
    assert "geometry-aware-shared" in read_predictions(cell / PREDICTIONS)[POINT_SLICE].to_pylist()
    make_old(cell)
    shutil.rmtree(root)
    return out


def test_without_the_dataset_an_old_file_has_no_slice_and_that_is_said(bench, without_data, tmp_path):
    data = ("--data-root", tmp_path / "nowhere")
    (cell,) = without_data.iterdir()
    line = f"{cell.name} has none: its predictions are of an earlier version, and its dataset cannot be read"
    done = bench("rescore", without_data, *data)
    assert done.status == 0
    assert f"slice geometry-aware: {line}" in done.err
    assert "geometry" not in json.dumps(json.loads((cell / "record.json").read_text())["scores"])
    for words in (("leaderboard", without_data), ("compare", without_data, without_data)):
        refused = bench(*words, "--slice", "geometry-aware-shared", *data)
        assert refused.status == 2
        assert refused.complaint.count(line) == 1
