"""`--categories`: pairs of a few categories are a cell of their own, which no table takes for the whole."""

from __future__ import annotations

import numpy as np
import pytest
from support.made_up_records import a_record
from support.photos import photo_list, write_list
from support.results import predictions, strip_truth, the_record
from support.views import table_of

import harness
from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.plugins.spec_checks import check_fields
from harness.records.predictions import read_predictions
from harness.specs import DatasetSpec, MakeContext
from harness.tables.leaderboard import leaderboard

NAMES = ("cat", "dog", "a, b")


@pytest.fixture
def run(bench, photos, tmp_path):
    """`bench run` of photos of three categories, four pairs each."""
    content = photo_list()
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = NAMES[number % 3]
    write_list(photos, content)

    def go(*arguments, out="r"):
        return bench(
            "run", "--methods", "position", "--datasets", f"folder={photos}", "-o", tmp_path / out, *arguments
        )

    return go


def points(folder):
    rows = read_predictions(next(folder.glob("*/predictions.parquet"))).to_pylist()
    return {(row["pair_id"], row["keypoint_id"]): (row["x"], row["y"]) for row in rows}


def test_the_cell_is_another_and_its_points_are_those_of_the_whole(run, tmp_path):
    assert run("--categories", "dog,cat").status == 0
    record = the_record(tmp_path / "r")
    assert record["cell"]["split"] == "test[cat,dog]"
    counts = record["counts"]
    assert (counts["pairs"], counts["official"], counts["categories"]) == (8, None, 2)
    files = predictions(tmp_path / "r")
    again = run("--categories", " cat , dog,cat,")
    assert again.status == 0
    assert predictions(tmp_path / "r") == files
    assert "folder:photos/test[cat,dog]: only pairs of cat and dog" in again.out
    assert run(out="whole").status == 0
    some, whole = points(tmp_path / "r"), points(tmp_path / "whole")
    assert (len(some), len(whole)) == (40, 60)
    assert some.items() <= whole.items()


def test_two_ways_to_write_a_name_are_one_cell(run, photos, tmp_path):
    content = photo_list()
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = ('say "hi"', " dog")[number % 2]
    write_list(photos, content)
    path = tmp_path / "sweep.toml"
    path.write_text("categories = ['say \"hi\"']")
    for choice in (("--categories", 'say "hi"'), ("--categories", "say hi"), ("--config", path)):
        assert run(*choice).status == 0
    assert the_record(tmp_path / "r")["cell"]["split"] == 'test["say ""hi"""]'


def test_shards_limits_and_reruns_are_of_the_chosen_pairs(run, bench, tmp_path):
    choice = ("--categories", '"a, b",cat')
    assert run(*choice, "--limit", 2).status == 0
    assert the_record(tmp_path / "r")["cell"]["split"] == 'test["a, b",cat]'
    assert run(*choice).status == 0
    assert the_record(tmp_path / "r")["localizers"]["bilinear"]["pairs"] == 8
    for number in (1, 2):
        assert run(*choice, "--shard", f"{number}/2", out=f"part-{number}").status == 0
    merged = bench("merge", tmp_path / "part-1", tmp_path / "part-2", "-o", tmp_path / "both")
    assert merged.status == 0, merged.err
    assert predictions(tmp_path / "both") == predictions(tmp_path / "r")


def test_scoring_anew_reads_the_chosen_pairs(run, bench, photos, tmp_path):
    assert run("--categories", "cat").status == 0
    strip_truth(tmp_path / "r")
    done = bench("rescore", tmp_path / "r", "--alphas", "0.2", "--datasets", f"folder={photos}")
    assert (done.status, "folder:photos/test[cat] @0.20" in done.out) == (0, True), done.err


def test_tables_of_the_folder_take_names_with_commas(run, bench, tmp_path):
    assert run("--categories", '"a, b",cat').status == 0
    assert run().status == 0
    whole = bench("leaderboard", tmp_path / "r", "--datasets", "folder:photos/test")
    assert "only pairs of" not in whole.out
    chosen = bench("leaderboard", tmp_path / "r", "--datasets", '"folder:photos/test[a, b,cat]"')
    assert "only pairs of a, b and cat" in chosen.out
    assert "folder:photos @" not in chosen.out
    categories = bench("leaderboard", tmp_path / "r", "--table", "per-category")
    assert 'folder:photos/test["a, b",cat]; a column a category' in categories.out


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cow", "unknown category 'cow'; it has \"a, b\", cat, dog"),
        ("CAT", "unknown category 'CAT'; it has \"a, b\", cat, dog; did you mean cat?"),
        ("", "Invalid value for '--categories': is empty"),
        (" ,", "Invalid value for '--categories': is empty"),
        ("cat]", "unknown category 'cat]'; "),
    ],
)
def test_a_wrong_category_is_told_before_anything_else(run, tmp_path, value, message):
    for more in ((), ("--dry-run",), ("--methods", "dift", "--weights", "paper")):
        done = run("--categories", value, "--weights-root", tmp_path, *more)
        assert (done.status, done.out) == (2, "")
        assert message in done.complaint
    assert not (tmp_path / "r").exists()


def test_a_list_without_categories_says_so(bench, photos, tmp_path):
    content = photo_list()
    for pair in content["pairs"]:
        del pair["category"]
    write_list(photos, content)
    go = ("run", "--methods", "position", "--datasets", f"folder={photos}", "-o", tmp_path / "r")
    done = bench(*go, "--categories", "cat")
    assert done.complaint.endswith("test: unknown category 'cat'; all of its pairs are of object")


def test_the_name_of_a_chosen_split_is_no_split(run):
    done = run("--split", "test[cat]")
    assert (done.status, done.out) == (2, "")
    assert done.complaint.endswith(
        "has no split 'test[cat]'; it has test; categories are chosen by --categories"
    )


def test_files_of_options_and_python_take_a_list(run, photos, tmp_path):
    (tmp_path / "sweep.toml").write_text('categories = ["a, b", "cat"]')
    assert run("--config", tmp_path / "sweep.toml").status == 0
    choice = {"datasets": f"folder={photos}", "categories": ["cat", "a, b"], "progress": False}
    frame = harness.run("position", out=tmp_path / "r", **choice)
    assert the_record(tmp_path / "r")["cell"]["split"] == 'test["a, b",cat]'
    assert 'folder:photos/test["a, b",cat] @0.10' in frame.columns
    with pytest.raises(UserError, match="unknown category 'cow'"):
        harness.run("position", out=tmp_path / "r", **{**choice, "categories": "cow"})
    options = {"name": "flat", "limit": 1, "out": tmp_path / "e"}
    made = harness.evaluate(lambda image: np.zeros((3, 4, 4)), **options, **choice)
    assert 'folder:photos/test["a, b",cat] @0.10' in made.columns
    with pytest.raises(UserError, match="categories: is empty"):
        harness.run("position", out=tmp_path / "r", **{**choice, "categories": []})


def test_no_split_of_a_dataset_has_a_bracket_in_its_name():
    spec = DatasetSpec(name="birds", open=lambda folder, split: [], splits=("test", "test[hard]"))
    with pytest.raises(UserError, match=r"splits is .*expected a tuple of one text or more without '\['"):
        check_fields("dataset", spec)


def of(method, pck, split):
    identity = f"{method}{split}".encode().hex()[-12:]
    record = a_record(method, pck, identity=identity)
    return record.model_copy(update={"cell": record.cell.model_copy(update={"split": split})})


def ranks(records):
    table = table_of(leaderboard, records)
    fields = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    return {row["method"]: (row["#"], row["note"]) for row in fields}


def test_rows_are_ranked_on_whole_splits_where_there_are_some():
    records = [of("a", 60, "test"), of("b", 50, "test"), of("b", 90, "test[cat]"), of("c", 95, "test[cat]")]
    only = "birds/test[cat]: only pairs of cat"
    assert ranks(records) == {
        "a": ("1", ""),
        "b": ("2", only),
        "c": ("", f"{only}; birds/test[cat]: rows are ranked on whole splits"),
    }


def test_rows_of_chosen_categories_alone_are_ranked():
    only = "birds/test[cat]: only pairs of cat"
    assert ranks([of("b", 50, "test[cat]"), of("c", 55, "test[cat]")]) == {"c": ("1", only), "b": ("2", only)}
    several = [of(method, 50, f"test[{name}]") for method in "ab" for name in ("cat", "dog")]
    limited = a_record("d", 70, stored=5, identity="d" * 12)
    limited = limited.model_copy(update={"cell": limited.cell.model_copy(update={"split": "test[cow]"})})
    notes = {name: note for name, (_, note) in ranks([*several, of("c", 9, "test[cat]"), limited]).items()}
    assert notes["c"] == f"{only}; no birds/test[dog]"


def test_parameters_chosen_on_the_split_are_chosen_on_its_pairs():
    record = of("a", 60, "test[cat]")
    cell = record.cell.model_copy(update={"tuned_on": ("birds/test",)})
    (_, note), *_ = ranks([record.model_copy(update={"cell": cell})]).values()
    assert "birds: parameters were chosen on this test split" in note


def test_a_wrong_category_is_that_of_the_whole_split():
    spec = load_plugins().prompts["wrong-category"]
    whole = spec.make(MakeContext(categories=("boat", "cat", "dog")))
    some = spec.make(MakeContext(categories=("boat", "dog"), all_categories=("boat", "cat", "dog")))
    assert some("boat", ()) == whole("boat", ()) == "a photo of a cat"


def test_notes_of_a_limited_run_name_the_chosen_pairs(bench, tmp_path):
    options = ("--methods", "position", "--categories", "cat,house", "--limit", 4, "--out", tmp_path)
    told = bench("run", *options)
    assert "shapes/test[cat,house]: limited to 4 of 120 pairs" in told.out
    assert "(shapes/test[cat,house]: box)" in told.out
