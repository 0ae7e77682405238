"""Cells that are interrupted, limited, widened, reordered or run twice."""

from __future__ import annotations

import signal
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.commands import command, plugin_environment
from support.extractors import small_map
from support.photos import make_photos
from support.results import predictions, the_record

from harness.records.folders import read_record
from harness.records.truth_columns import TRUTH_COLUMNS


def rows(path):
    with path.open("rb") as file:
        return pq.read_table(file).to_pandas()


def test_killed_at_any_instant_and_run_again(plugin_site, plugin_bench, tmp_path):
    """`kill -9` at several moments; the same command then ends with the bytes of an undisturbed run."""
    photos = make_photos(tmp_path / "photos", images=10)  # 90 pairs: three shards
    shared = (
        *("run", "--methods", "toy", "--prompts", "category", "--localizers", "argmax,toy-centre"),
        *("--datasets", f"folder={photos}", "--batch-size", 2, "--out"),
    )

    def ended(last_call):
        arguments = command(*shared, tmp_path / "killed")
        environment = plugin_environment(plugin_site, BENCH_TOY_LAST_CALL=str(last_call))
        return subprocess.run(arguments, env=environment, stdout=subprocess.DEVNULL, check=False).returncode

    def stored():
        return sum(
            len(set(rows(path)["pair_id"])) for path in (tmp_path / "killed").glob("*/shards/*.parquet")
        )

    assert plugin_bench(*shared, tmp_path / "whole").status == 0
    # In each of the three shards: the first kill falls before a shard is stored, the others after a shard
    # that was begun after the previous kill.
    for shards, within in enumerate(np.random.default_rng(5).integers(1, 27, size=3)):
        assert ended(32 * (shards > 0) + within) == -signal.SIGKILL
        # More only where work is so slow that it is stored more often.
        assert stored() >= 32 * shards, "what was stored was lost"
    left = 90 - stored()
    assert left > 0
    assert plugin_bench(*shared, tmp_path / "killed").status == 0
    assert predictions(tmp_path / "killed") == predictions(tmp_path / "whole")
    record = the_record(tmp_path / "killed")
    assert record["provenance"]["computed_pairs"] == left
    (cell,) = (tmp_path / "killed").glob("*/")
    assert sorted(path.name for path in cell.iterdir()) == ["predictions.parquet", "record.json"]


def test_limit_lifted_and_localizers_added_later(bench, photos, tmp_path):
    run = ("run", "--methods", "hog", "--datasets", f"folder={photos}", "--batch-size", 2)
    both = ("--localizers", "argmax,soft-argmax")
    assert bench(*run, *both, "--out", tmp_path / "whole").status == 0
    first = bench(*run, "--limit", 5, "--out", tmp_path / "steps")
    assert "limited to 5 of 12 pairs" in first.out
    assert bench(*run, "--limit", 7, *both, "--out", tmp_path / "steps").status == 0
    last = bench(*run, *both, "--out", tmp_path / "steps")
    assert "limited" not in last.out
    assert predictions(tmp_path / "steps") == predictions(tmp_path / "whole")
    assert the_record(tmp_path / "steps")["counts"]["limit"] is None


def test_order_of_methods_and_other_cells_do_not_matter(bench, photos, tmp_path):
    for out, methods in (("a", "hog,position"), ("b", "position,hog"), ("c", "hog")):
        assert (
            bench(
                "run", "--methods", methods, "--datasets", f"folder={photos}", "--out", tmp_path / out
            ).status
            == 0
        )
    a, b, c = (predictions(tmp_path / out) for out in "abc")
    assert a == b
    assert c.items() <= a.items()


def test_a_finished_cell_is_not_run_again(bench, photos, tmp_path, with_extractor):
    calls = []
    with_extractor(lambda requests: [calls.append(1) or small_map(r) for r in requests])
    run = ("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    first = bench(*run)
    made = len(calls)
    second = bench(*run)
    assert made and len(calls) == made
    assert second.out == first.out


def test_batch_size_changes_nothing_but_rounding(bench, photos, tmp_path):
    tables = []
    for size in (1, 3, 8):
        arguments = (
            "--methods",
            "hog",
            "--localizers",
            "argmax,soft-argmax",
            "--datasets",
            f"folder={photos}",
        )
        bench("run", *arguments, "--batch-size", size, "--out", tmp_path / str(size))
        (path,) = (tmp_path / str(size)).glob("*/predictions.parquet")
        tables.append(rows(path).set_index(["pair_id", "keypoint_id", "localizer"]))
    for other in tables[1:]:
        assert (other.index == tables[0].index).all()
        assert np.abs(other[["x", "y"]] - tables[0][["x", "y"]]).to_numpy().max() < 0.01


def test_predictions_are_sorted_and_have_the_promised_columns(bench, photos, tmp_path):
    bench(
        "run",
        "--methods",
        "hog",
        "--localizers",
        "soft-argmax,argmax",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "r",
    )
    (path,) = (tmp_path / "r").glob("*/predictions.parquet")
    table = rows(path)
    promised = ["pair_id", "keypoint_id", "localizer", "x", "y", "score"]
    assert list(table.columns) == [*promised, *TRUTH_COLUMNS]
    keys = list(table[["pair_id", "keypoint_id", "localizer"]].itertuples(index=False, name=None))
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys) == 12 * 5 * 2


def test_a_newer_failure_takes_the_place_of_an_older_one(bench, photos, tmp_path, with_extractor):
    run = ("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    for message in ("first", "second"):

        def fail(requests, message=message):
            raise ValueError(message)

        with_extractor(fail)
        assert bench(*run).status == 1
        assert message in the_record(tmp_path / "r")["error"]["message"]


def test_a_record_keeps_the_environments_of_all_its_runs(bench, photos, tmp_path):
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    for limit, batch_size in ((2, 1), (4, 1), (8, 2), (12, 3)):
        assert bench(*run, "--limit", limit, "--batch-size", batch_size).status == 0
    (path,) = (tmp_path / "r").glob("*/record.json")
    provenance = read_record(path).provenance
    assert provenance.batch_size == 3
    assert [(run.batch_size, run.runs, run.computed_pairs) for run in provenance.earlier_runs] == [
        (1, 2, 4),
        (2, 1, 4),
    ]
    assert provenance.is_mixed
    page = tmp_path / "page.html"
    assert bench("report", tmp_path / "r", "-o", page, "--datasets", f"folder={photos}").status == 0
    assert (
        "mixed: features of 8 pairs were computed by earlier runs in another environment" in page.read_text()
    )
    # A run that computes nothing changes nothing of it.
    assert bench(*run).status == 0
    assert read_record(path).provenance == provenance


@pytest.mark.parametrize(
    ("text", "alphas"),
    [
        ("0.30000000000000004,0.3,0.1", {0.1, 0.3}),
        ("0.1,0.1000001", {0.1, 0.1000001}),
        ("0.1,0.10000000001", {0.1}),
    ],
)
def test_an_alpha_is_there_once(bench, photos, tmp_path, text, alphas):
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert bench(*run, "--alphas", text).status == 0
    assert {score["alpha"] for score in the_record(tmp_path / "r")["scores"]} == alphas


@pytest.mark.parametrize("text", ["1e300", "nan", "-0.1", "1e6", "1e-7", "0"])
def test_an_alpha_that_is_no_share_of_a_picture_is_refused(bench, tmp_path, text):
    done = bench("run", "--methods", "position", "--alphas", text, "--out", tmp_path / "r")
    assert done.status == 2
    assert "--alphas" in done.complaint
