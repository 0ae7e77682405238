"""`bench compare`: two runs, or two protocols, on the same pairs."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil

import pytest
from support.photos import make_photos, read_list, write_list
from support.results import predictions, put_record, rewrite_predictions

from harness.cli import status
from harness.records.predictions import read_predictions
from harness.records.runs import read_run
from harness.specs import AVERAGINGS
from harness.tables.differences import KEYS

ALPHAS = (0.05, 0.1, 0.4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two methods, two localizers, 20 pairs of twelve photos in two categories."""
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos", images=12)
    content = read_list(photos)
    content["pairs"] = content["pairs"][::5][:20]
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = ("blob", "blot")[number % 2]
    write_list(photos, content)
    run = [
        "run",
        "--methods",
        "position,hog",
        "--datasets",
        f"folder={photos}",
        "--localizers",
        "argmax,bilinear",
        "--alphas",
        "0.05,0.1,0.4",
    ]
    assert status([*run, "--protocols", "sd4match,original", "--out", str(folder / "r")]) == 0
    return folder


@pytest.fixture
def results(finished, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(finished / "r", tmp_path / "r")


@pytest.fixture
def compare(bench, finished):
    def run(*arguments):
        return bench("compare", *arguments, "--datasets", f"folder={finished / 'photos'}")

    return run


def rows_of(done, part="differences"):
    assert done.status == 0, done.err
    return json.loads(done.out)[part]


def cell(results, method):
    (found,) = results.glob(f"*-{method}.*")
    return found


def limit(folder, pairs):
    """Keeps the predictions of a few pairs, as a run with --limit leaves them."""
    table = read_predictions(folder / "predictions.parquet")
    kept = sorted(set(table["pair_id"].to_pylist()))[:pairs]
    rewrite_predictions(folder, [row for row in table.to_pylist() if row["pair_id"] in kept])


@pytest.mark.parametrize("averaging", AVERAGINGS)
def test_both_numbers_are_those_of_the_records(compare, results, averaging):
    found = rows_of(
        compare(f"{results}:position", f"{results}:hog", "--format", "json", "--averaging", averaging)
    )
    assert {(row["slice"], row["alpha"]) for row in found} == {
        (s, a) for s in ("all", "category=blob", "category=blot") for a in ALPHAS
    }
    for side, method in (("a", "position"), ("b", "hog")):
        stored = json.loads((cell(results, method) / "record.json").read_text())["scores"]
        for row in found:
            (score,) = [
                one
                for one in stored
                if (one["localizer"], one["protocol"]) == (row[f"localizer_{side}"], "sd4match")
                and (one["slice"], one["alpha"], one["averaging"]) == (row["slice"], row["alpha"], averaging)
            ]
            assert row[f"pck_{side}"] == pytest.approx(score["pck"])
            assert (row["pairs"], row["keypoints"]) == (score["pairs"], score["keypoints"])
    for row in found:
        assert row["difference"] == pytest.approx(row["pck_b"] - row["pck_a"])
        assert row["low"] <= row["difference"] <= row["high"]
        assert (
            row["only_b"] - row["only_a"] == pytest.approx(row["keypoints"] * row["difference"] / 100)
            or averaging != "point"
        )
        assert row["images"] >= 10


def test_each_method_has_its_own_localizer(compare, results):
    found = rows_of(compare(f"{results}:position", f"{results}:hog", "--format", "json"))
    assert {(row["localizer_a"], row["localizer_b"]) for row in found} == {("bilinear", "argmax")}


def test_one_run_named_twice_compares_its_localizers(compare, results):
    done = compare(f"{results}:hog", f"{results}:hog", "--localizer", "argmax,bilinear", "--format", "json")
    assert {(row["localizer_a"], row["localizer_b"]) for row in rows_of(done)} == {("argmax", "bilinear")}
    assert any(row["difference"] for row in rows_of(done))


def test_a_run_differs_from_itself_by_exactly_nothing(compare, results):
    done = compare(results, results, "--format", "json")
    found = rows_of(done)
    assert {row["method_a"] for row in found} == {"hog", "position"}
    for row in found:
        assert row["cell_a"] == row["cell_b"]
        assert [row[key] for key in ("difference", "low", "high", "only_a", "only_b")] == [0, 0, 0, 0, 0]
        assert [row[key] for key in ("p", "p_holm", "p_mcnemar", "p_mcnemar_holm")] == [1, 1, 1, 1]
        # Equal predictions say nothing of the spread.
        assert row["detectable"] is None
    assert rows_of(done, "pairs") == []
    assert "No pair of folder:photos/test changed." in compare(results, results).out


def test_swapped_runs_change_sign(compare, results):
    there, back = (
        rows_of(compare(f"{results}:{a}", f"{results}:{b}", "--format", "json"))
        for a, b in (("position", "hog"), ("hog", "position"))
    )
    for one, other in zip(there, back, strict=True):
        assert one["difference"] == -other["difference"]
        assert (one["only_a"], one["only_b"]) == (other["only_b"], other["only_a"])


def test_p_values_are_adjusted_over_everything_shown(compare, results):
    alone = rows_of(compare(f"{results}:position", f"{results}:hog", "--alphas", "0.1", "--format", "json"))
    found = rows_of(compare(f"{results}:position", f"{results}:hog", "--format", "json"))
    for rows in (alone, found):
        for key in ("p", "p_mcnemar"):
            smallest = min(rows, key=lambda row: row[key])
            assert smallest[f"{key}_holm"] == pytest.approx(min(1, smallest[key] * len(rows)))
            assert all(row[f"{key}_holm"] >= row[key] for row in rows)
    assert len(found) == 3 * len(alone)


def test_pairs_that_changed_most_come_first(compare, results):
    done = compare(f"{results}:position", f"{results}:hog", "--format", "json", "--top", "4")
    found = rows_of(done, "pairs")
    assert [row["alpha"] for row in found] == [0.1] * 4
    sizes = [abs(row["difference"]) for row in found]
    assert sizes == sorted(sizes, reverse=True)
    everything = rows_of(
        compare(f"{results}:position", f"{results}:hog", "--format", "json", "--top", "99"), "pairs"
    )
    assert everything[:4] == found
    mean = sum(row["difference"] for row in everything) / 20
    (whole,) = [row for row in rows_of(done) if (row["slice"], row["alpha"]) == ("all", 0.1)]
    assert mean == pytest.approx(whole["difference"])
    assert (
        rows_of(compare(f"{results}:position", f"{results}:hog", "--format", "json", "--top", "0"), "pairs")
        == []
    )


def test_protocols_alone(compare, results):
    """The first protocol against each of the others, on the same predictions, at the same alphas."""
    done = compare(f"{results}:hog", "--protocols", "sd4match,original,padded", "--format", "json")
    found = rows_of(done)
    assert {(row["protocol_a"], row["protocol_b"]) for row in found} == {
        ("sd4match", "original"),
        ("sd4match", "padded"),
    }
    assert {row["cell_a"] for row in found} == {row["cell_b"] for row in found} == {cell(results, "hog").name}
    stored = {
        (score["protocol"], score["slice"], score["alpha"]): score["pck"]
        for score in json.loads((cell(results, "hog") / "record.json").read_text())["scores"]
        if score["averaging"] == "image" and score["localizer"] == "argmax"
    }
    for row in found:
        assert row["pck_a"] == pytest.approx(stored["sd4match", row["slice"], row["alpha"]])
        if row["protocol_b"] == "original":
            assert row["pck_b"] == pytest.approx(stored["original", row["slice"], row["alpha"]])
    assert any(row["only_a"] or row["only_b"] for row in found)


def test_two_runs_under_several_protocols_are_compared_within_each(compare, results):
    found = rows_of(
        compare(f"{results}:hog", f"{results}:position", "--protocols", "original,padded", "--format", "json")
    )
    assert {(row["protocol_a"], row["protocol_b"]) for row in found} == {
        ("original", "original"),
        ("padded", "padded"),
    }


def test_csv_has_the_same_rows_as_json(compare, results):
    two = f"{results}:position", f"{results}:hog"
    rows = rows_of(compare(*two, "--format", "json"))
    table = list(csv.DictReader(io.StringIO(compare(*two, "--format", "csv").out)))
    assert list(table[0]) == list(rows[0]) == list(KEYS)
    assert [row["pck_b"] for row in table] == [str(row["pck_b"]) for row in rows]


def test_markdown_says_what_is_compared(compare, results):
    lines = compare(f"{results}:position", f"{results}:hog").out.splitlines()
    assert "A: position (bilinear, backbone none, protocol sd4match)  " in lines
    assert "B: hog (argmax, backbone none, protocol sd4match)  " in lines
    assert "1 seed." in lines
    (header,) = [line for line in lines if "McNemar" in line and line.startswith("|")]
    assert [title.strip() for title in header.split("|")[1:-1]][:7] == [
        "dataset",
        "category",
        "alpha",
        "A",
        "B",
        "B − A",
        "95 %",
    ]
    assert "Pairs of folder:photos/test that changed most, PCK@0.10:" in lines
    assert "(Holm) for 9 tests" in lines[0]


@pytest.mark.parametrize("format_", ["md", "csv", "json"])
def test_the_same_command_gives_the_same_bytes(compare, results, format_):
    two = f"{results}:position", f"{results}:hog", "--format", format_
    before = predictions(results)
    assert compare(*two).out == compare(*two).out
    assert predictions(results) == before


def test_a_run_is_a_folder_a_cell_or_a_method_of_a_folder(compare, results):
    hog, position = cell(results, "hog"), cell(results, "position")
    expected = compare(f"{results}:hog", f"{results}:position").out
    for first, other in (
        (hog, position),
        (str(hog)[:-6], str(position)[:-6]),
        (f"{results}:hog/none", f"{results}:position/none"),
    ):
        assert compare(first, other).out == expected
    assert compare(hog.name, position.name[:-3], "--results", results).out == expected
    for method in ("hog", "position"):
        shutil.copytree(cell(results, method), results.parent / f"only-{method}" / cell(results, method).name)
    assert compare(results.parent / "only-hog", results.parent / "only-position").out == expected


def test_cells_that_only_one_run_has_are_named(compare, results, tmp_path):
    shutil.copytree(cell(results, "hog"), tmp_path / "other" / cell(results, "hog").name)
    done = compare(results, tmp_path / "other")
    assert done.status == 0
    assert done.complaint == f"bench: {cell(results, 'position').name}: only in {results}, left out"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["R:hog"], "with what?"),
        (["R:hog", "--protocols", "original"], "with what?"),
        (["R", "R", "R"], "two runs"),
        (["R:hgo", "R:hog"], "unknown method in R, 'hgo'; did you mean hog?"),
        (["R:hog", "R/folder-photos"], "is the beginning of 2 cells"),
        (["R:hog", "R/nothing"], "unknown run in R, 'nothing'"),
        (["R:hog", "elsewhere/cell"], "no run 'elsewhere/cell'"),
        (["R:hog", "nowhere"], "no run 'nowhere'"),
        (["R:hog", "R:position", "--localizer", "argmx"], "choose one with --localizers: argmax, bilinear"),
        (["R:hog", "R:position", "--localizer", "a,b,c"], "--localizers takes"),
        (["R:hog", "--protocols", "original,padded", "--localizer", "a,b"], "--localizers takes one"),
        (
            ["R:hog", "R:position", "--protocols", "orignal"],
            "unknown protocol 'orignal'; did you mean original?",
        ),
        (["R:hog", "R:position", "--alphas", "x"], "alphas"),
        (["R:hog", "R:position", "--top", "-1"], "--top"),
    ],
)
def test_mistakes_are_told_in_one_line(compare, results, arguments, complaint):
    done = compare(
        *(one.replace("R", str(results)) if one.startswith("R") else one for one in arguments),
        "--results",
        results.parent / "x",
    )
    assert done.status == 2
    assert complaint.replace("R,", f"{results},") in done.complaint
    assert done.out == ""


def test_runs_of_other_data_seed_or_method_are_not_compared(compare, results, tmp_path):
    other = shutil.copytree(cell(results, "hog"), tmp_path / "other" / cell(results, "hog").name)
    record = json.loads((other / "record.json").read_text())

    def told(change):
        put_record(other / "record.json", change)
        done = compare(f"{results}:hog", other)
        assert done.status == 2
        return done.complaint

    assert "different data of one name" in told(
        record | {"provenance": record["provenance"] | {"manifest": "0" * 64}}
    )
    assert "equal dataset, split and seed" in told(record | {"cell": record["cell"] | {"seed": 1}})
    assert "equal dataset, split and seed" in told(record | {"cell": record["cell"] | {"split": "val"}})
    named = other.rename(tmp_path / "other" / "new")
    put_record(named / "record.json", record | {"cell": record["cell"] | {"id": "new", "label": "new"}})
    assert "name one method of each" in compare(results, tmp_path / "other").complaint


def test_pairs_that_one_run_lacks_are_left_out_and_counted(compare, results):
    limit(cell(results, "hog"), 8)
    done = compare(f"{results}:hog", f"{results}:position")
    assert done.status == 0
    assert "A: limited to 8 of 20 pairs (" in done.out
    assert "; 12 pairs of B alone left out" in done.out
    assert done.out.count("| partial") == 6
    found = rows_of(compare(f"{results}:hog", f"{results}:position", "--format", "json"))
    for row in found:
        assert (row["left_out_a"], row["left_out_b"], row["status_a"], row["status_b"]) == (
            0,
            12,
            "limited",
            "ok",
        )
    assert {row["pairs"] for row in found if row["slice"] == "all"} == {8}


def test_differences_have_the_minus_sign_of_other_tables(compare, results):
    done = compare(f"{results}:position", f"{results}:hog")
    assert re.search(r"\| +−\d", done.out)
    assert not re.search(r"[ |]-\d", done.out)


def test_a_single_pair_has_no_interval(compare, results):
    limit(cell(results, "hog"), 1)
    done = compare(f"{results}:hog", f"{results}:position", "--format", "json")
    keys = ("low", "high", "detectable", "p", "p_holm")
    assert [[row[key] for key in keys] for row in rows_of(done)] == [[None] * 5] * 3
    shown = compare(f"{results}:hog", f"{results}:position")
    assert shown.status == 0
    assert (
        "Fewer than 10 images, or pairs that all have the same difference, give none of these." in shown.out
    )
    assert "for 0 tests by bootstrap and 3 tests by McNemar" in shown.out


def test_no_pair_in_common(compare, results):
    table = read_predictions(cell(results, "hog") / "predictions.parquet").to_pylist()
    rewrite_predictions(cell(results, "hog"), [row for row in table if row["pair_id"] == table[0]["pair_id"]])
    rewrite_predictions(
        cell(results, "position"), [row for row in table if row["pair_id"] == table[-1]["pair_id"]]
    )
    done = compare(f"{results}:hog", f"{results}:position")
    assert done.status == 2
    assert "no pair was predicted in both" in done.complaint


def test_an_empty_folder_and_a_cell_that_failed(compare, results, tmp_path):
    (tmp_path / "empty").mkdir()
    done = compare(tmp_path / "empty", results)
    assert (done.status, done.complaint.split(";")[0]) == (
        2,
        f"bench: no finished cell in {tmp_path / 'empty'}",
    )
    place = cell(results, "hog") / "record.json"
    record = json.loads(place.read_text()) | {"status": "failed", "scores": [], "localizers": {}}
    put_record(place, record | {"error": {"type": "E", "message": "out of luck", "traceback": ""}})
    done = compare(f"{results}:hog", f"{results}:position")
    assert done.status == 2
    assert "no predictions to compare (failed: out of luck)" in done.complaint
    # The rest of the folder is as good as ever.
    done = compare(results, results)
    assert (done.status, "out of luck" in done.complaint) == (0, True)


@pytest.mark.parametrize("file", ["record.json", "predictions.parquet"])
def test_a_damaged_cell(compare, results, file):
    place = cell(results, "hog") / file
    place.write_bytes(place.read_bytes()[:100])
    for first in (cell(results, "hog"), cell(results, "hog").parent / cell(results, "hog").name[:-4]):
        done = compare(first, cell(results, "position"))
        assert done.status == 2
        assert str(place) in done.complaint
        assert done.out == ""
    if file == "record.json":
        done = compare(f"{results}:hog", f"{results}:position")
        assert done.status == 2
        assert str(place) in done.err.splitlines()[0]
        assert "unknown method" in done.err.splitlines()[1]
    # Beside whole cells it is told, they are compared, and the status says that something is wrong.
    done = compare(results, results)
    assert done.status == 1
    assert str(place) in done.complaint
    assert "A: position" in done.out


def test_predictions_without_a_keypoint(compare, results):
    rows = read_predictions(cell(results, "hog") / "predictions.parquet").to_pylist()
    rewrite_predictions(cell(results, "hog"), rows[2:])
    done = compare(f"{results}:hog", f"{results}:position")
    assert done.status == 2
    assert "has no keypoint" in done.complaint


def test_predictions_that_are_missing(compare, results):
    (cell(results, "hog") / "predictions.parquet").unlink()
    done = compare(f"{results}:hog", f"{results}:position")
    assert done.status == 2
    assert "is not there; run the cell again" in done.complaint


def test_the_demo(bench, tmp_path):
    """The bundled dataset, which needs no --datasets."""
    assert bench("run", "--methods", "hog,position", "--limit", 20, "--out", tmp_path / "r").status == 0
    done = bench("compare", f"{tmp_path / 'r'}:position", f"{tmp_path / 'r'}:hog", "--format", "json")
    (headline,) = [row for row in rows_of(done) if (row["alpha"], row["slice"]) == (0.1, "all")]
    assert headline["slice"] == "all"
    assert headline["pairs"] == 20
    assert 0 < headline["low"] < headline["difference"] < headline["high"]


def test_a_cell_called_so_comes_before_others_of_its_method(results, tmp_path):
    (hog,) = results.glob("*-hog.*")
    record = json.loads((hog / "record.json").read_text())
    for label, name in (
        ("hog", hog.name),
        ("hog[cells=8]", "other.0123456789ab"),
        ("hog[cells=9]", "third.0123456789ab"),
    ):
        shutil.copytree(hog, tmp_path / name)
        changed = {**record, "cell": {**record["cell"], "label": label, "id": name}}
        put_record(tmp_path / name / "record.json", changed)
    assert [one.name for one in read_run(f"{tmp_path}:hog", tmp_path).cells] == ["hog"]
    assert [one.name for one in read_run(f"{tmp_path}:hog[cells=8]", tmp_path).cells] == ["hog[cells=8]"]
    shutil.rmtree(tmp_path / hog.name)
    assert [one.name for one in read_run(f"{tmp_path}:hog", tmp_path).cells] == [
        "hog[cells=8]",
        "hog[cells=9]",
    ]
