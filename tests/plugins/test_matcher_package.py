"""An installed plugin with matchers, `tests/packages/bench-pairs`, through all that there is for it."""

from __future__ import annotations

import importlib
import json
import subprocess

import pytest
from support.commands import command, plugin_environment

from harness.records.predictions import read_predictions
from harness.testing import check_plugin


@pytest.fixture
def pairs_bench(bench_with, pairs_site):
    """`bench ...` in this process with bench-pairs installed."""
    return bench_with(pairs_site)


def run(bench, out, *words):
    return bench("run", "--datasets", "shapes", "--limit", "4", "--out", out, *words)


def predictions(results):
    """Label and localizer -> rows of predictions, of all cells that were run."""
    found = {}
    for path in sorted(results.glob("*/predictions.parquet")):
        label = json.loads((path.parent / "record.json").read_text())["cell"]["label"]
        for row in read_predictions(path).to_pylist():
            found.setdefault((label, row["localizer"]), []).append(row)
    return found


def test_its_matchers_are_listed_and_shown(pairs_bench):
    listed = pairs_bench("list", "matchers").out
    assert "pairs-cosines" in listed
    assert "mean positions under softmax of the cosines" in listed
    card = pairs_bench("show", "pairs-motion").out
    assert "matcher pairs-motion: mean positions under softmax" in card
    assert "methods pairs-flow" in card
    method = pairs_bench("show", "pairs").out
    assert "pairs-cosines" in method
    assert "exponent of the cosines; odd" in method


def test_it_runs_with_a_swept_parameter_and_every_localizer_of_its_matches(pairs_bench, tmp_path):
    done = run(pairs_bench, tmp_path / "r", "--methods", "pairs", "--set", "power=1,3")
    assert done.status == 0, done
    swept = predictions(tmp_path / "r")
    assert set(swept) == {("pairs", "pairs-nearest"), ("pairs[power=3]", "pairs-nearest")}
    # A power that keeps the order keeps the best cell, and changes its score.
    rows = zip(*swept.values(), strict=True)
    assert all((row["x"], row["y"]) == (cubed["x"], cubed["y"]) for row, cubed in rows)
    assert any(row["score"] != cubed["score"] for row, cubed in zip(*swept.values(), strict=True))

    names = "pairs-nearest,argmax,kernel-softmax,boxes,flow"
    done = run(pairs_bench, tmp_path / "l", "--methods", "pairs,pairs-flow", "--localizers", names)
    assert done.status == 0, done
    assert set(predictions(tmp_path / "l")) == {
        *(("pairs", name) for name in ("pairs-nearest", "argmax", "kernel-softmax", "boxes")),
        *(("pairs-flow", name) for name in ("pairs-nearest", "flow")),
    }
    assert "localizer 'boxes' reads a volume, and the matcher of pairs-flow gives a flow" in done.out
    assert "localizer 'flow' reads a flow, and the matcher of pairs gives a volume" in done.out


def test_a_run_that_was_killed_goes_on_to_the_same_predictions(pairs_site, pairs_bench, tmp_path):
    # 32 pairs are stored at once: the first part is kept, the second was begun.
    words = ("run", "--datasets", "shapes", "--limit", "36", "--methods", "pairs")
    killed = subprocess.run(
        command(*words, "--out", tmp_path / "killed"),
        env=plugin_environment(pairs_site, BENCH_PAIRS_LAST_CALL="34"),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -9
    assert pairs_bench(*words, "--out", tmp_path / "killed").status == 0
    assert pairs_bench(*words, "--out", tmp_path / "whole").status == 0
    resumed, whole = predictions(tmp_path / "killed"), predictions(tmp_path / "whole")
    assert resumed == whole
    (record,) = (tmp_path / "killed").glob("*/record.json")
    assert json.loads(record.read_text())["provenance"]["computed_pairs"] == 4


@pytest.mark.parametrize("name", ["pairs-flow", "pairs-cosines", "pairs-nearest"])
def test_doctor_finds_nothing_wrong(pairs_bench, name):
    done = pairs_bench("doctor", name)
    assert (done.status, done.warnings) == (0, []), done
    assert "✗" not in done.out


def test_its_own_tests_check_all_that_it_brings(pairs_site, monkeypatch):
    monkeypatch.syspath_prepend(pairs_site)
    checks = [finding.check for finding in check_plugin(importlib.import_module("bench_pairs"))]
    assert checks.count("matches of a pair do not depend on the other pairs") == 2
    assert checks.count("the kinds of matches that it declares are read") == 1


def test_two_photos_are_matched(pairs_bench, photos):
    pictures = sorted(photos.glob("*.png"))[:2]
    for name in ("pairs", "pairs-flow"):
        done = pairs_bench("match", *pictures, "--method", name, "--points", "5,5", "--json")
        assert done.status == 0, done
