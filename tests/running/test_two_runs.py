"""Runs on one folder at the same time: each takes the cells that nobody works on."""

from __future__ import annotations

import contextlib
import json
import threading

import harness.running.turns as turns
from harness.records.locks import OWNER, lock_folder


@contextlib.contextmanager
def locked(cell, *, writes=True):
    """Works in a cell's folder as another process does."""
    with lock_folder(cell, lambda subject, message: None, writes=writes):
        yield


def run_of(photos, out, *options):
    return ("run", "--methods", "position,hog", "--datasets", f"folder={photos}", "--out", out, *options)


def cell_of(out, method):
    (cell,) = (cell for cell in out.iterdir() if f"-{method}" in cell.name)
    return cell


def test_a_cell_of_another_process_is_told_and_left_out(bench, photos, tmp_path):
    out = tmp_path / "r"
    bench(*run_of(photos, out))
    (cell_of(out, "position") / "record.json").unlink()
    with locked(cell_of(out, "position")):
        owner = json.loads((cell_of(out, "position") / OWNER).read_text())
        done = bench(*run_of(photos, out))
    assert done.status == 0
    (line,) = (line for line in done.err.splitlines() if "another process" in line)
    assert line.startswith(
        "bench: folder:photos position: another process is running this cell "
        f"(process {owner['process']}, since "
    )
    assert "so it is not in this table; 'bench run --wait' waits for it" in line
    assert "hog" in done.out
    assert "position" not in done.out
    # It may finish, and write its record, at any moment.
    assert not (cell_of(out, "position") / "record.json").exists()


def test_no_cell_is_left(bench, photos, tmp_path):
    out = tmp_path / "r"
    run = (*run_of(photos, out)[:2], "position", *run_of(photos, out)[3:])
    bench(*run)
    with locked(cell_of(out, "position"), writes=False):
        done = bench(*run)
    assert done.status == 0
    assert done.out == ""
    # Who it is was not said, and is not made up.
    assert "another process is running this cell, so it is not in this table" in done.err


def test_a_cell_that_is_done_in_the_meantime_is_in_the_table(bench, photos, tmp_path, monkeypatch):
    out = tmp_path / "r"
    bench(*run_of(photos, out))
    begin, tries = turns.CellRun.begin, []

    def begin_late(run):
        tries.append(run.resolved.cell.method)
        if len(tries) == 1:
            raise turns.CellIsRunning("busy")
        return begin(run)

    monkeypatch.setattr(turns.CellRun, "begin", begin_late)
    done = bench(*run_of(photos, out))
    assert tries == ["position", "hog", "position"]
    assert done.status == 0
    assert "another process" not in done.err
    assert "position" in done.out


def test_wait(bench, photos, tmp_path, monkeypatch):
    out = tmp_path / "r"
    first = bench(*run_of(photos, out))
    waits = []
    with contextlib.ExitStack() as others:
        others.enter_context(locked(cell_of(out, "position")))
        others.enter_context(locked(cell_of(out, "hog")))

        def end_one(seconds):
            waits.append(seconds)
            if len(waits) > 2:
                others.close()

        monkeypatch.setattr(turns.time, "sleep", end_one)
        done = bench(*run_of(photos, out, "--wait"))
    assert len(waits) == 3
    assert done.status == 0
    assert "another process" not in done.err
    assert done.out == first.out


def test_what_a_killed_run_says_of_itself_is_no_lock(bench, photos, tmp_path):
    out = tmp_path / "r"
    bench(*run_of(photos, out))
    cell = cell_of(out, "hog")
    (cell / OWNER).write_text('{"process": 1, "host": "h", "since": "2026-01-01T00:00:00"}')
    assert "another process" not in bench(*run_of(photos, out)).err
    assert not (cell / OWNER).exists()


def test_folders_are_made_at_the_same_time(tmp_path):
    from harness.records.folders import make_results_folder

    problems = []

    def make():
        for _ in range(50):
            try:
                make_results_folder(tmp_path / "r")
            except Exception as error:  # noqa: BLE001 - handed to the test
                problems.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert list((tmp_path / "r").iterdir()) == []
