"""SIGKILL, SIGTERM and SIGINT at random instants of `bench run`."""

from __future__ import annotations

import pytest
from killing import Scene, every_kill, every_signal, read_results
from support.photos import make_photos
from support.trainings import make_workspace

WORDS = (
    *("run", "--methods", "position,dinov2", "--datasets", "folder=photos", "--weights", "dinov2-base=vit"),
    *("--localizers", "argmax,soft-argmax", "--cache-dir", "cache", "--out", "results"),
)


@pytest.fixture(scope="module")
def scene(warm, start):
    """Photos, 56 pairs of them, and a small DINO: two shards for each cell."""
    make_workspace(start)
    make_photos(start / "photos", images=8)
    return Scene(warm, start, WORDS, lambda folder: read_results(folder / "results"))


@every_kill
def test_a_killed_run_goes_on_to_the_same_bytes(scene, instants, tmp_path, number, count):
    scene.check(scene.draw(number, count, instants), tmp_path / "killed")


@every_signal
def test_a_run_that_was_begun_as_any_command_goes_on(scene, instants, tmp_path, number):
    scene.check_begun_anew(number, instants, tmp_path / "killed")
