"""Annotations in another unit or convention: told in one line, and computed with as they stand."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest
from support.photos import draw, make_photos, photo_list, write_list

from harness.datasets.folder import SPEC
from harness.datasets.notes import notes_on_split
from harness.datasets.plausibility import find_oddities
from harness.datasets.shapes.spec import SHAPES
from harness.datasets.spair71k import SPEC as SPAIR
from harness.datasets.splits import read_split

WIDTH, HEIGHT = 320, 240


@pytest.fixture
def large(tmp_path):
    """Four photos of 320 x 240 pixels and a list whose points are spread over them."""
    folder = make_photos(tmp_path / "large")
    for number in range(4):
        draw(folder / f"photo{number}.png", number, (WIDTH, HEIGHT))
    return folder


def change(folder, edit, scale=5.0):
    """Writes the list with points and boxes for large photos, each pair changed."""
    content = photo_list()
    for number, pair in enumerate(content["pairs"]):
        for key in ("source_points", "target_points"):
            pair[key] = (np.array(pair[key]) * scale).tolist()
        pair["target_box"] = [number_ * scale for number_ in pair["target_box"]]
        edit(number, pair)
    write_list(folder, content)


def oddities(folder):
    return find_oddities(read_split(SPEC, folder, "test"))


def scale_points(divisor, keys=("source_points", "target_points")):
    def edit(number, pair):
        pair.pop("target_box")
        for key in keys:
            pair[key] = (np.array(pair[key]) / divisor).round(4).tolist()

    return edit


def test_a_list_as_it_should_be_is_not_remarked_on(large):
    change(large, lambda number, pair: None)
    assert oddities(large) == []


def test_the_drawn_dataset_is_not_remarked_on(tmp_path):
    assert notes_on_split(read_split(SHAPES, tmp_path, "test")) == []


@pytest.mark.parametrize("keys", [("source_points", "target_points"), ("source_points",), ("target_points",)])
def test_fractions_of_the_picture(large, keys):
    change(large, scale_points([WIDTH, HEIGHT], keys))
    (line,) = oddities(large)
    assert f"between 0 and 1 in {12 * len(keys)} sides of pairs" in line
    assert "fractions" in line


def test_fractions_in_one_pair_of_many(large):
    change(large, lambda number, pair: number == 7 and scale_points([WIDTH, HEIGHT])(number, pair))
    (line,) = oddities(large)
    assert "in 2 sides of pairs, the first in pair 000008" in line


@pytest.mark.parametrize(
    ("keys", "start"),
    [(("source_points", "target_points"), "all points"), (("target_points",), "all target points")],
)
def test_percent_of_the_picture(large, keys, start):
    change(large, scale_points([WIDTH / 100, HEIGHT / 100], keys))
    (line,) = oddities(large)
    assert line.startswith(f"{start} lie within 100, in pictures of up to 320 x 240 pixels: percent")


def test_pixels_of_a_smaller_copy_lie_in_one_corner(large):
    change(large, scale_points(2.1))
    (line,) = oddities(large)
    assert "all points lie in the upper left quarter of their pictures" in line


def test_points_that_are_not_visible_as_zeros(large):
    def edit(number, pair):
        pair["target_points"][number % 5] = [0, 0]
        pair.pop("target_box")

    change(large, edit)
    (line,) = oddities(large)
    # Of the four pictures' twenty points.
    assert line.startswith("12 of 20 points lie in one place, (0, 0)") or "(0, 0)" in line
    assert "null" in line


def test_points_that_are_not_visible_in_another_place(large):
    def edit(number, pair):
        pair["source_points"][1] = pair["source_points"][2] = [1, 1]

    change(large, edit)
    assert any("lie in one place, (1, 1)" in line for line in oddities(large))


@pytest.mark.parametrize(
    ("box", "convention"),
    [
        ([110, 75, 140, 95], "x, y, width, height"),
        ([180, 122, 140, 95], "centre x, centre y, width, height"),
        ([75, 110, 170, 239], "y1, x1, y2, x2"),
    ],
)
def test_boxes_of_another_convention(large, box, convention):
    def edit(number, pair):
        # Points from (116, 80) to (244, 165): far enough from the upper left for corners to be another box.
        for key in ("source_points", "target_points"):
            pair[key] = (np.array(pair[key]) * (0.6, 0.5) + (86, 55)).tolist()
        # Where width and height are less than x and y, the list itself is refused.
        pair["target_box"] = [box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1)]

    change(large, edit)
    (line,) = oddities(large)
    assert f"boxes look like {convention}: read so, 0 of 60 points" in line


def test_boxes_beyond_the_picture(large):
    def edit(number, pair):
        if number == 3:
            pair["target_box"] = [-50, -50, 900, 900]

    change(large, edit)
    (line,) = oddities(large)
    assert line == (
        "1 box reaches beyond the picture, the first in pair 000004: [-50, -50, 900, 900] in 320 x 240 pixels"
    )


def test_points_outside_their_own_box(large):
    def edit(number, pair):
        if number == 3:
            pair["target_box"] = [100, 100, 150, 150]

    change(large, edit)
    (line,) = oddities(large)
    assert line.startswith("4 of 60 points (7 %) lie outside their own box, the first in pair 000004: target")


def test_a_point_a_little_outside_its_box_is_no_remark(large):
    def edit(number, pair):
        pair["target_box"] = [52, 52, 270, 212]

    change(large, edit)
    assert oddities(large) == []


def turned(path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    with PIL.Image.open(path) as image:
        image.save(path, exif=exif)


def test_verify_warns_and_counts_the_dataset_as_whole(bench, photos):
    turned(photos / "photo1.png")
    done = bench("data", "verify", f"folder={photos}")
    assert (done.status, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first.startswith("folder:photos test: ok (")
    assert second.startswith("  warning: 1 picture has an orientation tag, which is ignored, the first ")
    (report,) = json.loads(bench("data", "verify", f"folder={photos}", "--json").out)
    assert (len(report["warnings"]), report["whole"]) == (1, True)


def test_a_run_warns_once_for_each_dataset_and_scores_all_the_same(bench, photos, tmp_path):
    for number in range(2):
        turned(photos / f"photo{number}.png")
    content = photo_list()
    content["pairs"][0]["source_points"] = [[0, 0], [0, 0], [30, 24], [10, 40], [50, 40]]
    write_list(photos, content)
    run = ("run", "--methods", "position,hog", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    done = bench(*run)
    assert done.status == 0
    assert "folder:photos test: may be annotated otherwise than it is read: " in done.complaint
    assert "lie in one place, (0, 0)" in done.complaint
    assert "2 pictures have an orientation tag" in done.complaint


def test_points_outside_the_picture_in_an_official_layout(tmp_path):
    folder = tmp_path / "SPair-71k"
    for name in ("a", "b"):
        draw(folder / "JPEGImages" / "cat" / f"{name}.jpg", 1, (WIDTH, HEIGHT))
    annotation = {
        **{"category": "cat", "src_imname": "a.jpg", "trg_imname": "b.jpg", "kps_ids": ["0", "1"]},
        **{"src_kps": [[100, 100], [5, 5]], "trg_kps": [[900, 394], [200, 200]]},
        **{"src_imsize": [WIDTH, HEIGHT, 3], "trg_imsize": [WIDTH, HEIGHT, 3]},
        **{"src_bndbox": [0, 0, 319, 239], "trg_bndbox": [-50, -50, 900, 900]},
    }
    (folder / "PairAnnotation" / "test").mkdir(parents=True)
    (folder / "PairAnnotation" / "test" / "one.json").write_text(json.dumps(annotation))
    (folder / "Layout" / "large").mkdir(parents=True)
    (folder / "Layout" / "large" / "test.txt").write_text("one\n")
    box, point = find_oddities(read_split(SPAIR, folder, "test"))
    assert box.startswith("1 box reaches beyond the picture")
    assert point == (
        "1 of 4 points lies outside the picture, the first in pair one: target (900, 394) in 320 x 240 pixels"
    )


def test_thresholds_in_percent_are_asked_about_and_computed_all_the_same(bench, photos, tmp_path):
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    done = bench(*run, "--alphas", "5,0.1,10")
    assert done.status == 0
    assert done.complaint == (
        "bench: --alphas 5 and 10: above 1, where a point may miss by more than the whole length; "
        "were 0.05 and 0.1 meant?"
    )
    assert "alphas" not in bench(*run, "--alphas", "0.05,1").err
    rescored = bench("rescore", tmp_path / "r", "--alphas", "2", "--datasets", f"folder={photos}")
    assert "was 0.02 meant?" in rescored.complaint
