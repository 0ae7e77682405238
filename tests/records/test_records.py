"""Results on disk: what is written is read back, and what is damaged or newer is told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.photos import make_photos
from support.results import the_record

from harness.errors import UserError
from harness.records.folders import RECORD, read_record, write_record
from harness.records.predictions import (
    PREDICTIONS,
    merge_tables,
    prediction_table,
    read_predictions,
    read_to_resume,
    write_table,
)
from harness.records.schema import SCHEMA


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A results folder of two finished cells."""
    from harness.cli import status

    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos", images=3)
    run = [
        "run",
        "--methods",
        "position,hog",
        "--localizers",
        "argmax",
        "--datasets",
        f"folder={photos}",
        "--out",
        str(folder / "r"),
    ]
    assert status(run) == 0
    return folder / "r"


@pytest.fixture
def results(finished, tmp_path) -> Path:
    """A copy that a test may damage."""
    return copytree(finished, tmp_path / "r")


def cell_of(results: Path, method: str) -> Path:
    (folder,) = results.glob(f"*{method}*")
    return folder


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_record_that_is_written_is_read_back(finished, tmp_path):
    for path in finished.glob(f"*/{RECORD}"):
        record = read_record(path)
        folder = tmp_path / path.parent.name
        write_record(folder, record)
        assert read_record(folder / RECORD) == record
        assert (folder / RECORD).read_bytes() == path.read_bytes()


def test_a_record_says_what_made_its_numbers(results):
    hog = cell_of(results, "hog")
    record = json.loads((hog / RECORD).read_text())
    assert record["schema"] == SCHEMA
    assert record["status"] == "ok"
    assert record["cell"]["id"] == hog.name
    assert record["cell"]["params"] == {"block": 9, "cell": 4, "orientations": 9}
    assert record["cell"]["fed"] == [128, 128]
    provenance = record["provenance"]
    assert {"python", "torch", "numpy", "correspondence-bench"} <= provenance["versions"].keys()
    assert provenance["computed_pairs"] == 6
    assert {"load", "extract", "locate", "score"} <= provenance["stages"].keys()
    assert len(provenance["manifest"]) == 64
    assert set(provenance["plugins"]) == {"harness", "extractor", "localizer argmax"}


def test_a_newer_schema_is_refused_by_name(bench, results):
    path = cell_of(results, "hog") / RECORD
    edit(path, lambda content: content.update(schema=SCHEMA + 1, something_new=1))
    with pytest.raises(UserError) as told:
        read_record(path)
    assert str(told.value) == (
        f"{path}: has record schema {SCHEMA + 1}, this version reads up to {SCHEMA}; "
        "upgrade correspondence-bench"
    )
    done = bench("leaderboard", results)
    assert done.status == 1
    assert f"schema {SCHEMA + 1}" in done.complaint
    assert "position" in done.out, "the other record can be read"


def change_score(**values):
    """Damage to the first score of a record."""
    return lambda path: edit(path, lambda content: content["scores"][0].update(values))


DAMAGE = [
    (lambda path: path.write_text(path.read_text()[:300]), "not a readable record"),
    (lambda path: path.write_text(""), "not a readable record"),
    (lambda path: path.write_bytes(b"\x89PNG\xff\x00"), "not a readable record"),
    (lambda path: path.write_text("[1, 2]"), "the whole: Input should be"),
    (lambda path: path.write_text("{}"), "status: Field required"),
    (
        lambda path: edit(path, lambda content: content.update(surprise=1)),
        "surprise: Extra inputs are not permitted",
    ),
    (lambda path: edit(path, lambda content: content["cell"].pop("method")), "cell.method: Field required"),
    (
        lambda path: edit(path, lambda content: content["scores"][2].update(pck="much")),
        "scores.2.pck: Input should be a valid number",
    ),
    (lambda path: edit(path, lambda content: content.update(status="fine")), "status: Input should be"),
    (lambda path: path.write_text('{"a": ' + "9" * 5000 + "}"), "not a readable record (not valid JSON"),
    (lambda path: path.write_text("[" * 100_000), "not a readable record (not valid JSON"),
    (lambda path: path.write_text('{"status": "\\ud800"}'), "the whole: Invalid JSON"),
    (lambda path: edit(path, lambda content: content.update(schema="1")), "schema: Input should be a valid"),
    (lambda path: edit(path, lambda content: content.update(schema=1.0)), "schema: Input should be a valid"),
    (lambda path: edit(path, lambda content: content.update(schema=True)), "schema: Input should be a valid"),
    (lambda path: edit(path, lambda content: content.update(schema=0)), "has record schema 0"),
    (change_score(pck=float("nan")), "scores.0.pck: Input should be a finite number"),
    (change_score(high=float("inf")), "scores.0.high: Input should be a finite number"),
    (change_score(alpha=float("inf")), "scores.0.alpha: Input should be a finite number"),
    (change_score(alpha=-0.1), "scores.0.alpha: Input should be greater than 0"),
    (change_score(pck="50"), "scores.0.pck: Input should be a valid number"),
    (change_score(pairs=-1), "scores.0.pairs: Input should be greater than or equal to 0"),
    (change_score(pairs=7), "contradicts itself: score of argmax, sd4match, @0.05, all: 7 pairs"),
    (change_score(pck=101.0), "contradicts itself: score of argmax, sd4match, @0.05, all: a percentage"),
    (change_score(low=9.0, high=8.0), "contradicts itself: score of argmax, sd4match, @0.05, all: the inter"),
    (
        change_score(low=None, high=9.0),
        "contradicts itself: score of argmax, sd4match, @0.05, all: an interval has",
    ),
    (
        change_score(images=0),
        "contradicts itself: score of argmax, sd4match, @0.05, all: 0 images in 6 pairs",
    ),
    (
        change_score(images=13),
        "contradicts itself: score of argmax, sd4match, @0.05, all: 13 images in 6 pairs",
    ),
    (change_score(localizer="mine"), "contradicts itself: score of mine, sd4match, @0.05, all: the record"),
    (
        lambda path: edit(path, lambda content: content["scores"].append(content["scores"][0])),
        "contradicts itself: score of argmax, sd4match, @0.05, all: is there twice",
    ),
    (lambda path: edit(path, lambda content: content.update(localizers={})), "contradicts itself: score of"),
    (
        lambda path: edit(path, lambda content: content["localizers"]["argmax"].update(failed=1)),
        "contradicts itself: status is ok, and pairs failed",
    ),
    (
        lambda path: edit(path, lambda content: content["counts"].update(pairs=5)),
        "contradicts itself: localizer argmax: 6 pairs with predictions",
    ),
    (lambda path: edit(path, lambda content: content.update(counts=None)), "contradicts itself: there are"),
    (
        lambda path: edit(path, lambda content: content.update(status="failed")),
        "contradicts itself: status is failed, and there are scores",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_damaged_record_is_one_line_and_hides_no_other(bench, results, damage, message):
    path = cell_of(results, "hog") / RECORD
    damage(path)
    done = bench("leaderboard", results)
    assert done.status == 1
    assert f"{path}: {message}" in done.complaint
    assert "remove this file and run the cell again" in done.complaint
    assert "position" in done.out
    assert "hog" not in done.out


def test_a_copy_of_a_cell_is_named_and_takes_no_method_out_of_the_ranking(bench, results):
    whole = bench("leaderboard", results, "--no-places")
    hog = cell_of(results, "hog")
    copytree(hog, results / "backup")
    done = bench("leaderboard", results, "--no-places")
    assert (done.status, done.out) == (1, whole.out)
    path = results / "backup" / RECORD
    assert done.complaint.startswith(f"bench: {path}: is the record of cell '{hog.name}' and not of its f")


@pytest.mark.parametrize("name", ["../mine/{}", "{}/../{}", "/{}", "{}\\0", "other", ""])
def test_nothing_is_written_into_a_folder_that_a_record_names(bench, results, tmp_path, name):
    photos = make_photos(tmp_path / "photos", images=3)
    mine = copytree(results, tmp_path / "mine")
    path = cell_of(results, "hog") / RECORD
    claimed = name.replace("{}", cell_of(mine, "position").name)
    edit(path, lambda content: content["cell"].update(id=claimed, label="theirs"))
    before = {file: file.read_bytes() for file in (*mine.rglob("*.*"), path) if file.is_file()}
    done = bench("rescore", results, "--datasets", f"folder={photos}")
    assert done.status == 1
    assert f"{path}: is the record of cell {claimed!r}" in done.complaint
    assert "position" in done.out
    assert {file: file.read_bytes() for file in before} == before
    compared = bench("compare", results, mine, "--datasets", f"folder={photos}")
    assert compared.status == 1
    assert f"{path}: is the record of cell" in compared.err


def test_a_cell_is_read_from_its_own_folder(bench, results, tmp_path, monkeypatch):
    photos = make_photos(tmp_path / "photos", images=3)
    monkeypatch.chdir(cell_of(results, "hog"))
    protocols = ("--protocols", "sd4match,original", "--datasets", f"folder={photos}")
    assert bench("compare", ".", *protocols).status == 0


def test_a_damaged_record_fails_its_cell_and_says_so(bench, results, tmp_path):
    photos = make_photos(tmp_path / "photos", images=3)
    path = cell_of(results, "hog") / RECORD
    path.write_text("{")
    # The same cells as in the folder: the label of a dataset is the list's own name, and its content is the
    # same.
    run = (
        "run",
        "--methods",
        "position,hog",
        "--localizers",
        "argmax",
        "--datasets",
        f"folder={photos}",
        "--out",
        results,
    )
    done = bench(*run)
    assert done.status == 1
    assert f"failed: {path}: not a readable record" in done.err
    path.unlink()
    assert bench(*run).status == 0
    assert len(list(results.glob("*/"))) == 2


def test_an_old_temporary_file_is_no_record(bench, results):
    cell = cell_of(results, "hog")
    (cell / ".record.json.x.tmp").write_text("{")
    (results / "empty-folder").mkdir()
    (results / "note.txt").write_text("mine")
    done = bench("leaderboard", results)
    assert (done.status, done.warnings) == (0, [])


def test_coverage_of_a_localizer(finished):
    record = read_record(cell_of(finished, "hog") / RECORD)
    counts, info = record.counts, record.localizers["argmax"]

    def coverage(pairs, failed=0, excluded=0):
        changed = {"argmax": info.model_copy(update={"pairs": pairs, "failed": failed})}
        return record.model_copy(
            update={
                "localizers": changed,
                "counts": counts.model_copy(update={"pairs": 6, "excluded": excluded}),
            }
        ).coverage("argmax")

    assert coverage(6) == coverage(5, excluded=1) == "ok"
    assert coverage(5, failed=1) == coverage(4, failed=1, excluded=1) == "partial"
    assert coverage(5) == coverage(3, failed=1) == "limited"
    assert coverage(0, failed=6) == record.coverage("soft-argmax") == "failed"


def a_table(*keys: str, x: float = 1.0, localizer: str = "argmax") -> pa.Table:
    count = len(keys)
    rows = {"pair_id": keys, "keypoint_id": ["0"] * count, "localizer": [localizer] * count}
    return prediction_table(
        {**rows, "x": [x] * count, "y": [2.0] * count, "score": [0.5] * count}, {localizer: "as made"}
    )


def test_predictions_that_are_written_are_read_back(tmp_path):
    table = a_table("b", "a")
    write_table(tmp_path / PREDICTIONS, table)
    assert read_predictions(tmp_path / PREDICTIONS).equals(table, check_metadata=True)
    assert table["pair_id"].to_pylist() == ["a", "b"]


def test_bytes_follow_from_the_rows_alone(tmp_path):
    for name, keys in (("one", "abc"), ("two", "cab")):
        write_table(tmp_path / name, a_table(*keys))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_merged_tables_have_each_key_once_and_the_first_wins():
    merged = merge_tables(
        [a_table("b", x=1.0), a_table("a", "b", x=2.0), a_table("b", x=3.0, localizer="soft")]
    )
    found = list(zip(*(merged[name].to_pylist() for name in ("pair_id", "localizer", "x")), strict=True))
    assert found == [("a", "argmax", 2.0), ("b", "argmax", 1.0), ("b", "soft", 3.0)]


def test_predictions_of_a_changed_localizer_are_not_read(tmp_path):
    path = tmp_path / PREDICTIONS
    write_table(path, merge_tables([a_table("a"), a_table("a", localizer="soft")]))
    assert set(read_predictions(path, {"argmax": "as made"})["localizer"].to_pylist()) == {"argmax", "soft"}
    assert set(read_predictions(path, {"argmax": "otherwise"})["localizer"].to_pylist()) == {"soft"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PAR1 no parquet PAR1"),
        lambda path: pq.write_table(pa.table({"x": [1.0]}), path),
        lambda path: pq.write_table(pq.read_table(path).replace_schema_metadata(None), path),
        lambda path: pq.write_table(pq.read_table(path).drop_columns(["score"]), path),
        lambda path: pq.write_table(pq.read_table(path).replace_schema_metadata({"localizers": "{"}), path),
        lambda path: pq.write_table(pq.read_table(path).replace_schema_metadata({"localizers": "[]"}), path),
        lambda path: rewrite_column(path, "x", lambda values: [str(value) for value in values], pa.string()),
        lambda path: rewrite_column(path, "x", lambda values: values, pa.float32()),
        lambda path: rewrite_column(path, "y", lambda values: [None, *values[1:]], pa.float64()),
        lambda path: rewrite_column(
            path, "pair_id", lambda values: [b"\xff" + values[0].encode()] * len(values)
        ),
        lambda path: rewrite_column(path, "localizer", lambda values: ["mine"] * len(values), pa.string()),
    ],
)
def test_damaged_predictions_are_one_line(tmp_path, damage):
    path = tmp_path / PREDICTIONS
    write_table(path, a_table("b", "a"))
    damage(path)
    with pytest.raises(UserError) as told:
        read_predictions(path)
    assert str(told.value).startswith(f"{path}: not readable as predictions (")
    assert "\n" not in str(told.value)


def rewrite_column(path: Path, name: str, change, kind=None) -> None:
    """Gives a column other values, and takes the file's seal away: files of earlier versions have none."""
    table = pq.read_table(path)
    values = change(table[name].to_pylist())
    # Bytes that call themselves text.
    column = pa.array(values, kind) if kind else pa.array(values, pa.binary()).view(pa.string())
    metadata = {b"localizers": table.schema.metadata[b"localizers"]}
    table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("x", lambda values: [float("nan"), *values[1:]], "pair 'a': a prediction is not finite"),
        ("y", lambda values: [1e308, *values[1:]], "pair 'a': a prediction is not finite, or far beyond"),
        ("score", lambda values: [float("-inf"), *values[1:]], "pair 'a': a prediction is not finite"),
        ("pair_id", lambda values: ["a"] * len(values), "pair 'a': a keypoint is there twice"),
    ],
)
def test_rows_that_no_run_writes_are_told(tmp_path, column, change, message):
    path = tmp_path / PREDICTIONS
    write_table(path, a_table("b", "a"))
    rewrite_column(path, column, change, pa.string() if column == "pair_id" else pa.float64())
    with pytest.raises(UserError) as told:
        read_predictions(path)
    assert message in str(told.value)


def test_a_file_without_rows_is_told(tmp_path):
    path = tmp_path / PREDICTIONS
    write_table(path, a_table())
    with pytest.raises(UserError) as told:
        read_predictions(path)
    assert str(told.value) == f"{path}: has no predictions; remove the file and run the cell again"


def test_every_flipped_bit_of_predictions_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / PREDICTIONS
    table = a_table("b", "a")
    sha256 = write_table(path, table)
    content = path.read_bytes()
    for position in range(0, 8 * len(content), 7):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is not the file that the record beside it was made from"):
            read_predictions(path, sha256=sha256)
        # A run that goes on looks at the content, since a killed one may have written it after its record.
        try:
            rows = read_to_resume(path, {}, sha256)
        except UserError:
            continue
        assert rows.table.equals(table)
        assert not rows.unsound


def test_predictions_of_another_cell_are_told(tmp_path):
    theirs, mine = tmp_path / "theirs" / PREDICTIONS, tmp_path / "mine" / PREDICTIONS
    write_table(theirs, a_table("a"))
    mine.parent.mkdir()
    mine.write_bytes(theirs.read_bytes())
    for read in (read_predictions, lambda path: read_to_resume(path, {})):
        with pytest.raises(UserError) as told:
            read(mine)
        assert str(told.value) == f"{mine}: has the predictions of cell 'theirs'; run the cell again"


def test_predictions_of_earlier_versions_are_read(tmp_path):
    path = tmp_path / PREDICTIONS
    write_table(path, a_table("b", "a"))
    rewrite_column(path, "score", lambda values: values, pa.float64())
    assert read_predictions(path).num_rows == 2
    # The record of this version has a hash, which is that of another file then.
    with pytest.raises(UserError, match="is not the file that the record beside it was made from"):
        read_to_resume(path, {}, "0" * 64)


def test_a_folder_with_characters_that_mean_something_elsewhere(bench, tmp_path):
    photos = make_photos(tmp_path / "my [photos] *?", images=3)
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "out [1] *")
    assert bench(*run).status == 0
    assert bench(*run).status == 0
    assert the_record(tmp_path / "out [1] *")["status"] == "ok"
