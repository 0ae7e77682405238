"""Two fetches into one folder."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from harness.downloads.files import fetch_files
from harness.downloads.holding import FETCHING, holding
from harness.errors import UserError
from harness.specs import RemoteFile

FILE = RemoteFile("http://127.0.0.1:9/a.tar", ".", unpack=True, provides="top/7")


def fetch(folder: Path) -> list[str]:
    return [file.how for file in fetch_files("dataset d", [FILE], folder, lambda *_: None)]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder into which an archive was put by hand."""
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        for number in range(10):
            info = tarfile.TarInfo(f"top/{number}")
            info.size = 100
            out.addfile(info, io.BytesIO(bytes(100)))
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_second_is_told_who_works_there_and_touches_nothing(folder):
    with holding(folder):
        before = content(folder)
        with pytest.raises(UserError) as caught:
            fetch(folder)
        assert content(folder) == before
    assert f"{folder}: process {os.getpid()} on " in str(caught.value)
    assert "is fetching into it; wait until it is done, then run the same command again" in str(caught.value)
    assert fetch(folder) == ["by hand"]
    assert sorted(path.name for path in folder.iterdir()) == ["a.tar", "a.tar.sha256", "top"]


def test_what_the_first_has_brought_is_not_brought_again(folder, monkeypatch):
    """The first ends between the second's look and its lock."""
    (folder / "top").mkdir()

    def arrive(path: Path):
        (folder / "top" / "7").write_bytes(b"whole")
        return holding(path)

    monkeypatch.setattr("harness.downloads.files.holding", arrive)
    assert fetch(folder) == ["there"]
    assert (folder / "top" / "7").read_bytes() == b"whole"


def test_what_is_there_is_seen_without_a_lock(folder):
    fetch(folder)
    with holding(folder):
        assert fetch(folder) == ["there"]


def test_the_mark_of_a_killed_fetch_holds_nobody_up(folder):
    (folder / FETCHING).write_bytes(b"\xff process 1 on another machine")
    assert fetch(folder) == ["by hand"]
    assert not (folder / FETCHING).exists()


@pytest.mark.parametrize("is_unfinished", [False, True])
def test_the_mark_stays_where_the_folder_looks_complete_and_is_not(folder, is_unfinished):
    with pytest.raises(KeyboardInterrupt), holding(folder, lambda: is_unfinished):
        raise KeyboardInterrupt
    assert (folder / FETCHING).exists() == is_unfinished


def test_a_lock_of_a_removed_mark_is_not_taken_for_one(folder, monkeypatch):
    """The first removes its mark while the second waits at the old one's lock."""
    taken: list[bool] = []

    def remove_once(handle: int) -> bool:
        if not taken:
            (folder / FETCHING).unlink()
        taken.append(True)
        return True

    monkeypatch.setattr("harness.downloads.holding.try_lock", remove_once)
    with holding(folder):
        assert (folder / FETCHING).exists()
    assert len(taken) == 2
