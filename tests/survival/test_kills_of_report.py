"""SIGKILL, SIGTERM and SIGINT at random instants of `bench report`."""

from __future__ import annotations

import pytest
from killing import Scene, every_kill, every_signal
from support.photos import make_photos

RUN = ("run", "--methods", "position,hog", "--datasets", "folder=photos", "--out", "results")

WORDS = ("report", "results", "--datasets", "folder=photos", "-o", "pages/report.html")


@pytest.fixture(scope="module")
def scene(warm, start):
    make_photos(start / "photos")
    (start / "pages").mkdir()
    (start / "pages" / "report.html").write_text("an earlier page")
    assert warm(*RUN, folder=start).status == 0
    return Scene(warm, start, WORDS, lambda folder: {"page": (folder / "pages" / "report.html").read_bytes()})


@every_kill
def test_a_killed_report_leaves_the_old_page_or_the_new_one(scene, instants, tmp_path, number, count):
    scene.check(scene.draw(number, count, instants), tmp_path / "killed")


@every_signal
def test_a_report_that_was_begun_as_any_command_goes_on(scene, instants, tmp_path, number):
    scene.check_begun_anew(number, instants, tmp_path / "killed")
