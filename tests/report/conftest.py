"""A finished run of two methods, and its page."""

from __future__ import annotations

import shutil

import pytest
from support.photos import make_photos, read_list, write_list
from support.report_pages import HOSTILE

from harness.cli import status


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Two methods on 20 pairs of five photos in two categories.

    Pairs have difficulty labels, and a keypoint whose name is a script.
    The run is in `r`, the photos are in `photos`.
    """
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos", images=5)
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = ("blob", "blot")[number % 2]
        pair["keypoint_ids"] = ["eye", "ear", HOSTILE, "paw", "tail"]
        pair["labels"]["truncation"] = number % 4
    write_list(photos, content)
    methods = ["--methods", "position,hog", "--protocols", "sd4match,original"]
    assert status(["run", *methods, "--datasets", f"folder={photos}", "--out", str(folder / "r")]) == 0
    return folder


@pytest.fixture
def results(finished_run, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(finished_run / "r", tmp_path / "r")


@pytest.fixture
def report(bench, finished_run, tmp_path):
    """`bench report` with the dataset at hand, and the page."""

    def run(folder, *arguments, data=True):
        page = tmp_path / "page.html"
        source = ("--data-root", tmp_path / "nowhere")
        if data:
            source = ("--datasets", f"folder={finished_run / 'photos'}")
        outcome = bench("report", folder, "-o", page, *source, *arguments)
        return outcome, page.read_text(encoding="utf-8") if page.exists() else ""

    return run
