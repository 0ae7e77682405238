"""Every command that writes, on a disk that fills up: in memory and small, or one that refuses a change."""

from __future__ import annotations

import pytest
from real_disks import PAGE, fill, small_disk
from support.disk_scenes import SCENES, Stage, surroundings
from support.faulty_disk import REFUSALS

ROOMS = (0, 2, 5, 16)
"""Pages that are free when the command begins."""

FULL = ("No space left on device",)


@pytest.fixture
def stage(request, bench, tmp_path, monkeypatch):
    with surroundings(monkeypatch):
        yield Stage(SCENES[request.param], tmp_path, bench, monkeypatch.chdir)


@pytest.mark.parametrize("stage", SCENES, indirect=True)
def test_a_disk_that_fills_up_costs_nothing(stage, tmp_path):
    failed = 0
    for room in ROOMS:
        with small_disk(tmp_path / f"disk-{room}") as disk:
            folder = stage.copy(disk / "folder")
            filler = fill(disk, room * PAGE)
            done = stage.run()
            explanation = f"{room} pages of room\n{done}"
            stage.check_end(done, FULL, explanation)
            filler.unlink()
            if done.status:
                failed += 1
                stage.check_files(folder, explanation, removes=True)
                stage.check_again(folder, explanation)
    # Removing needs no room.
    assert failed or stage.scene is SCENES["clean"]


@pytest.mark.parametrize("stage", SCENES, indirect=True)
def test_a_disk_without_room_for_another_file_costs_nothing(stage, tmp_path):
    for more in (0, 3):
        # One for the disk's own folder, and those of the files that are there.
        used = 2 + sum(1 for _ in stage.start.rglob("*"))
        with small_disk(tmp_path / f"disk-{more}", f"size=8m,nr_inodes={used + more}") as disk:
            folder = stage.copy(disk / "folder")
            done = stage.run()
            explanation = f"room for {more} files\n{done}"
            stage.check_end(done, FULL, explanation)
            if done.status:
                stage.check_files(folder, explanation, removes=True)


@pytest.mark.parametrize("way", REFUSALS)
@pytest.mark.parametrize("stage", SCENES, indirect=True)
def test_each_change_may_be_refused_in_each_way(stage, way):
    # Of the longest commands some changes in each way, others in the next.
    step = 1 + len(stage.changes) // MOST
    first = 1 + list(REFUSALS).index(way) % step
    for at in range(first, len(stage.changes) + 1, step):
        stage.check(REFUSALS[way], at)


MOST = 3
"""Changes of one command that are refused in one way."""
