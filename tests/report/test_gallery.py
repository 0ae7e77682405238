"""Pairs in the page of `bench report`: points, pictures, the choice of pairs."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from support.photos import make_photos
from support.report_pages import cell_folder, read_galleries

from harness.datasets.images import ImageFile
from harness.errors import DataError
from harness.records.folders import RECORD
from harness.records.predictions import read_predictions
from harness.report.image_store import ImageStore
from harness.report.selection import choose_pairs


def test_the_gallery_agrees_with_the_scores(report, finished_run):
    """Every pair is in this page, so that the mean over its cards is the score of the record."""
    (gallery,) = read_galleries(report(finished_run / "r")[1])
    assert len(gallery["cards"]) == 20
    for number, method in enumerate(gallery["methods"]):
        scores = json.loads((cell_folder(finished_run / "r", method) / RECORD).read_text())["scores"]
        wanted = {"protocol": "sd4match", "averaging": "image", "alpha": 0.1, "slice": "all"}
        (score,) = [score for score in scores if score.items() >= wanted.items()]
        shares = [np.mean(card["found"][number]["right"]) for card in gallery["cards"]]
        assert np.mean(shares) * 100 == pytest.approx(score["pck"])


def test_points_are_original_pixels(report, finished_run):
    (gallery,) = read_galleries(report(finished_run / "r")[1])
    stored = read_predictions(cell_folder(finished_run / "r", "hog") / "predictions.parquet").to_pylist()
    number = gallery["methods"].index("hog")
    for card in gallery["cards"]:
        wanted = {row["keypoint_id"]: (row["x"], row["y"]) for row in stored if row["pair_id"] == card["id"]}
        for name, point in zip(card["names"], card["found"][number]["points"], strict=True):
            assert point == pytest.approx(wanted[name], abs=0.051)
        assert card["sizes"] == [[60, 48], [60, 48]]


def test_each_picture_is_in_the_page_once(report, finished_run):
    _, page = report(finished_run / "r")
    pictures = re.findall(r'href="(data:image/jpeg[^"]+)"', page)
    assert len(pictures) == len(set(pictures)) == 5
    assert max(picture for card in read_galleries(page)[0]["cards"] for picture in card["pictures"]) == 4


def test_pictures_take_what_the_rest_of_the_page_leaves(report, finished_run, monkeypatch):
    _, whole = report(finished_run / "r")
    monkeypatch.setattr("harness.report.page.MOST_BYTES", 1)
    outcome, page = report(finished_run / "r")
    assert outcome.status == 0
    assert "no pairs shown: the rest of the page fills it" in outcome.complaint
    assert "no pairs shown: the rest of the page fills it" in page
    assert read_galleries(page) == []
    monkeypatch.setattr("harness.report.page.MOST_BYTES", len(page) + 150_000 + 8_000)
    _, cut = report(finished_run / "r")
    assert 0 < len(read_galleries(cut)[0]["cards"]) < len(read_galleries(whole)[0]["cards"])


def test_a_picture_is_paid_for_once(finished_run):
    a, b = (ImageFile(name, finished_run / "photos" / f"{name}.png") for name in ("photo0", "photo1"))
    images = ImageStore(100_000)
    assert images.add((a, b), 10) == [0, 1]
    assert images.bytes_left == 100_000 - 10 - sum(map(len, images.uris.values()))
    before = images.bytes_left
    assert images.add((b, a), 10) == [1, 0]
    assert images.bytes_left == before - 10
    small = ImageStore(50)
    assert small.add((a, b), 10) is None
    assert (small.bytes_left, small.uris) == (50, {})


def test_without_the_dataset_there_is_a_page_and_a_sentence(report, finished_run):
    outcome, page = report(finished_run / "r", data=False)
    assert outcome.status == 0
    assert "no pairs shown" in outcome.complaint
    assert "no pairs shown" in page
    assert "gallery-section" not in page
    assert "alpha-section" in page


def test_another_dataset_of_that_name_is_not_shown(bench, finished_run, tmp_path):
    other_photos = make_photos(tmp_path / "photos", images=3)
    outcome = bench(
        "report", finished_run / "r", "-o", tmp_path / "page.html", "--datasets", f"folder={other_photos}"
    )
    assert outcome.status == 0
    assert "differs from the one it was run on" in outcome.complaint


def test_a_broken_picture_costs_its_pairs_alone(report, finished_run, monkeypatch):
    open_image = ImageFile.open

    def fail_for_one(self):
        if self.path.name == "photo1.png":
            raise DataError(f"image {self.path}: cannot be decoded; replace the file")
        return open_image(self)

    monkeypatch.setattr(ImageFile, "open", fail_for_one)
    outcome, page = report(finished_run / "r")
    assert outcome.status == 0
    assert "8 pairs not shown: image" in outcome.complaint
    assert len(read_galleries(page)[0]["cards"]) == 12


def test_every_question_has_its_extreme_first():
    right = np.array([[0, 5, 3, 2, 4, 1, 3], [5, 5, 0, 2, 1, 1, 3]], dtype=float)
    ids = list("abcdefg")
    order = choose_pairs(right, np.full(7, 5.0), ids, ["x", "x", "x", "y", "y", "y", "x"], 1)
    chosen = [ids[number] for number in order]
    # Worst and best of one method; of the other, and where they differ most; then each category's.
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
    ids, names = [f"{number:02d}" for number in range(60)], [f"c{number % 4}" for number in range(60)]
    chosen = [ids[number] for number in choose_pairs(right, total, ids, names, 60)]
    assert sorted(chosen) == ids
    mixed = rng.permutation(60)
    mixed_ids, mixed_names = [ids[number] for number in mixed], [names[number] for number in mixed]
    again = choose_pairs(right[:, mixed], total[mixed], mixed_ids, mixed_names, 60)
    assert [mixed_ids[number] for number in again] == chosen
