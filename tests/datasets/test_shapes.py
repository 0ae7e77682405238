"""The drawn dataset: what it promises, without looking at it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from harness.datasets.shapes import annotations
from harness.datasets.shapes.annotations import annotation_of
from harness.datasets.shapes.camera import Camera
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.outlines import is_inside, limb
from harness.datasets.shapes.pairs import SPLITS, Shapes, ShapesImage, keypoint_names
from harness.datasets.shapes.scene import draw_scene, lay_out, sketch_object
from harness.datasets.shapes.sketch import Sketch
from harness.datasets.shapes.spec import SHAPES
from harness.datasets.splits import read_split
from harness.errors import UserError
from harness.frames import Size
from harness.specs import ImagePair


@pytest.fixture(scope="module")
def test_pairs() -> list[ImagePair]:
    dataset = Shapes("test")
    return [dataset[number] for number in range(len(dataset))]


def test_official_counts_are_those_of_the_spec(test_pairs: list[ImagePair]) -> None:
    names = {image.name for pair in test_pairs for image in (pair.source, pair.target)}
    counts = {
        "pairs": len(test_pairs),
        "images": len(names),
        "keypoints": sum(len(pair.keypoint_ids) for pair in test_pairs),
    }
    assert counts == SHAPES.counts["test"]


def test_kept_annotations_are_what_is_drawn() -> None:
    images = Shapes("test").images()
    drawn = [(image.name, annotation_of(image.scene())) for image in images]
    assert annotations.FILE.read_text(encoding="utf-8") == annotations.to_json(drawn)
    for name, annotation in drawn:
        kept = asdict(annotations.kept_annotation("test", name))
        assert kept.pop("points").tobytes() == annotation.points.tobytes()
        assert kept == {name: value for name, value in asdict(annotation).items() if name != "points"}
        assert {name: type(value) for name, value in kept.items()} == {
            name: type(value) for name, value in asdict(annotation).items() if name != "points"
        }


def test_annotations_of_another_drawing_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    annotations._read.cache_clear()
    monkeypatch.setattr(annotations, "VERSION", 2)
    try:
        assert annotations.kept_annotation("test", "cat-test_0000") is None
    finally:
        annotations._read.cache_clear()


def test_ten_categories_of_at_least_eight_named_parts() -> None:
    assert len(KINDS) == 10
    for category, kind in KINDS.items():
        assert len(set(kind.keypoints)) == len(kind.keypoints) >= 8, category
        sketch = sketch_object(category, KeyedRandom("a test"))
        assert set(sketch.keypoints) == set(kind.keypoints)
        assert {part.paint for part in sketch.parts} <= set(kind.paints)
        for name, keypoint in sketch.keypoints.items():
            assert is_inside(np.array([keypoint.xy]), [sketch.parts[keypoint.part].outline]).all(), (
                f"{category}: {name} is not on its part"
            )


def test_every_keypoint_is_seen_in_at_least_a_third_of_the_pictures() -> None:
    dataset = Shapes("val")
    for category in KINDS:
        images = [image for image in dataset.images() if image.category == category]
        is_visible = [np.isfinite(dataset.annotation(image).points[:, 0]) for image in images]
        share = np.mean(is_visible, axis=0)
        assert (share > 0.33).all(), dict(zip(keypoint_names(category), share, strict=True))


def test_pairs_share_at_least_three_points_inside_pictures_and_boxes(test_pairs: list[ImagePair]) -> None:
    for pair in test_pairs:
        assert len(pair.keypoint_ids) >= 3
        for points, size, box in (
            (pair.source_points, pair.source_size, pair.source_box),
            (pair.target_points, pair.target_size, pair.target_box),
        ):
            assert box is not None
            assert 96 <= min(size) <= max(size) <= 128
            assert (points >= 0).all() and (points <= np.array(size) - 1).all()
            assert (points >= np.array(box[:2]) - 1.5).all() and (points <= np.array(box[2:]) + 1.5).all()
            assert 0 <= box[0] < box[2] <= size.width and 0 <= box[1] < box[3] <= size.height


def test_splits_share_no_picture_and_no_object() -> None:
    images = [ShapesImage(split, "cat", 0) for split in SPLITS]
    assert len({image.identity() for image in images}) == len(SPLITS)
    assert len({image.open().tobytes() for image in images}) == len(SPLITS)
    outlines = set()
    for image in images:
        outlines.add(np.concatenate([patch.outline for patch in image.scene().patches]).tobytes())
    assert len(outlines) == len(SPLITS)


def test_pictures_are_the_same_every_time_and_of_the_announced_size(test_pairs: list[ImagePair]) -> None:
    for pair in test_pairs[::97]:
        picture = pair.source.open()
        assert picture.mode == "RGB"
        assert picture.size == tuple(pair.source_size)
        assert picture.tobytes() == pair.source.open().tobytes()


def test_geometry_is_the_released_one() -> None:
    """Published numbers refer to these pictures.

    Whoever moves a point must raise `keyed_random.VERSION`, and change this hash.
    """
    digest = hashlib.sha256()
    for category in KINDS:
        digest.update(np.round(draw_scene("test", category, 0).points, 1).astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == "cdb5da70bb2bc9f8"


def test_looks_are_the_released_ones() -> None:
    """As above, for colours; a mean over a picture forgives the last bit of another machine's arithmetic."""
    means = [
        float(np.asarray(ShapesImage("test", category, 0).open(), dtype=np.float64).mean())
        for category in KINDS
    ]
    assert means == pytest.approx(
        [168.4, 145.7, 113.2, 161.3, 126.3, 139.5, 118.1, 131.8, 109.8, 83.5], abs=0.5
    )


def test_a_stroke_is_as_wide_as_asked_at_right_angles_to_its_path() -> None:
    path = [(0.0, 0.0), (1.0, 0.5), (1.5, 2.0), (3.0, 2.0)]
    points = np.array(path)
    along = np.gradient(points, axis=0)
    along /= np.sqrt((along**2).sum(axis=1, keepdims=True))
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * np.linspace(0.3, 0.1, 4)[:, None]
    for stroke in (path, points):
        outline = limb(stroke, 0.3, 0.1)
        assert outline[:4].tolist() == (points + across).tolist()
        assert outline[7:11].tolist() == (points - across)[::-1].tolist()
        assert outline[5] == pytest.approx(points[-1] + along[-1] * 0.1)
        assert outline[12] == pytest.approx(points[0] - along[0] * 0.3)


def test_a_point_is_moved_as_an_outline_is_to_the_last_bit() -> None:
    rng = KeyedRandom("points")
    points = [(rng.uniform(-1, 1), rng.uniform(-1, 1)) for _ in range(50)]
    for sketch in (Sketch(), Sketch().in_frame((0.3, -0.7), 31.0, 1.3).in_frame((0.1, 0.2), -12.0)):
        sketch.add("paint", np.array(points), **{str(number): point for number, point in enumerate(points)})
        assert [sketch.keypoints[str(number)].xy for number in range(50)] == list(
            map(tuple, sketch.parts[-1].outline.tolist())
        )


def test_a_part_is_painted_where_its_keypoint_is() -> None:
    """The cat's nose is pinker than its socks, in most pictures: looks say which part it is."""
    redness: dict[str, list[float]] = {"nose": [], "chest": []}
    for index in range(30):
        image = ShapesImage("train", "cat", index)
        pixels = np.asarray(image.open(), dtype=np.float64)
        for name, ratios in redness.items():
            x, y = image.scene().points[keypoint_names("cat").index(name)]
            if np.isfinite(x):
                red, green, _ = pixels[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].mean(
                    axis=(0, 1)
                )
                ratios.append(red / green)
    assert np.median(redness["nose"]) > 1.15 * np.median(redness["chest"])


def test_mirroring_swaps_left_and_right() -> None:
    sketch: Sketch = sketch_object("cat", KeyedRandom("a cat"))
    size = Size(100, 120)
    _, plain = lay_out(sketch, Camera(), size)
    _, mirrored = lay_out(sketch, Camera(mirrored=True), size)
    for name, partner in (("left_eye", "right_eye"), ("right_paw", "left_paw"), ("nose", "nose")):
        assert mirrored[partner] == pytest.approx((100 - plain[name][0], plain[name][1]), abs=0.01)
    assert plain["right_eye"][0] < plain["left_eye"][0]
    assert mirrored["right_eye"][0] < mirrored["left_eye"][0]


def test_labels_are_those_of_spair_and_all_levels_occur(test_pairs: list[ImagePair]) -> None:
    levels = {label: {int(pair.labels[label]) for pair in test_pairs} for label in test_pairs[0].labels}
    assert levels == {
        "viewpoint_variation": {0, 1, 2},
        "scale_variation": {0, 1, 2},
        "truncation": {0, 1, 2, 3},
        "occlusion": {0, 1, 2, 3},
        "mirror": {0, 1},
    }


def test_distractors_are_of_other_categories() -> None:
    """Otherwise a prediction on a distractor could be right and count as wrong."""
    from harness.datasets.shapes import backdrop

    drawn: list[str] = []
    original = backdrop.sketch_object
    backdrop.sketch_object = lambda category, rng: (drawn.append(category), original(category, rng))[1]
    try:
        for index in range(40):
            ShapesImage("val", "fish", index).open()
    finally:
        backdrop.sketch_object = original
    assert len(set(drawn)) > 4
    assert "fish" not in drawn


def test_unknown_split_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no split 'tets'; it has test, val, train"):
        Shapes("tets")


def test_reading_a_split_paints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a picture was painted")

    monkeypatch.setattr("harness.datasets.shapes.pairs.render", refuse)
    index = read_split(SHAPES, Path(), "val")
    assert len(index.pairs) == SHAPES.counts["val"]["pairs"]
    assert not index.broken
    assert len(index.manifest) == 64
