"""Commands that work on one folder at the same time."""

from __future__ import annotations

import shutil

import pytest
from killing import read_results
from support.hub_server import Hub
from support.photos import make_photos
from support.trainings import make_workspace, prompt_bytes, train_words
from test_kills_of_fetch import DINO

RUN = ("run", "--methods", "position,hog", "--datasets", "folder=photos", "--out", "results")

ROUNDS = 3
"""Of each: what meets whom is another matter every time."""


@pytest.fixture(scope="module")
def whole(warm, start):
    """What a run leaves that is alone."""
    make_photos(start / "photos", images=8)
    shutil.copytree(start, start.with_name("alone"))
    warm.warm_up(*RUN, folder=start.with_name("alone"))
    return read_results(start.with_name("alone") / "results")


@pytest.fixture
def folder(start, whole, tmp_path):
    return shutil.copytree(start, tmp_path / "folder")


def check(endings, statuses=(0,)):
    text = "\n".join(map(str, endings))
    assert all(ended.status in statuses for ended in endings), text
    assert "Traceback" not in text, text
    assert not any(ended.orphans for ended in endings), text
    return text


def no_temporary_files(folder):
    return not [path for path in folder.rglob(".*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_three_runs_of_the_same_cells_share_them(warm, folder, whole, turn):
    text = check(warm.together([RUN] * 3, folder))
    assert read_results(folder / "results") == whole, text
    assert no_temporary_files(folder)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_runs_that_wait_have_the_whole_table(warm, folder, whole, turn):
    endings = warm.together([(*RUN, "--wait")] * 2, folder)
    text = check(endings)
    assert endings[0].out == endings[1].out, text
    assert read_results(folder / "results") == whole, text


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize(
    "command",
    [
        ("rescore", "results", "--datasets", "folder=photos"),
        ("report", "results", "--datasets", "folder=photos", "-o", "report.html"),
        ("clean", "results", "--yes"),
        ("clean", "results", "--temporary", "--unfinished", "--yes"),
        ("leaderboard", "results"),
        ("merge", "results", "-o", "merged"),
    ],
    ids=lambda words: "-".join(words[:1]) + ("-unfinished" if "--unfinished" in words else ""),
)
def test_a_run_beside_another_command(warm, folder, whole, command, turn):
    """The other command may find nothing yet, and says so in a line."""
    run, beside = warm.together([RUN, command], folder)
    text = check([run, beside], statuses=(0, 1, 2))
    assert run.status == 0, text
    assert beside.status == 0 or beside.err.startswith("bench"), text
    # What another command has removed meanwhile, if anything, is made again.
    assert warm(*RUN, folder=folder).status == 0, text
    assert read_results(folder / "results") == whole, text


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_two_reports_to_one_file(warm, folder, whole, turn):
    assert warm(*RUN, folder=folder).status == 0
    words = ("report", "results", "--datasets", "folder=photos", "-o")
    assert warm(*words, "alone.html", folder=folder).status == 0
    check(warm.together([(*words, "page.html")] * 2, folder))
    assert (folder / "page.html").read_bytes() == (folder / "alone.html").read_bytes()
    assert no_temporary_files(folder)


def test_two_trainings_into_one_folder(warm, start, tmp_path):
    folder = make_workspace(tmp_path / "work")
    options = {"steps": 4, "batch": 2, "save_every": 2, "cache": folder / "cache"}
    alone = train_words(folder, "sd4match-single", out=folder / "alone", **options)
    warm.warm_up(*alone, folder=folder)
    words = train_words(folder, "sd4match-single", out=folder / "both", **options)
    endings = warm.together([words, words], folder)
    text = check(endings, statuses=(0, 2))
    assert sum(ended.status == 0 for ended in endings) >= 1, text
    assert prompt_bytes(folder / "both") == prompt_bytes(folder / "alone"), text


def test_two_fetches_of_the_same_weights(warm, tmp_path):
    """The second is told who fetches, or finds all of it there."""
    words = ("weights", "fetch", "dinov2-base", "--weights-root", "weights")
    with Hub(repositories={"facebook/dinov2-base": DINO}) as hub:
        endings = warm.together([words, words], tmp_path, {"HF_ENDPOINT": hub.url})
        text = check(endings, statuses=(0, 2))
        assert sum(ended.status == 0 for ended in endings) >= 1, text
        assert warm(*words, folder=tmp_path, environment={"HF_ENDPOINT": hub.url}).status == 0, text
    fetched = tmp_path / "weights" / "dinov2-base"
    assert all((fetched / name).read_bytes() == content for name, content in DINO.items()), text
