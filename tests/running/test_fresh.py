"""Finished cells: what is said of them, and how they are computed anew."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime

import pytest

from harness.running.found import describe_age

RUN = ("run", "--methods", "position", "--limit", "4")


def cell_folder(out):
    (folder,) = (path.parent for path in out.glob("*/record.json"))
    return folder


def record(out):
    return json.loads((cell_folder(out) / "record.json").read_text())


@pytest.mark.parametrize(
    ("started", "text"),
    [
        ("2026-01-04T00:00:00+00:00", "3 days ago"),
        ("2026-01-06T22:59:59+00:00", "1 hour ago"),
        ("2026-01-06T23:58:30+00:00", "1 minute ago"),
        ("2026-01-06T23:59:59", "just now"),
        ("2026-02-01T00:00:00+00:00", "at 2026-02-01T00:00:00+00:00"),
        ("long ago", "at long ago"),
    ],
)
def test_ages(started, text):
    assert describe_age(started, datetime(2026, 1, 7, tzinfo=UTC)) == text


def test_a_finished_cell_is_computed_anew_with_all_its_localizers(bench, tmp_path, monkeypatch):
    out = tmp_path / "r"
    first = bench(*RUN, "--localizers", "argmax,bilinear", "--out", out)
    assert "found" not in first.err
    predictions = (cell_folder(out) / "predictions.parquet").read_bytes()
    assert (
        "shapes position: found, computed just now by correspondence-bench" in bench(*RUN, "--out", out).err
    )
    more = bench(*RUN[:-1], "5", "--localizers", "argmax", "--out", out)
    assert "shapes position: found 4 of 5 pairs, computed" in more.err
    assert "found" not in bench(*RUN[:-1], "1", "--localizers", "soft-argmax", "--out", out).err

    calls = []
    import baselines.methods.position as method

    extract = method.Position.extract

    def counting(self, requests):
        calls.append(len(requests))
        return extract(self, requests)

    monkeypatch.setattr(method.Position, "extract", counting)
    done = bench(*RUN, "--fresh", "--localizers", "bilinear", "--out", out)
    assert "shapes position: computed anew" in done.err
    assert calls
    after = record(out)
    # Nothing old is left among the new: every localizer has the pairs that were asked for.
    assert {name: info["pairs"] for name, info in after["localizers"].items()} == {
        "argmax": 4,
        "bilinear": 4,
        "soft-argmax": 4,
    }
    assert after["provenance"]["computed_pairs"] == 4
    assert not (cell_folder(out) / "fresh").exists()
    bench(*RUN, "--fresh", "--out", tmp_path / "r2", "--localizers", "argmax,bilinear")
    assert (cell_folder(tmp_path / "r2") / "predictions.parquet").read_bytes() == predictions


def test_a_killed_fresh_run_loses_nothing_and_goes_on(bench, tmp_path, monkeypatch):
    out = tmp_path / "r"
    bench(*RUN, "--out", out)
    folder = cell_folder(out)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    import harness.running.predict as work

    predict_pair = work.Predictor._predict_pair
    seen = []

    def killed(self, pair, localizers):
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)
        seen.append(pair.pair_id)
        predict_pair(self, pair, localizers)

    monkeypatch.setattr(work.Predictor, "_predict_pair", killed)
    bench(*RUN, "--fresh", "--out", out)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert (folder / "fresh").exists()
    monkeypatch.setattr(work.Predictor, "_predict_pair", predict_pair)
    plain = bench(*RUN, "--out", out)
    assert "a run with --fresh has not come to its end" in plain.err
    done = bench(*RUN, "--fresh", "--out", out)
    assert "goes on anew, 2 of 4 pairs are there" in done.err
    assert record(out)["provenance"]["computed_pairs"] == 2
    assert (folder / "predictions.parquet").read_bytes() == before["predictions.parquet"]
    assert not (folder / "fresh").exists()
