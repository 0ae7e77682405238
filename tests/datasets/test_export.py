"""`bench data export`: read back by this program, and opened step by step as others open SPair-71k."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from harness.datasets.lists import VOC_CATEGORIES
from harness.datasets.shapes import export as writing
from harness.datasets.shapes import pairs as drawing
from harness.datasets.shapes.export import ExportOptions, draw_mask, export
from harness.datasets.shapes.pairs import Shapes, ShapesImage, SplitSize
from harness.datasets.spair71k import SPair71k
from harness.errors import UserError

IMAGES = 4


@pytest.fixture(scope="module")
def small():
    """The validation split with few pictures and pairs of each category."""
    patch = pytest.MonkeyPatch()
    patch.setattr(drawing, "SPLITS", {**drawing.SPLITS, "val": SplitSize(IMAGES, 3)})
    yield
    patch.undo()


@pytest.fixture(scope="module")
def exact(small, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exact")
    export(folder, ExportOptions(("val",)))
    return folder


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    export(folder, ExportOptions(("val",), whole_pixels=True))
    return folder


def annotations(folder: Path) -> list[dict]:
    """Pair annotations, in the order in which other programs list them."""
    return [
        json.loads(path.read_text()) for path in sorted((folder / "PairAnnotation" / "val").glob("*.json"))
    ]


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "JPEGImages").glob("*/*"))


def test_the_same_pairs_are_read_back(exact):
    dataset, exported = Shapes("val"), SPair71k(exact, "val")
    assert list(dataset.pair_ids) == list(exported.pair_ids)
    assert len(dataset) == 30
    for number in range(len(dataset)):
        pair, exported_pair = dataset[number], exported[number]
        for field in dataclasses.fields(pair):
            if field.name in ("pair_id", "source_size", "target_size", "category", "keypoint_ids"):
                assert getattr(pair, field.name) == getattr(exported_pair, field.name), field.name
        assert pair.source_box == exported_pair.source_box
        assert pair.target_box == exported_pair.target_box
        assert {**pair.labels, "mirror": 0} == exported_pair.labels
        np.testing.assert_array_equal(pair.source_points, exported_pair.source_points)
        np.testing.assert_array_equal(pair.target_points, exported_pair.target_points)
        assert (pair.source.name, pair.target.name) == (exported_pair.source.name, exported_pair.target.name)
    assert pair.source.open().tobytes() == exported_pair.source.open().tobytes()


def test_whole_pixels_are_the_nearest_ones(exact, whole):
    fractions, rounded = SPair71k(exact, "val"), SPair71k(whole, "val")
    for number in range(len(fractions)):
        for side in ("source_points", "target_points"):
            points = getattr(rounded[number], side)
            assert (points == np.round(points)).all()
            assert np.abs(points - getattr(fractions[number], side)).max() <= 0.5
        size = rounded[number].target_size
        x1, y1, x2, y2 = rounded[number].target_box
        assert 0 <= x1 < x2 <= size.width and 0 <= y1 < y2 <= size.height


def test_pictures_open_under_their_names_and_nothing_of_them_is_lost(exact):
    paths = pictures(exact)
    assert len(paths) == 10 * IMAGES
    assert {path.suffix for path in paths} == {".jpg"}
    for path in paths[::7]:
        category, index = path.parent.name, int(path.stem.removeprefix("val_"))
        with PIL.Image.open(path) as image:
            assert image.mode == "RGB"
            assert image.tobytes() == ShapesImage("val", category, index).open().tobytes()


def test_a_pairs_name_is_made_of_its_pictures_names(exact):
    for annotation in annotations(exact):
        number, source, rest = annotation["filename"].split("-")
        target, category = rest.split(":")
        assert int(number) == annotation["pair_id"]
        assert (f"{source}.jpg", f"{target}.jpg") == (annotation["src_imname"], annotation["trg_imname"])
        assert category == annotation["category"]
        assert (exact / "JPEGImages" / category / annotation["trg_imname"]).is_file()


def test_masks_are_found_by_the_pictures_name_and_hold_the_class(exact):
    for path in pictures(exact):
        category = path.parent.name
        with PIL.Image.open(exact / "Segmentation" / category / f"{path.stem}.png") as file:
            mask = np.asarray(file)
        with PIL.Image.open(path) as image:
            assert mask.shape == (image.height, image.width)
        if category in VOC_CATEGORIES:
            # Class numbers from 0, and one more in the mask.
            assert set(np.unique(mask)) == {0, VOC_CATEGORIES.index(category) + 1}
        else:
            assert mask.max() > len(VOC_CATEGORIES)


def test_annotations_of_pictures_are_found_by_replacing_folder_and_suffix(exact):
    for annotation in annotations(exact):
        for side in ("src", "trg"):
            picture = str(exact / "JPEGImages" / annotation["category"] / annotation[f"{side}_imname"])
            path = picture.replace("JPEGImages", "ImageAnnotation").replace("jpg", "json")
            of_picture = json.loads(Path(path).read_text())
            # Thirty slots by number, into which each program looks without asking.
            slots = [of_picture["kps"][str(number)] for number in range(30)]
            assert len(of_picture["kps"]) == 30
            for name, point in zip(annotation["kps_ids"], annotation[f"{side}_kps"], strict=True):
                assert slots[int(name)] == point
            assert len(of_picture["bndbox"]) == 4
            width, height, channels = annotation[f"{side}_imsize"]
            assert (of_picture["image_width"], of_picture["image_height"], channels) == (width, height, 3)


def test_no_pair_is_mirrored(exact):
    assert {annotation["mirror"] for annotation in annotations(exact)} == {0}


def test_pairs_of_a_category_are_found_by_their_names_end(exact):
    for category in ("cat", "fish"):
        assert len(list((exact / "PairAnnotation" / "val").glob(f"*:{category}.json"))) == 3


def test_lists_name_the_annotations(exact):
    names = (exact / "Layout" / "large" / "val.txt").read_text().split("\n")
    assert names.pop() == ""
    assert sorted(names) == [annotation["filename"] for annotation in annotations(exact)]


def test_whole_pixels_are_indices_of_their_pictures(whole):
    for annotation in annotations(whole):
        for side in ("src", "trg"):
            width, height, _ = annotation[f"{side}_imsize"]
            map_of_picture = np.zeros((height, width))
            for x, y in annotation[f"{side}_kps"]:
                # An index, which a float cannot be.
                map_of_picture[y, x] = 1
            assert all(isinstance(value, int) for value in annotation[f"{side}_bndbox"])


def test_visible_points_lie_on_the_objects_mask():
    on_mask = []
    for category in ("cat", "car", "house"):
        for index in range(10):
            scene = ShapesImage("val", category, index).scene()
            mask = np.asarray(draw_mask(scene, category))
            for x, y in scene.points[np.isfinite(scene.points).all(axis=1)]:
                around = mask[max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2]
                on_mask.append(around.any())
    assert np.mean(on_mask) > 0.98


def test_an_interrupted_export_is_completed_by_the_same_command(small, exact, tmp_path, monkeypatch):
    folder = tmp_path / "out"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_write_pairs", stop)
        with pytest.raises(KeyboardInterrupt):
            export(folder, ExportOptions(("val",)))
    with pytest.raises(UserError, match="holds an unfinished export of other splits or options; delete it"):
        export(folder, ExportOptions(("val",), whole_pixels=True))
    export(folder, ExportOptions(("val",)))
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*"))]
    assert names == [path.relative_to(exact) for path in sorted(exact.rglob("*"))]
    with pytest.raises(UserError, match="is not an empty folder; name a new one"):
        export(folder, ExportOptions(("val",)))


def test_the_command_says_which_categories_are_foreign(bench, small, tmp_path):
    done = bench("data", "export", "shapes", tmp_path / "out", "--split", "val", "--whole-pixels")
    assert (done.status, done.err) == (0, "")
    written, note = done.out.splitlines()
    assert written == f"shapes val written to {tmp_path / 'out'}"
    assert note.startswith("fish and house are no categories of SPair-71k")


def test_foreign_categories_are_left_out_on_request(bench, small, tmp_path):
    done = bench("data", "export", "shapes", tmp_path / "out", "--split", "val", "--voc-only")
    assert (done.status, len(done.out.splitlines())) == (0, 1)
    for name in ("JPEGImages", "Segmentation", "ImageAnnotation"):
        assert {path.name for path in (tmp_path / "out" / name).iterdir()} < set(VOC_CATEGORIES)
    exported = SPair71k(tmp_path / "out", "val")
    assert len(exported) == 8 * 3
    assert {exported[number].category for number in range(len(exported))} < set(VOC_CATEGORIES)


def test_only_the_bundled_dataset_can_be_exported(bench, tmp_path):
    done = bench("data", "export", "pf-willow", tmp_path / "out")
    assert done.status == 2
    assert "pf-willow cannot be exported, only shapes can" in done.complaint
    assert not (tmp_path / "out").exists()


def test_folders_with_something_in_them_are_left_alone(bench, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        done = bench("data", "export", "shapes", place)
        assert done.status == 2
        assert f"{place} is not an empty folder" in done.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_splits_are_known_before_anything_is_written(bench, tmp_path):
    done = bench("data", "export", "shapes", tmp_path / "out", "--split", "tset")
    assert done.status == 2
    assert "has no split 'tset'" in done.complaint
    assert not (tmp_path / "out").exists()
