"""`bench report`: one page of a results folder."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
from support.made_up_records import a_record
from support.made_up_records import cell as cell_info
from support.photos import make_photos, read_list, write_list

from harness.cli import status
from harness.datasets.images import ImageFile
from harness.datasets.splits import read_split
from harness.errors import DataError
from harness.plugins.loading import load_plugins
from harness.records.folders import RECORD, write_record
from harness.records.predictions import prediction_table, read_predictions, write_table
from harness.records.schema import Counts, Error, LocalizerInfo, Provenance, Record, Score
from harness.report import charts
from harness.report.chart_style import Curve, Value
from harness.report.figures import sections
from harness.report.html_table import make_html_table
from harness.report.image_store import ImageStore
from harness.report.redact import plain
from harness.report.selection import choose_pairs
from harness.report.series import distinguish_names, series_by_split
from harness.tables.table import Table
from harness.tables.view import View

HOSTILE = "</script><script>alert(1)</script>"

VIEW = View("sd4match", "image")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two methods, 20 pairs of five photos in two categories, with difficulty labels and a keypoint whose name is a script."""
    folder = tmp_path_factory.mktemp("finished")
    photos = make_photos(folder / "photos", images=5)
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = ("blob", "blot")[number % 2]
        pair["keypoint_ids"] = ["eye", "ear", HOSTILE, "paw", "tail"]
        pair["labels"]["truncation"] = number % 4
    write_list(photos, content)
    run = [
        "run",
        "--methods",
        "position,hog",
        "--datasets",
        f"folder={photos}",
        "--protocols",
        "sd4match,original",
    ]
    assert status([*run, "--out", str(folder / "r")]) == 0
    return folder


@pytest.fixture
def results(finished, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(finished / "r", tmp_path / "r")


@pytest.fixture
def report(bench, finished, tmp_path):
    """`bench report` with the dataset at hand, and the page."""

    def run(folder, *arguments, data=True):
        page = tmp_path / "page.html"
        place = (
            ("--datasets", f"folder={finished / 'photos'}") if data else ("--data-root", tmp_path / "nowhere")
        )
        done = bench("report", folder, "-o", page, *place, *arguments)
        return done, page.read_text(encoding="utf-8") if page.exists() else ""

    return run


def cell(results, method):
    (found,) = results.glob(f"*-{method}.*")
    return found


def change(folder, **values):
    content = json.loads((folder / RECORD).read_text())
    content.update(values)
    (folder / RECORD).write_text(json.dumps(content))


def galleries(page):
    return [
        json.loads(one)
        for one in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    ]


class Outline(HTMLParser):
    """What a page has: tags, ids, headings, text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.ids, self.levels, self.references, self.text = [], [], [], [], []
        self.open = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"])
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if (values.get("href") or "").startswith("#"):
            self.references.append(values["href"][1:])
        self.open.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def rows_of(page, key):
    """Texts of a table's body."""
    body = re.search(rf'<table id="{key}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert body, key
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body[1], re.DOTALL)
    ]


def test_the_page_has_everything_that_there_are_records_of(report, finished):
    done, page = report(finished / "r")
    assert (done.status, done.err) == (0, "")
    assert done.out.strip().endswith("page.html")
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
    assert {row[1] for row in rows_of(page, "leaderboard")} == {"hog", "position"}
    assert "n = 20 pairs, 100 keypoints" in page
    assert page.count("<figcaption>") == page.count("<figure ") == 4
    for caption in re.findall(r"<figcaption>(.*?)</figcaption>", page):
        assert "in percent" in caption
        assert "n = 20 pairs" in caption
        assert "protocol sd4match" in caption
        assert "mean per image" in caption


def test_what_papers_printed_stands_beside_it_when_asked(report, finished):
    assert "(reported)" not in report(finished / "r")[1]
    done, page = report(finished / "r", "--reported")
    assert (done.status, done.err) == (0, "")
    names = [row[1] for row in rows_of(page, "leaderboard")]
    assert names[:2] == ["position", "hog"]
    assert "SD4Match-CPM (reported)" in names
    assert "SimSC-iBOT (reported)" in {row[1] for row in rows_of(page, "generalisation")}


def test_rows_that_are_told_apart_have_places_of_their_own(report, finished):
    _, page = report(finished / "r")
    assert [row[0] for row in rows_of(page, "leaderboard")] == ["1", "2"]
    assert "Rows of one number are tied" in page


def test_the_same_command_gives_the_same_bytes(report, finished):
    assert report(finished / "r")[1] == report(finished / "r")[1]


def test_the_page_asks_for_nothing(report, finished):
    _, page = report(finished / "r")
    assert "default-src 'none'" in page
    for tag, values in Outline(page).tags:
        for name in ("src", "href", "srcset", "data", "action"):
            value = values.get(name) or ""
            assert not value or value.startswith(("#", "data:")), (tag, name, value[:60])
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_the_page_is_well_formed(report, finished):
    outline = Outline(report(finished / "r")[1])
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.references) <= set(outline.ids)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(outline.levels))


def test_no_folder_of_this_machine_is_in_the_page(report, results, finished):
    change(
        cell(results, "hog"),
        failures=[
            {"pair_id": "000001", "localizer": None, "error": f"image {finished}/a.jpg: cannot be decoded"}
        ],
    )
    (cell(results, "position") / "predictions.parquet").write_bytes(b"no")
    _, page = report(results)
    assert "…/a.jpg: cannot be decoded" in page
    for place in (finished, results, Path.home(), results.parent):
        assert str(place) not in page


@pytest.mark.parametrize(
    ("text", "told"),
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
def test_plain_texts(text, told):
    assert plain(text) == told


def test_names_from_outside_are_text(report, results):
    content = json.loads((cell(results, "hog") / RECORD).read_text())
    content["cell"]["label"] = HOSTILE
    change(cell(results, "hog"), cell=content["cell"])
    _, page = report(results, "--title", HOSTILE)
    assert HOSTILE not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    (gallery,) = galleries(page)
    assert HOSTILE in gallery["methods"]
    assert all(HOSTILE in card["names"] for card in gallery["cards"])
    # The page's own script and one list of cards.
    assert [tag for tag, _ in Outline(page).tags].count("script") == 2


def test_what_is_asked_for_is_shown(report, finished):
    done, page = report(
        finished / "r",
        "--protocol",
        "original",
        "--averaging",
        "point",
        "--alphas",
        "0.05,0.15",
        "--title",
        "Mine",
    )
    assert done.status == 0
    assert "<h1>Mine</h1>" in page
    assert "protocol sd4match" not in page
    assert "mean per point" in page
    assert "@0.10" not in page
    assert "Correct: at most 0.05 times" in page


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--protocol", "padded"), "no record has protocol 'padded'"),
        (("--alphas", "0.7"), "no record has alpha 0.7"),
        (("--localizers", "soft-argmax"), "no record has localizer soft-argmax"),
    ],
)
def test_what_no_record_has_is_refused(report, finished, arguments, told):
    done, page = report(finished / "r", *arguments)
    assert done.status == 2
    assert told in done.complaint
    assert page == ""


def test_several_datasets_prompts_timesteps_and_prompt_files(report, tmp_path):
    """Records alone, of datasets that no plugin here knows: everything but the pairs."""
    records = [
        *(
            a_record("dift", 50.0, prompt=name, identity=name.ljust(12, "0"))
            for name in ("empty", "category")
        ),
        a_record("hog", 20.0, dataset="cars"),
        *(stepped("single", step, 40.0 + step, dataset="cars") for step in (0, 50)),
        *(filed(name, 30.0) for name in ("head", "patches")),
    ]
    for record in records:
        (tmp_path / "r" / record.cell.id).mkdir(parents=True)
        write_record(tmp_path / "r" / record.cell.id, record)
    done, page = report(tmp_path / "r")
    assert done.status == 0
    assert [line.rpartition(";")[0] for line in done.err.splitlines()] == [
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
    assert {row[0].partition("[")[0] for row in rows_of(page, "prompts")} == {"dift", "tuned"}
    assert [row[0] for row in rows_of(page, "timesteps")] == ["0", "50"]


def test_the_command_imports_nothing_heavy_before_it_runs():
    code = (
        "import sys; from harness.cli import status; status(['report', '--help']); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"'torch'", "'pandas'", "'matplotlib'", "'jinja2'", "'pyarrow'"} & set(
        re.findall(r"'[\w.]+'", done.stdout)
    )


def test_the_gallery_agrees_with_the_scores(report, finished):
    """Every pair is in this page, so that the mean over its cards is the score of the record."""
    (gallery,) = galleries(report(finished / "r")[1])
    assert len(gallery["cards"]) == 20
    for number, method in enumerate(gallery["methods"]):
        scores = json.loads((cell(finished / "r", method) / RECORD).read_text())["scores"]
        (score,) = [
            one
            for one in scores
            if (one["protocol"], one["averaging"], one["alpha"], one["slice"])
            == ("sd4match", "image", 0.1, "all")
        ]
        assert np.mean(
            [np.mean(card["found"][number]["right"]) for card in gallery["cards"]]
        ) * 100 == pytest.approx(score["pck"])


def test_points_are_original_pixels(report, finished):
    (gallery,) = galleries(report(finished / "r")[1])
    stored = read_predictions(cell(finished / "r", "hog") / "predictions.parquet").to_pylist()
    number = gallery["methods"].index("hog")
    for card in gallery["cards"]:
        wanted = {row["keypoint_id"]: (row["x"], row["y"]) for row in stored if row["pair_id"] == card["id"]}
        for name, point in zip(card["names"], card["found"][number]["points"], strict=True):
            assert point == pytest.approx(wanted[name], abs=0.051)
        assert card["sizes"] == [[60, 48], [60, 48]]


def test_each_picture_is_in_the_page_once(report, finished):
    _, page = report(finished / "r")
    pictures = re.findall(r'href="(data:image/jpeg[^"]+)"', page)
    assert len(pictures) == len(set(pictures)) == 5
    assert max(picture for card in galleries(page)[0]["cards"] for picture in card["pictures"]) == 4


def test_pictures_take_what_the_rest_of_the_page_leaves(report, finished, monkeypatch):
    _, whole = report(finished / "r")
    monkeypatch.setattr("harness.report.page.MOST_BYTES", 1)
    done, page = report(finished / "r")
    assert done.status == 0
    assert "no pairs shown: the rest of the page fills it" in done.complaint
    assert "no pairs shown: the rest of the page fills it" in page
    assert galleries(page) == []
    monkeypatch.setattr("harness.report.page.MOST_BYTES", len(page) + 150_000 + 8_000)
    assert 0 < len(galleries(report(finished / "r")[1])[0]["cards"]) < len(galleries(whole)[0]["cards"])


def test_a_picture_is_paid_for_once(finished):
    a, b = (ImageFile(name, finished / "photos" / f"{name}.png") for name in ("photo0", "photo1"))
    images = ImageStore(100_000)
    assert images.add((a, b), 10) == [0, 1]
    assert images.bytes_left == 100_000 - 10 - sum(map(len, images.uris.values()))
    before = images.bytes_left
    assert images.add((b, a), 10) == [1, 0]
    assert images.bytes_left == before - 10
    small = ImageStore(50)
    assert small.add((a, b), 10) is None
    assert (small.bytes_left, small.uris) == (50, {})


def test_without_the_dataset_there_is_a_page_and_a_sentence(report, finished):
    done, page = report(finished / "r", data=False)
    assert done.status == 0
    assert "no pairs shown" in done.complaint
    assert "no pairs shown" in page
    assert "gallery-section" not in page
    assert "alpha-section" in page


def test_another_dataset_of_that_name_is_not_shown(bench, finished, tmp_path):
    other = make_photos(tmp_path / "photos", images=3)
    done = bench("report", finished / "r", "-o", tmp_path / "page.html", "--datasets", f"folder={other}")
    assert done.status == 0
    assert "differs from the one it was run on" in done.complaint


def test_a_broken_picture_costs_its_pairs_alone(report, finished, monkeypatch):
    opened = ImageFile.open

    def broken(self):
        if self.path.name == "photo1.png":
            raise DataError(f"image {self.path}: cannot be decoded; replace the file")
        return opened(self)

    monkeypatch.setattr(ImageFile, "open", broken)
    done, page = report(finished / "r")
    assert done.status == 0
    assert "8 pairs not shown: image" in done.complaint
    assert len(galleries(page)[0]["cards"]) == 12


def test_an_empty_folder(report, tmp_path):
    (tmp_path / "empty").mkdir()
    done, page = report(tmp_path / "empty")
    assert (done.status, page) == (2, "")
    assert "no finished cell in" in done.complaint


def test_no_folder(report, tmp_path):
    done, _ = report(tmp_path / "nothing")
    assert done.status == 2
    assert "no results folder" in done.complaint


@pytest.mark.parametrize("file", ["record.json", "predictions.parquet"])
def test_a_damaged_cell(report, results, file):
    (cell(results, "hog") / file).write_bytes(b"{")
    done, page = report(results)
    assert done.status == 1
    assert re.search(rf"{file}: not (a )?readable", done.complaint)
    assert re.search(rf"<li>r/{cell(results, 'hog').name}/{file}: not (a )?readable", page)
    assert galleries(page)[0]["methods"] == ["position"]


def test_only_damaged_cells(report, results):
    for method in ("hog", "position"):
        (cell(results, method) / RECORD).write_text("{")
    done, page = report(results)
    assert (done.status, page) == (2, "")


def test_an_interrupted_cell_is_named(report, results):
    (results / "photos-test-slow.0123456789ab" / "shards").mkdir(parents=True)
    done, page = report(results)
    assert done.status == 0
    assert "1 not finished" in page
    assert [row[4] for row in rows_of(page, "cells") if "slow" in row[0]] == ["not finished"]


def test_a_failed_and_a_not_applicable_cell(report, results):
    error = Error(type="ValueError", message="no such layer", traceback="line 1 of /home/me/x.py")
    for record in (
        Record(status="failed", cell=cell_info("broken", "folder:photos"), error=error),
        Record(status="not-applicable", cell=cell_info("unfit", "folder:photos"), reason="needs a prompt"),
    ):
        folder = results / record.cell.id
        folder.mkdir()
        write_record(folder, record)
    done, page = report(results)
    assert done.status == 0
    found = {row[0]: row for row in rows_of(page, "cells")}
    assert (found["broken"][4], found["broken"][-1]) == ("failed", "no such layer")
    assert (found["unfit"][4], found["unfit"][-1]) == ("not-applicable", "needs a prompt")
    assert "Not drawn: broken (failed: no such layer); unfit (not-applicable: needs a prompt)." in page
    assert "x.py" not in page


def test_a_limited_cell_is_marked_everywhere(report, results):
    place = cell(results, "hog")
    table = read_predictions(place / "predictions.parquet")
    kept = sorted(set(table["pair_id"].to_pylist()))[:4]
    rows = [row for row in table.to_pylist() if row["pair_id"] in kept]
    signatures = json.loads(table.schema.metadata[b"localizers"])
    write_table(
        place / "predictions.parquet",
        prediction_table({name: [row[name] for row in rows] for name in rows[0]}, signatures),
    )
    content = json.loads((place / RECORD).read_text())
    content["localizers"]["argmax"]["pairs"] = 4
    change(place, localizers=content["localizers"])
    done, page = report(results)
    assert done.status == 0
    assert "hog (limited to 4 of 20 pairs)" in galleries(page)[0]["methods"]
    figures = re.findall(r"<figure .*?</figure>", page, re.DOTALL)
    assert len(figures) == 4
    assert all("limited to 4 of 20 pairs" in figure for figure in figures)
    assert "1 limited to part of the pairs" in page
    # What a method did not predict is no card of its.
    number = galleries(page)[0]["methods"].index("hog (limited to 4 of 20 pairs)")
    assert sum(card["found"][number] is not None for card in galleries(page)[0]["cards"]) == 4


@pytest.mark.parametrize(
    ("place", "told"),
    [(".", "is a folder; name a file"), ("no/where.html", "is not a folder; make it first")],
)
def test_a_place_that_cannot_be_written_to(bench, results, tmp_path, place, told):
    done = bench("report", results, "-o", tmp_path / place)
    assert done.status == 2
    assert told in done.complaint


def test_a_full_disk_leaves_the_earlier_page(bench, finished, tmp_path, monkeypatch):
    page = tmp_path / "page.html"
    page.write_text("earlier")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.files.os.fsync", full)
    done = bench("report", finished / "r", "-o", page, "--datasets", f"folder={finished / 'photos'}")
    assert done.status == 2
    assert "No space left on device" in done.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert page.read_text() == "earlier"


def test_every_question_has_its_extreme_first():
    right = np.array([[0, 5, 3, 2, 4, 1, 3], [5, 5, 0, 2, 1, 1, 3]], dtype=float)
    ids = list("abcdefg")
    order = choose_pairs(right, np.full(7, 5.0), ids, ["x", "x", "x", "y", "y", "y", "x"], 1)
    chosen = [ids[one] for one in order]
    # worst and best of the first; of the other, and where both differ most; then each category's.
    assert chosen[:3] == ["a", "b", "c"]
    assert chosen.index("c") < chosen.index("f")
    assert sorted(chosen) == list("abcdef")


def test_ties_go_to_more_points_then_to_the_id():
    right, total = np.array([[0.0, 0.0, 0.0]]), np.array([3.0, 4.0, 4.0])
    assert choose_pairs(right, total, ["a", "c", "b"], ["x"] * 3, 3) == [2, 1, 0]


def test_a_method_without_a_prediction_has_no_extreme_there():
    right = np.array([[np.nan, 1.0], [0.0, 1.0]])
    assert choose_pairs(right[:1], np.array([1.0, 1.0]), ["a", "b"], ["x", "x"], 5) == [1]
    assert choose_pairs(right, np.array([1.0, 1.0]), ["a", "b"], ["x", "x"], 5) == [1, 0]


def test_pairs_are_each_chosen_once_in_an_order_that_does_not_depend_on_theirs():
    rng = np.random.default_rng(0)
    total = rng.integers(3, 9, 60).astype(float)
    right = np.floor(rng.random((3, 60)) * (total + 1))
    ids, names = [f"{one:02d}" for one in range(60)], [f"c{one % 4}" for one in range(60)]
    chosen = [ids[one] for one in choose_pairs(right, total, ids, names, 60)]
    assert sorted(chosen) == ids
    mixed = rng.permutation(60)
    again = choose_pairs(
        right[:, mixed], total[mixed], [ids[one] for one in mixed], [names[one] for one in mixed], 60
    )
    assert [ids[mixed[one]] for one in again] == chosen


def titles(records, view=VIEW):
    return [one.title for group in series_by_split(records, view) for one in group.series]


def test_series_are_named_by_what_tells_them_apart():
    assert titles([a_record("dift", 60.0), a_record("hog", 20.0)]) == ["dift", "hog"]
    prompts = [
        a_record("dift", 60.0, prompt="empty", identity="a" * 12),
        a_record("dift", 50.0, prompt="category", identity="b" * 12),
    ]
    assert titles([*prompts, a_record("hog", 20.0)]) == ["dift (empty)", "dift (category)", "hog"]
    assert titles([a_record("dift", localizers=("argmax", "bilinear"))]) == [
        "dift (argmax)",
        "dift (bilinear)",
    ]
    both = [
        a_record("dift", 60.0, prompt=name, localizers=("argmax", "bilinear"), identity=name[0] * 12)
        for name in ("empty", "category")
    ]
    assert len(set(titles(both))) == 4
    assert distinguish_names([]) == []


def test_limited_series_come_last_and_say_so():
    assert titles([a_record("all", 20.0), a_record("some", 90.0, stored=3)]) == [
        "all",
        "some (limited to 3 of 10 pairs)",
    ]


def test_protocols_are_never_mixed():
    records = [a_record("a", protocols=("sd4match",)), a_record("b", protocols=("original",))]
    (group,) = series_by_split(records, VIEW)
    assert [one.name for one in group.series] == ["a"]
    assert group.left_out == ("b (protocol original only)",)
    assert "Not drawn: b (protocol original only)." in sections(records, VIEW)[0].figures[0].caption


def test_what_there_is_no_room_for_is_counted():
    records = [a_record(f"m{number}", 10.0 + number, identity=f"{number:012d}") for number in range(11)]
    figure = sections(records, VIEW)[0].figures[0]
    assert "The first 8 of 11 series are drawn; the numbers below have all." in figure.caption
    assert [key.title for key in figure.legend] == [f"m{number}" for number in range(10, 2, -1)]
    assert len(figure.numbers.rows) == 11


def stepped(method, step, pck, **more):
    record = a_record(method, pck, identity=f"{method}{step}".ljust(12, "0")[:12], **more)
    label = f"{method}[timestep={step}]"
    return record.model_copy(
        update={"cell": record.cell.model_copy(update={"label": label, "params": {"timestep": step}})}
    )


def kinds(records):
    return {section.key: section.figures for section in sections(records, VIEW)}


def test_a_sweep_over_timesteps_has_a_curve_for_each_method():
    records = [stepped("dift", step, 40.0 + step / 100) for step in (0, 50, 261)] + [
        stepped("single", 50, 60.0)
    ]
    (figure,) = kinds(records)["timestep"]
    # One timestep is no curve.
    assert [key.title for key in figure.legend] == ["dift"]
    assert [row[0] for row in figure.numbers.rows] == ["0", "50", "261"]
    assert "timestep" not in kinds(records[-1:])


def test_a_curve_with_a_limited_point_says_so():
    (figure,) = kinds([stepped("dift", 0, 40.0), stepped("dift", 50, 41.0, stored=4)])["timestep"]
    assert [key.title for key in figure.legend] == ["dift (limited to 4 of 10 pairs)"]


def filed(name, pck):
    record = a_record("tuned", pck, identity=name.ljust(12, "0")[:12])
    label = f"tuned[prompt-file={name}/best.safetensors]"
    return record.model_copy(update={"cell": record.cell.model_copy(update={"label": label})})


def test_prompt_files_of_one_method_are_bars_beside_each_other():
    (figure,) = kinds([filed("head", 40.0), filed("patches", 50.0), a_record("hog", 10.0)])["ablation"]
    assert [row[0] for row in figure.numbers.rows] == ["patches", "head"]
    assert figure.title == "tuned, birds"
    assert "ablation" not in kinds([filed("head", 40.0), a_record("hog", 10.0)])


def test_charts_are_svg_that_can_stand_beside_each_other():
    line = Curve(0, [Value(10.0, 8.0, 12.0), None, Value(99.0, None, None)])
    drawn = [
        charts.curve_chart([0.05, 0.1, 0.15], [line], "alpha", ["a", "b", "c"], "one"),
        charts.bar_chart(["$x$", "<b>", "_c"], [line], "two"),
        charts.heat_map(["r"], ["a", "b", "c"], [[0.0, None, 100.0]], "three"),
        charts.panel_chart(["v", "w"], [["0", "1", "2"]] * 2, [[line], [line]], "four"),
    ]
    ids = []
    for svg in drawn:
        tree = ElementTree.fromstring(svg)
        ids += [one.attrib["id"] for one in tree.iter() if "id" in one.attrib]
        assert "currentColor" in svg
        assert "#010203" not in svg
    assert len(ids) == len(set(ids))
    assert "$x$" in drawn[1]
    assert "&lt;b&gt;" in drawn[1]


def test_charts_do_not_depend_on_the_users_settings(monkeypatch):
    import matplotlib as mpl

    line = Curve(1, [Value(10.0, 8.0, 12.0)] * 2)
    before = charts.bar_chart(["a", "b"], [line], "x")
    monkeypatch.setitem(mpl.rcParams, "xtick.direction", "in")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    assert charts.bar_chart(["a", "b"], [line], "x") == before


def test_a_table_keeps_its_texts_and_marks():
    table = Table(
        "c",
        ("#", "method", "birds @0.10", "note"),
        (("1", "<i>", "50.0 ±1.0", ""), ("2", "b", "–", "limited")),
        names=2,
    )
    object.__setattr__(table, "marks", {(0, 2): "best", (1, 2): "second"})
    made = make_html_table(table, "k", "t")
    assert [[cell.text for cell in row] for row in made.rows] == [list(row) for row in table.rows]
    assert [[cell.mark for cell in row] for row in made.rows] == [
        [None, None, "best", None],
        [None, None, "second", None],
    ]
    assert [cell.tag for cell in made.rows[0]] == ["td", "th", "td", "td"]
    assert [(choice.title, choice.values) for choice in made.menus] == [("method", ("<i>", "b"))]


def test_a_page_of_a_large_run_is_below_five_megabytes(bench, tmp_path):
    """Noise, which does not compress: 250 pictures, 2,000 pairs in 18 categories, five methods."""
    photos, results = large(tmp_path)
    page = tmp_path / "page.html"
    done = bench("report", results, "-o", page, "--datasets", f"folder={photos}")
    assert (done.status, done.err) == (0, "")
    size = page.stat().st_size
    assert 2_000_000 < size < 5_000_000
    (gallery,) = galleries(page.read_text())
    assert f"{len(gallery['cards']):,} of 2,000 pairs" in page.read_text()
    assert len(gallery["cards"]) > 30


def large(folder, pictures=250, pairs=2000, methods=5):
    rng = np.random.default_rng(0)
    photos = folder / "photos"
    photos.mkdir()
    for number in range(pictures):
        noise = rng.integers(0, 256, (100, 130, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).resize((300, 230)).save(photos / f"{number}.jpg", quality=90)
    points = rng.uniform(20, 200, (pairs, 2, 8, 2)).round(2)
    ends = rng.integers(0, pictures, (pairs, 2))
    names = [f"c{number:02d}" for number in range(18)]
    listed = [
        {
            "source": f"{a}.jpg",
            "target": f"{b}.jpg",
            "category": names[number % 18],
            "source_points": points[number, 0].tolist(),
            "target_points": points[number, 1].tolist(),
            "target_box": [10, 10, 210, 210],
        }
        for number, (a, b) in enumerate(ends.tolist())
    ]
    write_list(photos, {"name": "photos", "pairs": listed})
    index = read_split(load_plugins().datasets["folder"], photos, "test")
    for number in range(methods):
        store(
            folder / "r",
            f"method-{number}",
            index,
            points[:, 1] + rng.normal(0, 10 + 2 * number, (pairs, 8, 2)),
            names,
        )
    return photos, folder / "r"


def store(results, method, index, points, names):
    """A finished cell with made-up predictions; its scores are made up, too."""
    ids = [(pair_id, key) for pair_id in index.pair_ids for key in index.keypoint_ids(pair_id)]
    flat = points.reshape(-1, 2)
    count = len(index.pair_ids)
    columns = {
        "pair_id": [one for one, _ in ids],
        "keypoint_id": [key for _, key in ids],
        "localizer": ["argmax"] * len(ids),
        "x": flat[:, 0],
        "y": flat[:, 1],
        "score": np.zeros(len(ids)),
    }
    parts = ["all", *(f"category={name}" for name in names)]
    scores = [
        Score(
            localizer="argmax",
            protocol="sd4match",
            averaging="image",
            alpha=alpha,
            slice=part,
            pck=40,
            low=39,
            high=41,
            pairs=9,
            keypoints=9,
        )
        for alpha in (0.05, 0.1)
        for part in parts
    ]
    info = cell_info(method, index.label).model_copy(update={"fed": (100, 100)})
    record = Record(
        status="ok",
        cell=info,
        counts=Counts(pairs=count, excluded=0, absent_points=0, limit=None),
        localizers={"argmax": LocalizerInfo(options={}, pairs=count, keypoints=len(ids), failed=0)},
        thresholds={"sd4match": "box"},
        scores=scores,
        provenance=Provenance(
            versions={"python": "3"},
            commit=None,
            dirty=None,
            plugins={},
            weights={},
            manifest=index.manifest,
            hardware={},
            precision="fp32",
            device="cpu",
            batch_size=1,
            started="",
            computed_pairs=count,
            stages={},
            gpu_peak_memory_bytes=None,
        ),
    )
    folder = results / info.id
    folder.mkdir(parents=True)
    write_record(folder, record)
    write_table(folder / "predictions.parquet", prediction_table(columns, {"argmax": "x"}))


@pytest.mark.parametrize("command", ["report", "match"])
def test_what_is_no_file_is_not_replaced(bench, finished, tmp_path, command):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    photos = sorted((finished / "photos").glob("*.png"))[:2]
    words = (
        ("report", finished / "r", "-o", pipe)
        if command == "report"
        else ("match", *photos, "--points", "5,5", "--method", "hog", "-o", pipe)
    )
    told = bench(*words)
    assert told.status == 2
    assert "is no file but a device, a pipe or the like" in told.complaint
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_stays_one_and_leads_to_the_page(report, finished, tmp_path):
    place, link = tmp_path / "real.html", tmp_path / "page.html"
    place.write_text("old")
    link.symlink_to(place)
    done, page = report(finished / "r")
    assert done.status == 0
    assert link.is_symlink()
    assert place.read_text(encoding="utf-8") == page != "old"
