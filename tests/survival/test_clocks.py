"""A clock that is put back, or ahead, while a command works: no wrong duration, no hang, the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from killing import read_results
from support.hub_server import Hub
from support.photos import make_photos
from support.trainings import make_workspace, prompt_bytes, train_words
from test_kills_of_fetch import DINO

JUMPS = {"back": -86_400.0, "ahead": 3.2e8}
"""A day back, and ten years ahead."""

jumps = pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)


def jumping(seconds):
    return {"setup": "support.shifted_clock:install", "setup_arguments": [seconds]}


RUN = ("run", "--methods", "position,hog", "--datasets", "folder=photos", "--out")


@pytest.fixture(scope="module")
def photos(warm, start):
    make_photos(start / "photos", images=6)
    warm.warm_up(*RUN, "warm-up", folder=start)
    return start


@jumps
def test_a_run_is_the_same_under_a_clock_that_jumps(warm, photos, seconds):
    steady, shifted = f"steady{seconds}", f"jumping{seconds}"
    assert warm(*RUN, steady, folder=photos).status == 0
    ended = warm(*RUN, shifted, folder=photos, **jumping(seconds))
    assert ended.status == 0, ended
    assert read_results(photos / shifted) == read_results(photos / steady)
    years = set()
    for path in (photos / shifted).glob("*/record.json"):
        provenance = json.loads(path.read_text())["provenance"]
        assert all(0 <= stage["seconds"] < 600 for stage in provenance["stages"].values())
        years.add(datetime.fromisoformat(provenance["started"]).year)
    # The clock did jump.
    assert seconds < 0 or max(years) >= datetime.now(UTC).year + 9
    # What was computed in the future is told by its time, and not as an age of less than nothing.
    found = warm(*RUN, shifted, folder=photos).err
    when = "computed 1 day ago by" if seconds < 0 else f"computed at {max(years)}-"
    assert when in found, found


@jumps
def test_a_training_that_goes_on_at_another_time_is_the_same(warm, tmp_path, seconds):
    workspace = make_workspace(tmp_path)
    options = {"batch": 2, "save_every": 1}
    words = train_words(workspace, "sd4match-single", steps=1, out=tmp_path / "warm-up", **options)
    warm.warm_up(*words, folder=tmp_path)
    for out, setup in (("steady", {}), ("jumping", jumping(seconds))):
        words = train_words(workspace, "sd4match-single", steps=4, out=tmp_path / out, **options)
        ended = warm(*words, folder=tmp_path, **setup)
        assert ended.status == 0, ended
        # Its newest checkpoint is the one of the most steps, whatever the files' times are.
        assert warm(*words, folder=tmp_path).status == 0
    assert prompt_bytes(tmp_path / "jumping") == prompt_bytes(tmp_path / "steady")
    for line in (tmp_path / "jumping" / "log.jsonl").read_text().splitlines():
        assert 0 < json.loads(line)["seconds_per_step"] < 600


@jumps
def test_a_fetch_under_a_clock_that_jumps_ends(warm, tmp_path, seconds):
    words = ("weights", "fetch", "dinov2-base", "--weights-root", "weights")
    with Hub(repositories={"facebook/dinov2-base": DINO}) as hub:
        environment = {"HF_ENDPOINT": hub.url}
        ended = warm(*words, folder=tmp_path, environment=environment, **jumping(seconds))
        assert ended.status == 0, ended
        assert (
            warm("weights", "verify", "dinov2-base", "--weights-root", "weights", folder=tmp_path).status == 0
        )
