"""Shards of a sweep, each in a folder of its own: merged they are what one run gives, or they are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.extractors import small_map
from support.photos import draw, make_photos
from support.results import put_record

from harness.cli import status
from harness.errors import NotWritten
from harness.housekeeping import merge
from harness.plugins.loading import load_plugins
from harness.records.folders import RECORD
from harness.records.predictions import PREDICTIONS, read_predictions
from harness.scoring.sources import Sources


def sweep(photos: Path, out: Path, *options: object) -> list[str]:
    """The command of a run; later options take the place of these."""
    run = ["run", "--methods", "position,hog", "--localizers", "argmax,bilinear"]
    return [*run, "--datasets", f"folder={photos}", "--out", str(out), *map(str, options)]


def run_shards(photos: Path, home: Path, count: int, *options: object) -> list[Path]:
    """Runs every shard into a folder of its own, `1`, `2`, ..."""
    folders = [home / str(number) for number in range(1, count + 1)]
    for folder in folders:
        assert status(sweep(photos, folder, "--shard", f"{folder.name}/{count}", *options)) in (0, 1)
    return folders


def contents(results: Path) -> dict[str, tuple[bytes, str]]:
    """Cell -> its predictions, and its record without what says where and when it was made, as texts."""
    cells = {}
    for path in sorted(results.glob(f"*/{RECORD}")):
        record = json.loads(path.read_text())
        del record["provenance"], record["sealed"]
        if record["error"]:
            del record["error"]["traceback"]
        predictions = path.parent / PREDICTIONS
        content = predictions.read_bytes() if predictions.exists() else b""
        cells[path.parent.name] = (content, json.dumps(record, indent=1))
    return cells


@pytest.fixture(scope="session")
def run_in_shards(tmp_path_factory) -> Path:
    """`photos`, `whole` results of two methods on their twelve pairs, and those of three shards."""
    home = tmp_path_factory.mktemp("shards")
    photos = make_photos(home / "photos")
    assert status(sweep(photos, home / "whole")) == 0
    run_shards(photos, home, 3)
    return home


@pytest.fixture
def home(run_in_shards, tmp_path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(run_in_shards, tmp_path / "home")
    return tmp_path / "home"


def cell_in(results: Path, method: str = "hog") -> Path:
    (folder,) = results.glob(f"*-{method}.*")
    return folder


def change_record(results: Path, change, method: str = "hog") -> None:
    path = cell_in(results, method) / RECORD
    record = json.loads(path.read_text())
    change(record)
    put_record(path, record)


def test_all_shards_give_what_one_run_gives(bench, home):
    done = bench("merge", home / "3", home / "1", home / "2", "-o", home / "m")
    assert done.status == 0, done.err
    assert done.out.count("12 of 12 pairs, merged from") == 2
    assert contents(home / "m") == contents(home / "whole")
    assert "limited" not in bench("leaderboard", home / "m").out


FEW = ("--methods", "position", "--localizers", "argmax")
"""One method, where it does not matter which."""


@pytest.mark.parametrize(("count", "limit"), [(2, 7), (5, 3)])
def test_limited_runs_are_cut_as_well(bench, home, count, limit):
    photos, parts = home / "photos", home / "parts"
    bench(*sweep(photos, home / "limited", *FEW, "--limit", limit))
    folders = run_shards(photos, parts, count, *FEW, "--limit", limit)
    done = bench("merge", *folders, "-o", home / "m")
    assert done.status == 0, done.err
    assert contents(home / "m") == contents(home / "limited")


def test_a_row_says_which_shard_it_is_of(bench, home):
    table = bench("leaderboard", home / "2").out
    assert table.count("photos: limited to shard 2/3: 4 of 12 pairs") == 4
    assert "No places" in table
    record = json.loads((cell_in(home / "2") / RECORD).read_text())
    assert record["counts"]["shard"] == "2/3"
    assert {tuple(info["shards"]) for info in record["localizers"].values()} == {("2/3",)}


def test_a_shard_is_completed_by_the_others_in_its_folder(bench, home):
    photos, out = home / "photos", home / "1"
    done = bench(*sweep(photos, out, "--shard", "3/3"))
    assert "limited to shards 1/3 and 3/3: 8 of 12 pairs" in done.out
    assert "found" not in done.err, "nothing of this shard"
    done = bench(*sweep(photos, out, "--shard", "2/3"))
    assert "limited" not in done.out
    assert contents(out) == contents(home / "whole")


def test_a_shard_is_completed_by_a_run_of_all_pairs(bench, home):
    done = bench(*sweep(home / "photos", home / "2"))
    assert "found 4 of 12 pairs" in done.err
    assert contents(home / "2") == contents(home / "whole")


def test_missing_shards_are_named(bench, home):
    done = bench("merge", home / "2", "-o", home / "m")
    assert done.status == 1
    cells = [cell_in(home / "2", method).name for method in ("hog", "position")]
    advice = "shards 1/3 and 3/3 are missing; run what is missing, or give --allow-gaps"
    assert done.warnings == [f"bench: {cell}: {advice}" for cell in cells]
    assert not (home / "m").exists()


def test_gaps_are_allowed_and_filled_later(bench, home):
    for number in (1, 3):
        arguments = ("merge", home / str(number), "-o", home / f"m{number}", "--allow-gaps")
        assert bench(*arguments).status == 0
    done = bench("merge", home / "m1", home / "m3", "-o", home / "m", "--allow-gaps")
    assert done.status == 0
    assert "shard 2/3 is missing; run what is missing" in done.err
    assert "limited to shards 1/3 and 3/3: 8 of 12 pairs" in bench("leaderboard", home / "m").out
    done = bench("merge", home / "2", "-o", home / "m")
    assert done.status == 0
    assert contents(home / "m") == contents(home / "whole")
    # What is there is not complained of when other cells are merged.
    (home / "other").mkdir()
    shutil.copytree(cell_in(home / "whole"), home / "other" / cell_in(home / "whole").name)
    assert bench("merge", home / "other", "-o", home / "m1").status == 0


def test_a_localizer_that_some_shards_lack_is_a_gap(bench, home):
    photos = home / "photos"
    run = sweep(photos, home / "4", *FEW, "--shard", "2/3")
    assert bench(*run).status == 0
    done = bench("merge", home / "1", home / "3", home / "4", "-o", home / "m")
    assert done.status == 1
    assert "shard 2/3 by bilinear is missing" in done.err


@pytest.mark.parametrize(
    ("options", "difference"),
    [(("--precision", "bf16"), "precision (fp32 and bf16)"), (("--seeds", "1"), "")],
)
def test_shards_of_another_version_are_refused(bench, home, options, difference):
    shutil.rmtree(home / "3")
    assert bench(*sweep(home / "photos", home / "3", *FEW, "--shard", "3/3", *options)).status == 0
    for extra in ((), ("--allow-gaps",)):
        done = bench("merge", *(home / str(number) for number in (1, 2, 3)), "-o", home / "m", *extra)
        if not difference:
            # Another seed is another experiment.
            assert "made with other" not in done.err
            continue
        assert done.status == 1
        other = cell_in(home / "3", "position")
        assert f"shard 3/3 is there as {other}, made with other {difference}; run all shards" in done.err
        assert f"shard 1/3 is there as {cell_in(home / '1', 'position')}" in done.err
        assert not list((home / "m").glob("*-position.*"))


def test_shards_of_other_data_are_refused(bench, home):
    shutil.rmtree(home / "3")
    draw(home / "photos" / "photo1.png", seed=77)
    assert bench(*sweep(home / "photos", home / "3", *FEW, "--shard", "3/3")).status == 0
    done = bench("merge", *(home / str(number) for number in (1, 2, 3)), "-o", home / "m")
    assert done.status == 1
    assert "made with other data (manifest)" in done.err


def test_shards_of_other_packages_are_refused(bench, home):
    change_record(home / "2", lambda record: record["provenance"]["versions"].update(torch="9.9", scipy="9"))
    arguments = ("merge", home / "1", home / "2", home / "3", "-o", home / "m")
    done = bench(*arguments)
    assert done.status == 1
    assert f"{home / '1'} and {home / '2'} were run with other versions of scipy (" in done.complaint
    assert "torch (" in done.complaint and "give --allow-mixed-versions" in done.complaint
    assert len(list((home / "m").iterdir())) == 1, "the other cell is merged all the same"
    assert bench(*arguments, "--allow-mixed-versions").status == 0
    assert contents(home / "m") == contents(home / "whole")
    # What was allowed once is there.
    assert bench(*arguments).status == 0


def test_other_cuts_do_not_add_up(bench, home):
    halves = home / "halves"
    assert bench(*sweep(home / "photos", halves, *FEW, "--shard", "1/2")).status == 0
    done = bench("merge", halves, home / "3", "-o", home / "m")
    assert done.status == 1
    assert "its shards are of different cuts (1/2 and 3/3), and 4 pairs of 12 are in none of them" in done.err
    # With the rest of the pairs they do.
    assert bench(*sweep(home / "photos", home / "rest", *FEW, "--shard", "2/2")).status == 0
    done = bench("merge", halves, home / "rest", home / "3", "-o", home / "m", "--allow-gaps")
    assert "argmax" not in done.err, "only the other localizer of one shard has a gap"


def test_other_limits_do_not_add_up(bench, home):
    shutil.rmtree(home / "3")
    assert bench(*sweep(home / "photos", home / "3", *FEW, "--shard", "3/3", "--limit", "8")).status == 0
    done = bench("merge", home / "1", home / "2", home / "3", "-o", home / "m")
    assert done.status == 1
    assert "its shards are of runs with different --limit (8 and none)" in done.err


def test_pairs_that_went_missing_are_counted(bench, home):
    """The names of all shards are there, and not all of their pairs."""
    change_record(
        home / "2",
        lambda record: [info.update(shards=["1/3", "2/3"]) for info in record["localizers"].values()],
    )
    done = bench("merge", home / "2", home / "3", "-o", home / "m")
    assert done.status == 1
    assert "4 pairs of 12 are in no part, though every shard is there; run them again" in done.err


def test_failed_pairs_are_those_of_one_run(bench, home):
    """Of five shards some have failed pairs, and one nothing else."""
    photos = home / "photos"
    (photos / "photo2.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert bench(*sweep(photos, home / "one", *FEW)).status == 1
    folders = run_shards(photos, home / "parts", 5, *FEW)
    statuses = {
        json.loads((cell_in(folder, "position") / RECORD).read_text())["status"] for folder in folders
    }
    assert statuses == {"ok", "failed"} or statuses == {"ok", "failed", "partial"}
    done = bench("merge", *folders, "-o", home / "m")
    assert done.status == 0, done.err
    assert "left out" not in done.err
    assert contents(home / "m") == contents(home / "one")
    done = bench("merge", *folders[:-1], "-o", home / "n")
    assert "shard 5/5 is missing" in done.err


def test_a_cell_without_a_prediction_is_put_together(bench, home):
    photos = home / "photos"
    for number in range(4):
        (photos / f"photo{number}.png").write_bytes(b"broken")
    folders = run_shards(photos, home / "parts", 3, *FEW)
    assert bench("merge", *folders[:2], "-o", home / "m").status == 1
    assert not (home / "m").exists()
    for _ in range(2):
        assert bench("merge", *folders, "-o", home / "m").status == 0
        record = json.loads((cell_in(home / "m", "position") / RECORD).read_text())
        assert record["error"]["message"].startswith("all 12 pairs failed; the first: ")
        assert len(record["failures"]) == 12


def test_empty_shards_are_no_failures(bench, home):
    done = bench(*sweep(home / "photos", home / "e", *FEW, "--limit", "2", "--shard", "3/3"))
    assert done.status == 0
    assert "not-applicable: shard 3/3 is empty: there are fewer pairs than shards" in done.out
    assert bench("leaderboard", home / "e").status == 0
    done = bench("merge", home / "e", "-o", home / "m")
    assert "shards 1/3 and 2/3 are missing" in done.err
    # The same folder goes on with other shards.
    for shard in ("1/3", "3/3", "2/3"):
        assert bench(*sweep(home / "photos", home / "e", *FEW, "--limit", "2", "--shard", shard)).status == 0
    bench(*sweep(home / "photos", home / "two", *FEW, "--limit", "2"))
    assert contents(home / "e") == contents(home / "two")


def test_a_shard_that_failed_as_a_whole_is_named(bench, with_extractor, home):
    photos = home / "photos"

    def run(number, extract=None):
        with_extractor(extract)
        run = sweep(photos, home / f"w{number}", "--shard", f"{number}/2", "--methods", "mine")
        return bench(*run).status

    assert run(1) == 0
    assert run(2) == 0

    def fail(record):
        for name in ("scores", "failures"):
            record[name] = []
        record.update(localizers={}, status="failed", predictions_sha256="", provenance=None)
        record["error"] = {"type": "MemoryError", "message": "no room for weights", "traceback": ""}

    change_record(home / "w2", fail, "mine")
    (cell_in(home / "w2", "mine") / PREDICTIONS).unlink()
    done = bench("merge", home / "w1", home / "w2", "-o", home / "m")
    assert done.status == 1
    reason = f"shard 2/2 is missing (2/2 failed in {home / 'w2'}: no room for weights); run what is missing"
    assert reason in done.err


def test_shards_of_other_batch_sizes_are_one_cell_to_rounding(bench, with_extractor, home):
    def extract(requests):
        # Sums of a batch are rounded in another way in each size.
        maps = [small_map(request) for request in requests]
        return [replace(each, data=each.data * (1 + 1e-6 * len(requests))) for each in maps]

    with_extractor(extract)
    run = sweep(home / "photos", home / "one", "--methods", "mine", "--localizers", "kernel-softmax")
    assert bench(*run, "--batch-size", "4").status == 0
    folders = [home / "batch4", home / "batch8"]
    for number, folder in enumerate(folders, start=1):
        size = folder.name.removeprefix("batch")
        assert bench(*run, "-o", folder, "--batch-size", size, "--shard", f"{number}/2").status == 0
    assert bench("merge", *folders, "-o", home / "m").status == 0
    ours, theirs = (read_predictions(cell_in(home / name, "mine") / PREDICTIONS) for name in ("m", "one"))
    assert ours["pair_id"].to_pylist() == theirs["pair_id"].to_pylist()
    for name in ("x", "y"):
        np.testing.assert_allclose(ours[name].to_numpy(), theirs[name].to_numpy(), atol=0.01)
    provenance = json.loads((cell_in(home / "m", "mine") / RECORD).read_text())["provenance"]
    assert {provenance["batch_size"], *(run["batch_size"] for run in provenance["earlier_runs"])} == {4, 8}


def test_two_merges_at_once_lose_nothing(bench, home, monkeypatch):
    """Another merge writes the same cell between the reading and the writing of this one."""
    host = load_plugins()
    score, others = merge.with_scores, [home / "3"]

    def merge_into(*folders):
        options = merge.MergeOptions(allow_gaps=True)
        return merge.merge_folders(host, folders, home / "m", Sources(host, home, ()), options)

    def score_slowly(*arguments):
        while others:
            merge_into(others.pop())
        return score(*arguments)

    monkeypatch.setattr(merge, "with_scores", score_slowly)
    merged = merge_into(home / "1", home / "2")
    assert not merged.problems
    assert contents(home / "m") == contents(home / "whole")


def test_a_full_disk_names_the_folder(bench, home, monkeypatch):
    def refuse(path, table, planned=None):
        raise NotWritten(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(merge, "write_table", refuse)
        done = bench("merge", *(home / str(number) for number in (1, 2, 3)), "-o", home / "m")
    assert done.status == 1
    assert f"{cell_in(home / 'm') / PREDICTIONS}: No space left on device" in done.err
    assert bench("merge", *(home / str(number) for number in (1, 2, 3)), "-o", home / "m").status == 0
    assert contents(home / "m") == contents(home / "whole")
