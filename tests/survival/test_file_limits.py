"""Every command that writes, under a limit on the size of files."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import pytest
from support.disk_scenes import SCENES, Stage, surroundings

LIMITS = (0, 100, 3_000, 40_000)
"""Bytes."""


@pytest.fixture
def stage(request, bench, tmp_path, monkeypatch):
    with surroundings(monkeypatch):
        yield Stage(SCENES[request.param], tmp_path, bench, monkeypatch.chdir)


@contextmanager
def limited(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("stage", SCENES, indirect=True)
def test_a_limit_on_the_size_of_files_costs_nothing(stage, tmp_path):
    failed = 0
    for size in LIMITS:
        folder = stage.copy(tmp_path / str(size))
        with limited(size):
            done = stage.run()
        explanation = f"files of at most {size} bytes\n{done}"
        stage.check_end(done, ("File too large",), explanation)
        if done.status:
            failed += 1
            stage.check_files(folder, explanation, removes=True)
            stage.check_again(folder, explanation)
    # Removing needs no room.
    assert failed or stage.scene is SCENES["clean"]
