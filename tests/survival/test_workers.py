"""SIGKILL of the processes that help a run: those that decode pictures, their server, and its tracker."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from killing import Scene, read_results
from support.commands import command
from support.photos import make_photos
from support.trainings import make_workspace
from support.warm_bench import PATIENCE, orphans_of, processes_of

WORDS = (
    *("run", "--methods", "dinov2", "--datasets", "folder=photos", "--weights", "dinov2-base=vit"),
    *("--batch-size", "1", "--workers", "2", "--out", "results"),
)

HELPERS = {
    "worker": lambda process: "forkserver" in _line(process) and "forkserver" in _line(process.parent()),
    "server": lambda process: "forkserver" in _line(process) and "forkserver" not in _line(process.parent()),
    "tracker": lambda process: "resource_tracker" in _line(process),
}


def _line(process: psutil.Process | None) -> str:
    return " ".join(process.cmdline()) if process else ""


def read(folder):
    return read_results(folder / "results")


@pytest.fixture(scope="module")
def scene(warm, start):
    make_workspace(start)
    make_photos(start / "photos", images=8)
    # Without helpers: a process that has some cannot be forked.
    return Scene(warm, start, [*WORDS[:-4], "--workers", "0", *WORDS[-2:]], read)


def kill_helper(pid: int, kind: str) -> bool:
    """Kills one of a run's helpers as soon as there is one; says whether there was."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for process in processes_of(os.getsid(pid)):
            try:
                is_wanted = HELPERS[kind](process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if is_wanted:
                process.kill()
                return True
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return False
        time.sleep(0.002)
    return False


@pytest.mark.parametrize("kind", HELPERS)
def test_a_helper_that_is_killed_changes_no_byte(scene, warm, tmp_path, kind):
    folder = shutil.copytree(scene.start, tmp_path / "run")
    with (tmp_path / "err").open("w+") as err:
        process = subprocess.Popen(
            command(*WORDS),
            cwd=folder,
            env=warm.environment,
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )
        assert kill_helper(process.pid, kind)
        process.wait(PATIENCE)
        err.seek(0)
        text = err.read()
    assert process.returncode == 0, text
    assert not orphans_of(process.pid), text
    assert read(folder) == scene.expected, text
    told = [line for line in text.splitlines() if "no longer decoded ahead" in line]
    # A server that has forked its workers is not missed, nor is one that can be begun again.
    assert len(told) <= (kind != "tracker"), text
    assert "Traceback" not in text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("count", range(4))
def test_all_processes_of_a_run_that_gets_a_signal_end(scene, instants, tmp_path, number, count):
    """As Ctrl-C and batch systems send it: to every process of the run."""
    with_workers = Scene.__new__(Scene)
    with_workers.__dict__.update(scene.__dict__, words=WORDS)
    kill = scene.draw(number, 2 if count % 2 else 5, instants)
    assert kill.to_group
    with_workers.check(kill, tmp_path / "killed")
