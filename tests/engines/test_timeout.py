"""`bench run --timeout`: a call that hangs fails its pairs by name, and all else is as if it did not."""

from __future__ import annotations

import sys

import pyarrow.parquet as pq
import pytest
from support.hanging import CULPRIT, MODE, install
from support.results import the_record

from harness.datasets.decoding import ImageFile
from harness.specs import LocalizerSpec


@pytest.fixture
def hanging_bench(bench_with, tmp_path):
    """`bench ...` with a plugin that is really installed, and hangs on one picture if it is told to."""
    yield bench_with(install(tmp_path / "site"))
    sys.modules.pop("bench_hanging", None)


def rows(results):
    """The predictions of a results folder, with their bits."""
    (path,) = results.glob("*/predictions.parquet")
    return {(row["pair_id"], row["localizer"]): repr(row) for row in pq.read_table(path).to_pylist()}


def test_a_call_that_sleeps_for_ever_fails_its_pairs_alone(hanging_bench, photos, tmp_path, monkeypatch):
    run = ("run", "--methods", "hanging,position", "--datasets", f"folder={photos}", "--timeout", 2)
    out = tmp_path / "hanging"
    monkeypatch.setenv(MODE, "sleeps")
    monkeypatch.setenv(CULPRIT, ImageFile("photo1.png", photos / "photo1.png").identity())
    done = hanging_bench(*run, "--out", out)
    print(done.err)
    assert done.status == 1
