"""What tests of results folders share."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest
from support.photos import make_photos

from harness.housekeeping import target


@pytest.fixture(scope="session")
def run_once(tmp_path_factory) -> Path:
    """A folder with `photos`, and with results `r` of two methods on all of its six pairs."""
    from harness.cli import status

    folder = tmp_path_factory.mktemp("once")
    photos = make_photos(folder / "photos", images=3)
    run = ["run", "--methods", "position,hog", "--datasets", f"folder={photos}"]
    assert status([*run, "--localizers", "argmax,bilinear", "--out", str(folder / "r")]) == 0
    return folder


@pytest.fixture
def results(run_once, tmp_path) -> Path:
    """A copy of the results that a test may change."""
    return copytree(run_once / "r", tmp_path / "r")


@pytest.fixture
def cell(results) -> Path:
    """The folder of method hog's cell in the copy."""
    (folder,) = results.glob("*-hog.*")
    return folder


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A merge that meets another command in a cell's folder does not wait for it."""
    monkeypatch.setattr(target, "PATIENCE", 0.0)
