"""What plugins' datasets yield goes through the same check as every other dataset."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.made_up_splits import SIDE, Made
from support.photos import draw, make_photos

from harness.datasets.images import ImageFile
from harness.datasets.splits import SplitIndex, read_split
from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.specs import DatasetSpec, ImagePair

POINTS = np.array([[1.0, 2.0], [20.0, 12.0]])


def good(number: int = 0) -> ImagePair:
    return ImagePair(
        pair_id=f"{number:03d}",
        source=Made(number),
        target=Made(number + 1),
        source_size=SIDE,
        target_size=SIDE,
        category="thing",
        source_points=POINTS,
        target_points=POINTS,
        keypoint_ids=("eye", "ear"),
        target_box=(1, 2, 30, 20),
    )


class Pairs:
    """A plugin's dataset; the second of its three pairs is given."""

    def __init__(self, second: object) -> None:
        self.pair_ids: object = ("000", "001", "002")
        self._second = second

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> object:
        if index != 1:
            return good(index)
        if isinstance(self._second, Exception):
            raise self._second
        return self._second


def read(dataset: object, **spec: object) -> SplitIndex:
    return read_split(DatasetSpec(name="theirs", open=lambda folder, split: dataset, **spec), None, "test")


WRONG = {
    "nothing": (None, "the dataset yields NoneType, not an ImagePair"),
    "a dictionary": ({}, "the dataset yields dict, not an ImagePair"),
    "another pair": (good(7), "the dataset yields pair '007' in its place"),
    "its own error": (KeyError("kps"), "KeyError: 'kps'"),
    "a decoder's error": (RuntimeError("bad AVIF"), "RuntimeError: bad AVIF"),
    "points as a list": ({"source_points": [[1, 2], [3, 4]]}, "source_points is list, not a numpy array"),
    "points of objects": ({"source_points": np.array([["1", "2"]] * 2)}, "not a numpy array of numbers"),
    "points true": ({"source_points": np.array([[True, False]] * 2)}, "not a numpy array of numbers"),
    "points on their side": (
        {"source_points": np.zeros((2, 3)), "target_points": np.zeros((2, 3))},
        "source_points has the shape (2, 3), not (points, 2)",
    ),
    "points infinite": ({"target_points": np.array([[1, 2], [np.inf, 3]])}, "an infinite coordinate"),
    "points far away": ({"target_points": np.array([[1, 2], [1e300, 3]])}, "a coordinate far beyond any"),
    "points fewer": ({"target_points": POINTS[:1]}, "2 source points and 1 target points"),
    "names twice": ({"keypoint_ids": ("eye", "eye")}, "keypoint id 'eye' occurs twice"),
    "names of numbers": ({"keypoint_ids": (0, 1)}, "a keypoint id is int, not text"),
    "names as text": ({"keypoint_ids": "ab"}, "keypoint_ids is str, not a list of names"),
    "category None": ({"category": None}, "category is null, not text"),
    "category empty": ({"category": ""}, "category is empty"),
    "size of zero": ({"source_size": (0, 5)}, "source_size (0, 5) is not a width and a height"),
    "size of floats": ({"source_size": (32.0, 24.0)}, "is not a width and a height"),
    "box without area": ({"target_box": (5, 5, 5, 9)}, "target_box [5, 5, 5, 9] is empty"),
    "box NaN": ({"source_box": (np.nan, 5, 9, 9)}, "source_box [nan, 5, 9, 9] is empty"),
    "box infinite": (
        {"target_box": (1, 2, np.inf, 9)},
        "target_box [1, 2, inf, 9] is far beyond",
    ),
    "box of 1e300": ({"target_box": (1, 2, 1e300, 9)}, "target_box [1, 2, 1e+300, 9] is far beyond any"),
    "box of text": ({"target_box": "1234"}, "target_box must be [x1, y1, x2, y2]"),
    "labels None": ({"labels": None}, "labels are null, not an object"),
    "label of a list": ({"labels": {"view": [1]}}, "label view is [1], not text, a number"),
    "label NaN": ({"labels": {"view": float("nan")}}, "label view is nan, not text, a number"),
    "a path for a picture": ({"source": "a.png"}, "source is str, not a picture"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_fault_of_a_pair_costs_that_pair(wrong):
    content, message = WRONG[wrong]
    is_change = isinstance(content, dict) and bool(content)
    index = read(Pairs(replace(good(1), **content) if is_change else content))
    assert list(index.pairs) == ["000", "002"]
    assert message in index.broken["001"]
    assert index.pair_ids == ("000", "001", "002")


def test_numbers_of_other_kinds_are_made_plain():
    pair = replace(
        good(1),
        source_points=POINTS.astype(np.float32),
        target_points=POINTS.astype(int),
        target_box=np.array([1, 2, 30, 20]),
        labels={"view": np.float64(2), "none": None, "hard": np.True_},
        source_size=[np.int64(32), 24],
    )
    read_pair = read(Pairs(pair)).pairs["001"]
    assert read_pair.source_points.dtype == read_pair.target_points.dtype == np.float64
    assert repr(read_pair.target_box) == "(1.0, 2.0, 30.0, 20.0)"
    assert repr(read_pair.labels) == "{'view': 2, 'hard': True}"


def test_a_pair_without_a_length_of_a_threshold_is_known_by_name():
    """It is whole all the same, and can be scored under another threshold."""
    index = read(Pairs(replace(good(1), target_points=POINTS[[0, 0]], target_box=None)))
    assert not index.broken
    assert list(index.lacking("box")) == list(index.lacking("points")) == ["001"]
    assert "has no target_box" in index.lacking("box")["001"]
    assert "its target points lie in one place" in index.lacking("points")["001"]
    assert not index.lacking("image")


def test_points_that_do_not_count_give_no_length():
    source = np.array([[1.0, 2.0], [np.nan, np.nan]])
    assert list(read(Pairs(replace(good(1), source_points=source))).lacking("points")) == ["001"]
    nothing = np.full((2, 2), np.nan)
    assert not read(Pairs(replace(good(1), source_points=nothing))).lacking("points")


def test_a_picture_of_another_size_than_annotated(tmp_path):
    """Known from the header, before any work: no method need look at the picture."""
    draw(tmp_path / "a.png", 0, (60, 48))
    index = read(Pairs(replace(good(1), source=ImageFile("a", tmp_path / "a.png"))))
    assert "image a: has 60 x 48 pixels, its annotation says 32 x 24" in index.broken["001"]


LISTS = {
    "no pairs": ((), "its list has no pairs"),
    "names of numbers": ((0, 1, 2), "the name of a pair is int, not text"),
    "names in lines": (("a\n", "b", "c"), "has the character U\\+000A"),
    "fewer names": (("000", "001"), "has 3 pairs and 2 names"),
}


@pytest.mark.parametrize("wrong", LISTS)
def test_a_fault_of_the_list_stops_all(wrong):
    names, message = LISTS[wrong]
    dataset = Pairs(good(1))
    dataset.pair_ids = names
    with pytest.raises(UserError, match=message):
        read(dataset)


def test_one_name_for_two_different_pairs_stops_all():
    dataset = Pairs(replace(good(1), pair_id="000"))
    dataset.pair_ids = ("000", "000", "002")
    with pytest.raises(UserError, match="two pairs are called '000'; give each its own id"):
        read(dataset)


def test_a_threshold_of_another_name_stops_all():
    with pytest.raises(UserError, match="threshold 'bbox' is not one of box, image, points"):
        read(Pairs(good(1)), threshold="bbox")


def test_the_manifest_covers_what_alpha_multiplies():
    """Two lists that differ in nothing else give different scores."""
    assert read(Pairs(good(1))).manifest != read(Pairs(good(1)), threshold="image").manifest
    assert read(Pairs(good(1))).manifest != read(Pairs(good(1)), prompt_names={"thing": "cat"}).manifest


def test_lists_with_other_faults_are_other_data(tmp_path):
    """A failure of one list must not be taken for that of another; the folder's place does not count."""
    manifests = []
    for name, broken in (("a", "gone.png"), ("b", "lost.png"), ("c", "gone.png")):
        folder = make_photos(tmp_path / name)
        path = folder / "pairs.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["pairs"][0]["target"] = broken
        path.write_text(json.dumps(content), encoding="utf-8")
        spec = load_plugins(points=[]).datasets["folder"]
        manifests.append(read_split(spec, folder, "test").manifest)
    assert manifests[0] == manifests[2] != manifests[1]
