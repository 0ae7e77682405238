"""`bench report`: one page of a results folder."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from support.made_up_records import a_prompt_file_record, a_record, a_timestep_record
from support.made_up_records import cell as cell_info
from support.report_pages import HOSTILE, PageOutline, cell_folder, change_record, read_galleries, table_rows
from support.results import rewrite_predictions

from harness.records.folders import RECORD, write_record
from harness.records.predictions import read_predictions
from harness.records.schema import Error, Record
from harness.report.html_table import make_html_table
from harness.report.redact import plain
from harness.tables.table import Table


def test_the_page_has_everything_that_there_are_records_of(report, finished_run):
    outcome, page = report(finished_run / "r")
    assert (outcome.status, outcome.warnings) == (0, [])
    assert outcome.out.strip().endswith("page.html")
    keys = re.findall(r'<section id="([\w-]+)-section"', page)
    assert keys == [
        "leaderboard",
        "categories1",
        "alpha",
        "heat",
        "category",
        "difficulty",
        "gallery",
        "cells",
        "provenance",
    ]
    assert {row[1] for row in table_rows(page, "leaderboard")} == {"hog", "position"}
    assert "n = 20 pairs of 5 images, 100 keypoints" in page
    assert page.count("<figcaption>") == page.count("<figure ") == 4
    for caption in re.findall(r"<figcaption>(.*?)</figcaption>", page):
        assert "in percent" in caption
        assert "n = 20 pairs" in caption
        assert "protocol sd4match" in caption
        assert "mean per image" in caption


def test_what_papers_printed_stands_beside_it_when_asked(report, finished_run):
    assert "(reported)" not in report(finished_run / "r")[1]
    outcome, page = report(finished_run / "r", "--reported")
    assert (outcome.status, outcome.warnings) == (0, [])
    names = [row[1] for row in table_rows(page, "leaderboard")]
    assert names[:2] == ["position", "hog"]
    assert "SD4Match-CPM (reported)" in names
    assert "SimSC-iBOT (reported)" in {row[1] for row in table_rows(page, "generalisation")}


def test_five_images_tell_no_rows_apart(report, finished_run):
    _, page = report(finished_run / "r")
    assert [row[0] for row in table_rows(page, "leaderboard")] == ["1-2", "1-2"]
    assert "share their places: 20 pairs of 5 images cannot tell them apart" in page


def test_the_same_command_gives_the_same_bytes(report, finished_run):
    assert report(finished_run / "r")[1] == report(finished_run / "r")[1]


def test_the_page_asks_for_nothing(report, finished_run):
    _, page = report(finished_run / "r")
    assert "default-src 'none'" in page
    for tag, values in PageOutline(page).tags:
        for name in ("src", "href", "srcset", "data", "action"):
            value = values.get(name) or ""
            assert not value or value.startswith(("#", "data:")), (tag, name, value[:60])
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_the_page_is_well_formed(report, finished_run):
    outline = PageOutline(report(finished_run / "r")[1])
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.references) <= set(outline.ids)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(outline.levels))


def test_no_folder_of_this_machine_is_in_the_page(report, results, finished_run):
    change_record(
        cell_folder(results, "hog"),
        status="partial",
        failures=[
            {
                "pair_id": "000001",
                "localizer": None,
                "error": f"image {finished_run}/a.jpg: cannot be decoded",
            }
        ],
    )
    (cell_folder(results, "position") / "predictions.parquet").write_bytes(b"no")
    _, page = report(results)
    assert "…/a.jpg: cannot be decoded" in page
    for folder in (finished_run, results, Path.home(), results.parent):
        assert str(folder) not in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/birds/a.jpg: broken", "…/a.jpg: broken"),
        ("image /home/me/a.jpg", "image …/a.jpg"),
        ("--datasets folder=/tmp/x/y, or", "--datasets folder=…/y, or"),
        ("'/tmp/my/file'", "'…/file'"),
        ("and/or, 4 points / 5, car/val", "and/or, 4 points / 5, car/val"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("no-global/best.safetensors", "no-global/best.safetensors"),
    ],
)
def test_plain_texts(text, expected):
    assert plain(text) == expected


def test_names_from_outside_are_text(report, results):
    content = json.loads((cell_folder(results, "hog") / RECORD).read_text())
    content["cell"]["label"] = HOSTILE
    change_record(cell_folder(results, "hog"), cell=content["cell"])
    _, page = report(results, "--title", HOSTILE)
    assert HOSTILE not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    (gallery,) = read_galleries(page)
    assert HOSTILE in gallery["methods"]
    assert all(HOSTILE in card["names"] for card in gallery["cards"])
    # The page's own script and one list of cards.
    assert [tag for tag, _ in PageOutline(page).tags].count("script") == 2


def test_what_is_asked_for_is_shown(report, finished_run):
    outcome, page = report(
        finished_run / "r",
        "--protocol",
        "original",
        "--averaging",
        "point",
        "--alphas",
        "0.05,0.15",
        "--title",
        "Mine",
    )
    assert outcome.status == 0
    assert "<h1>Mine</h1>" in page
    assert "protocol sd4match" not in page
    assert "mean per point" in page
    assert "@0.10" not in page
    assert "Correct: at most 0.05 times" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--protocol", "padded"), "no record has protocol 'padded'"),
        (("--alphas", "0.7"), "no record has alpha 0.7"),
        (("--localizers", "soft-argmax"), "no record has localizer soft-argmax"),
    ],
)
def test_what_no_record_has_is_refused(report, finished_run, arguments, message):
    outcome, page = report(finished_run / "r", *arguments)
    assert outcome.status == 2
    assert message in outcome.complaint
    assert page == ""


def test_several_datasets_prompts_timesteps_and_prompt_files(report, tmp_path):
    """Records alone, of datasets that no plugin here knows: everything but the pairs."""
    records = [
        *(
            a_record("dift", 50.0, prompt=name, identity=name.ljust(12, "0"))
            for name in ("empty", "category")
        ),
        a_record("hog", 20.0, dataset="cars"),
        *(a_timestep_record("single", step, 40.0 + step, dataset="cars") for step in (0, 50)),
        *(a_prompt_file_record(name, 30.0) for name in ("head", "patches")),
    ]
    for record in records:
        (tmp_path / "r" / record.cell.id).mkdir(parents=True)
        write_record(tmp_path / "r" / record.cell.id, record)
    outcome, page = report(tmp_path / "r")
    assert outcome.status == 0
    assert [line.rpartition(";")[0] for line in outcome.err.splitlines()] == [
        f"bench: {name}: no pairs shown: unknown dataset '{name}'" for name in ("birds", "cars")
    ]
    assert "gallery-section" not in page
    keys = re.findall(r'<section id="([\w-]+)-section"', page)
    assert keys == [
        *("leaderboard", "prompts", "generalisation", "timesteps", "alpha", "timestep", "ablation"),
        *("cells", "provenance"),
    ]
    assert re.findall(r'<h3 id="alpha\d-title">(.*?)</h3>', page) == ["birds", "cars"]
    # Prompts were compared on birds alone, timesteps were swept by one method alone.
    assert {row[0].partition("[")[0] for row in table_rows(page, "prompts")} == {"dift", "tuned"}
    assert [row[0] for row in table_rows(page, "timesteps")] == ["0", "50"]


def test_the_command_imports_nothing_heavy_before_it_runs():
    code = (
        "import sys; from harness.cli import status; status(['report', '--help']); print(sorted(sys.modules))"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(re.findall(r"'([\w.]+)'", outcome.stdout))
    assert "harness.cli" in modules
    assert not modules & {"torch", "pandas", "matplotlib", "jinja2", "pyarrow"}


def test_an_empty_folder(report, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome, page = report(tmp_path / "empty")
    assert (outcome.status, page) == (2, "")
    assert "no finished cell in" in outcome.complaint


def test_no_folder(report, tmp_path):
    outcome, _ = report(tmp_path / "nothing")
    assert outcome.status == 2
    assert "no results folder" in outcome.complaint


@pytest.mark.parametrize("file", ["record.json", "predictions.parquet"])
def test_a_damaged_cell(report, results, file):
    (cell_folder(results, "hog") / file).write_bytes(b"{")
    outcome, page = report(results)
    assert outcome.status == 1
    assert re.search(rf"{file}: (not a readable|is not the file that the record)", outcome.complaint)
    name = cell_folder(results, "hog").name
    assert re.search(rf"<li>r/{name}/{file}: (not a readable|is not the file)", page)
    assert read_galleries(page)[0]["methods"] == ["position"]


def test_only_damaged_cells(report, results):
    for method in ("hog", "position"):
        (cell_folder(results, method) / RECORD).write_text("{")
    outcome, page = report(results)
    assert (outcome.status, page) == (2, "")


def test_an_interrupted_cell_is_named(report, results):
    (results / "photos-test-slow.0123456789ab" / "shards").mkdir(parents=True)
    outcome, page = report(results)
    assert outcome.status == 0
    assert "1 cell not finished" in page
    assert [row[4] for row in table_rows(page, "cells") if "slow" in row[0]] == ["not finished"]


def test_a_failed_and_a_not_applicable_cell(report, results):
    error = Error(type="ValueError", message="no such layer", traceback="line 1 of /home/me/x.py")
    for record in (
        Record(status="failed", cell=cell_info("broken", "folder:photos"), error=error),
        Record(status="not-applicable", cell=cell_info("unfit", "folder:photos"), reason="needs a prompt"),
    ):
        folder = results / record.cell.id
        folder.mkdir()
        write_record(folder, record)
    outcome, page = report(results)
    assert outcome.status == 0
    cells = {row[0]: row for row in table_rows(page, "cells")}
    assert (cells["broken"][4], cells["broken"][-1]) == ("failed", "no such layer")
    assert (cells["unfit"][4], cells["unfit"][-1]) == ("not-applicable", "needs a prompt")
    assert "Not drawn: broken (failed: no such layer); unfit (not-applicable: needs a prompt)." in page
    assert "x.py" not in page


def test_a_limited_cell_is_marked_everywhere(report, results):
    folder = cell_folder(results, "hog")
    table = read_predictions(folder / "predictions.parquet")
    kept = sorted(set(table["pair_id"].to_pylist()))[:4]
    rewrite_predictions(folder, [row for row in table.to_pylist() if row["pair_id"] in kept])
    outcome, page = report(results)
    assert outcome.status == 0
    (name,) = [name for name in read_galleries(page)[0]["methods"] if name.startswith("hog (limited to 4 of")]
    figures = re.findall(r"<figure .*?</figure>", page, re.DOTALL)
    assert len(figures) == 4
    assert all("limited to 4 of 20 pairs" in figure for figure in figures)
    assert "1 limited to part of the pairs" in page
    # The method has no drawing on cards of pairs that it did not predict.
    number = read_galleries(page)[0]["methods"].index(name)
    assert sum(card["found"][number] is not None for card in read_galleries(page)[0]["cards"]) == 4


@pytest.mark.parametrize(
    ("path", "message"),
    [(".", "is a folder; name a file"), ("no/where.html", "is not a folder; make it first")],
)
def test_a_place_that_cannot_be_written_to(bench, results, tmp_path, path, message):
    outcome = bench("report", results, "-o", tmp_path / path)
    assert outcome.status == 2
    assert message in outcome.complaint


def test_a_full_disk_leaves_the_earlier_page(bench, finished_run, tmp_path, monkeypatch):
    page = tmp_path / "page.html"
    page.write_text("earlier")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.files.os.fsync", full)
    outcome = bench(
        "report", finished_run / "r", "-o", page, "--datasets", f"folder={finished_run / 'photos'}"
    )
    assert outcome.status == 2
    assert "No space left on device" in outcome.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert page.read_text() == "earlier"


def test_a_table_keeps_its_texts_and_marks():
    table = Table(
        "c",
        ("#", "method", "birds @0.10", "note"),
        (("1", "<i>", "50.0 ±1.0", ""), ("2", "b", "–", "limited")),
        names=2,
    )
    object.__setattr__(table, "marks", {(0, 2): "best", (1, 2): "second"})
    html_table = make_html_table(table, "k", "t")
    assert [[field.text for field in row] for row in html_table.rows] == [list(row) for row in table.rows]
    assert [[field.mark for field in row] for row in html_table.rows] == [
        [None, None, "best", None],
        [None, None, "second", None],
    ]
    assert [field.tag for field in html_table.rows[0]] == ["td", "th", "td", "td"]
    assert [(menu.title, menu.values) for menu in html_table.menus] == [("method", ("<i>", "b"))]


@pytest.mark.parametrize("command", ["report", "match"])
def test_what_is_no_file_is_not_replaced(bench, finished_run, tmp_path, command):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    photos = sorted((finished_run / "photos").glob("*.png"))[:2]
    words = (
        ("report", finished_run / "r", "-o", pipe)
        if command == "report"
        else ("match", *photos, "--points", "5,5", "--method", "hog", "-o", pipe)
    )
    outcome = bench(*words)
    assert outcome.status == 2
    assert "is not a file but a device, a pipe or the like" in outcome.complaint
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_stays_one_and_leads_to_the_page(report, finished_run, tmp_path):
    target, link = tmp_path / "real.html", tmp_path / "page.html"
    target.write_text("old")
    link.symlink_to(target)
    outcome, page = report(finished_run / "r")
    assert outcome.status == 0
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == page != "old"


def test_a_page_is_not_written_into_a_file_of_another_kind(bench, finished_run, tmp_path):
    outcome = bench("report", finished_run / "r", "-o", tmp_path / "page.pdf")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "page.pdf: the page is HTML; call it page.html" in outcome.err
    assert not (tmp_path / "page.pdf").exists()
