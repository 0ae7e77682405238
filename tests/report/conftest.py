"""Finished runs, their pages, and a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.commands import PATIENCE
from support.photos import make_photos, read_list, write_list
from support.report_pages import HOSTILE, SCRIPT

from harness.cli import status

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


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


@pytest.fixture(scope="session")
def page_file(tmp_path_factory) -> Path:
    """A page with two methods, two localizers, two categories, and a name that would be a script."""
    folder = tmp_path_factory.mktemp("browser")
    photos = make_photos(folder / "photos", images=6)
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = ("blob", "blot", SCRIPT)[number % 3]
        pair["keypoint_ids"] = ["eye", "ear", SCRIPT, "paw", "tail"]
        pair["labels"]["truncation"] = number % 4
        # The first points move as far as no method follows.
        for point in range(number % 5):
            pair["target_points"][point][0] += 9 * (-1) ** point
    write_list(photos, content)
    data = f"folder={photos}"
    methods = ["--methods", "position,hog", "--localizers", "argmax,bilinear"]
    assert status(["run", *methods, "--datasets", data, "--out", str(folder / "r")]) == 0
    assert status(["report", str(folder / "r"), "-o", str(folder / "page.html"), "--datasets", data]) == 0
    return folder / "page.html"


@pytest.fixture(scope="module")
def chromium():
    """A browser; skips the test where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; it comes with the dev extra"
    )
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=1000 * PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, page_file):
    """Opens the page; at the end of the test there must have been no message, no error and no request."""
    contexts, messages = [], []

    def open_page(width=1280, height=900, file=page_file, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (messages.append("dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                messages.append(request.url[:80]) if not request.url.startswith(("file:", "data:")) else None
            ),
        )
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []
