"""A clock that is put back, or ahead, while a command works: no wrong duration, no hang, the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from killing import read_results
from support import shifted_clock
from support.photos import make_photos
from support.trainings import make_workspace, prompt_bytes, train_words

JUMPS = {"a day back": -86_400.0, "ten years ahead": 3.2e8}


@pytest.fixture(scope="module")
def photos(start):
    return make_photos(start / "photos", images=6)


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_a_run_is_the_same_under_a_clock_that_jumps(bench, photos, tmp_path, monkeypatch, seconds):
    words = ("run", "--methods", "position,hog", "--datasets", f"folder={photos}", "--out")
    assert bench(*words, tmp_path / "steady").status == 0
    with shifted_clock.jumping(monkeypatch, seconds):
        outcome = bench(*words, tmp_path / "jumping")
    assert outcome.status == 0, outcome.err
    assert read_results(tmp_path / "jumping") == read_results(tmp_path / "steady")
    for path in (tmp_path / "jumping").glob("*/record.json"):
        stages = json.loads(path.read_text())["provenance"]["stages"]
        assert all(0 <= stage["seconds"] < 600 for stage in stages.values())
    # What was computed in the future is told by its time, and not as an age of less than nothing.
    found = bench(*words, tmp_path / "jumping").err
    assert "found, computed" in found
    assert "-" not in found.split("computed")[1].split("by")[0].replace(f"{datetime.now(UTC).year + 10}-", "")


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_a_training_that_goes_on_at_an_earlier_time_is_the_same(bench, start, tmp_path, monkeypatch, seconds):
    workspace = make_workspace(tmp_path / "work")
    options = {"steps": 4, "batch": 2, "save_every": 1}
    assert bench(*train_words(workspace, "sd4match-single", out=tmp_path / "steady", **options)).status == 0
    words = train_words(workspace, "sd4match-single", out=tmp_path / "jumping", **options)
    with shifted_clock.jumping(monkeypatch, seconds):
        assert bench(*words).status == 0
    assert prompt_bytes(tmp_path / "jumping") == prompt_bytes(tmp_path / "steady")
    for line in (tmp_path / "jumping" / "log.jsonl").read_text().splitlines():
        assert 0 < json.loads(line)["seconds_per_step"] < 600


def test_the_jump_is_seen(monkeypatch):
    import time

    before = datetime.now(UTC)
    with shifted_clock.jumping(monkeypatch, -86_400.0):
        time.time()
        assert datetime.now(UTC) < before - timedelta(hours=23)
