"""Every command that writes, in a folder that turns read-only, or is taken away, while it works."""

from __future__ import annotations

import shutil

import pytest
from real_disks import set_read_only, small_disk
from support.disk_scenes import SCENES, Stage, surroundings
from support.faulty_disk import FaultyDisk

READ_ONLY = ("Read-only file system", "cannot be written to")

MOST = 3
"""Moments of one command."""


@pytest.fixture
def stage(request, bench, tmp_path, monkeypatch):
    with surroundings(monkeypatch):
        yield Stage(SCENES[request.param], tmp_path, bench, monkeypatch.chdir)


def moments(stage: Stage) -> range:
    """Changes before which something happens, from the first on."""
    return range(1, len(stage.changes) + 1, 1 + len(stage.changes) // MOST)


@pytest.mark.parametrize("stage", SCENES, indirect=True)
def test_a_folder_that_turns_read_only_costs_nothing(stage, tmp_path):
    failed = 0
    for at in moments(stage):
        with small_disk(tmp_path / f"disk-{at}") as disk:
            folder = stage.copy(disk / "folder")
            # Where a file is open for writing, the system does not allow it: the next moment does.
            with FaultyDisk(folder, at=at, meanwhile=lambda disk=disk: set_read_only(disk, True)).in_place():
                done = stage.run()
            explanation = f"read-only before {stage.changes[at - 1]}\n{done}"
            stage.check_end(done, READ_ONLY, explanation)
            assert set_read_only(disk, False)
            if done.status:
                failed += 1
                stage.check_files(folder, explanation, removes=False)
                stage.check_again(folder, explanation, removes=False)
    assert failed


@pytest.mark.parametrize("stage", SCENES, indirect=True)
def test_a_folder_that_is_read_only_from_the_start_is_one_line(stage, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        stage.copy(disk / "folder")
        assert set_read_only(disk, True)
        done = stage.run()
        stage.check_end(done, READ_ONLY, str(done))
        assert done.status in (1, 2)


@pytest.mark.parametrize("stage", [name for name in SCENES if SCENES[name].folder], indirect=True)
def test_a_folder_that_is_taken_away_is_told(stage, tmp_path):
    for at in moments(stage):
        folder = stage.copy(tmp_path / str(at))
        place = folder / stage.scene.folder
        with FaultyDisk(folder, at=at, meanwhile=lambda place=place: shutil.rmtree(place, True)).in_place():
            done = stage.run()
        explanation = f"taken away before {stage.changes[at - 1]}\n{done}"
        assert "Traceback" not in done.err, explanation
        assert done.status in (0, 1, 2), explanation
