"""Symmetric keypoints and mirror partners of the datasets that have them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.layouts import make_spair

from harness.datasets.checks import check_pair
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.pairs import Shapes, keypoint_names
from harness.datasets.shapes.spec import SHAPES
from harness.datasets.spair71k import SPEC as SPAIR_71K
from harness.errors import DataError
from harness.specs import DatasetSpec

KEYPOINT_COUNTS = {
    "aeroplane": 25,
    "bicycle": 14,
    "bird": 17,
    "boat": 14,
    "bottle": 10,
    "bus": 30,
    "car": 30,
    "cat": 15,
    "chair": 14,
    "cow": 21,
    "dog": 16,
    "horse": 20,
    "motorbike": 13,
    "person": 20,
    "pottedplant": 9,
    "sheep": 21,
    "train": 18,
    "tvmonitor": 16,
}
"""How many numbers each category has, the unused ones of bicycle and bus included."""

NUMBERS = {
    "spair-71k": KEYPOINT_COUNTS,
    "shapes": {category: len(kind.keypoints) for category, kind in KINDS.items()},
}
UNUSED = {"bicycle": {"11", "12"}, "bus": {"8", "9"}}


@pytest.mark.parametrize("spec", [SPAIR_71K, SHAPES], ids=lambda spec: spec.name)
def test_each_group_names_points_of_its_category_and_shares_none(spec: DatasetSpec):
    counts = NUMBERS[spec.name]
    assert set(spec.symmetric_keypoints) <= set(counts)
    for category, groups in spec.symmetric_keypoints.items():
        names = list(itertools.chain.from_iterable(groups))
        assert len(set(names)) == len(names), category
        known = set(map(str, range(counts[category])))
        if spec is SPAIR_71K:
            known -= UNUSED.get(category, set())
        assert set(names) <= known, category
        assert min(map(len, groups)) >= 2, category


@pytest.mark.parametrize("spec", [SPAIR_71K, SHAPES], ids=lambda spec: spec.name)
def test_partners_are_mutual_and_named(spec: DatasetSpec):
    counts = NUMBERS[spec.name]
    for category, partners in spec.mirror_partners.items():
        assert set(partners) <= set(map(str, range(counts[category]))), category
        for name, partner in partners.items():
            assert name != partner
            assert partners[partner] == name, category


def test_every_category_of_spair_71k_has_groups_and_partners():
    assert set(SPAIR_71K.symmetric_keypoints) == set(SPAIR_71K.mirror_partners) == set(KEYPOINT_COUNTS)
    # Both windows' corners of a bus, by SPair-71k's own numbers: two lie behind the unused 8 and 9.
    assert ("18", "19", "28", "29") in SPAIR_71K.symmetric_keypoints["bus"]
    assert SPAIR_71K.mirror_partners["bus"]["10"] == "20"


def test_partners_of_shapes_are_left_and_right():
    for category in KINDS:
        names = keypoint_names(category)
        expected = {}
        for number, name in enumerate(names):
            if name.startswith("left_"):
                partner = names.index("right_" + name.removeprefix("left_"))
                expected |= {str(number): str(partner), str(partner): str(number)}
        assert SHAPES.mirror_partners.get(category, {}) == expected, category
        # A point and its partner look alike.
        groups = SHAPES.symmetric_keypoints.get(category, ())
        for name, partner in expected.items():
            assert any({name, partner} <= set(group) for group in groups), (category, name)


def test_shapes_say_which_points_each_picture_shows():
    dataset = Shapes("val")
    pair = dataset[0]
    assert pair.source_keypoints is not None
    assert pair.target_keypoints is not None
    assert set(pair.keypoint_ids) == set(pair.source_keypoints) & set(pair.target_keypoints)
    assert any(
        set(dataset[number].target_keypoints or ()) > set(dataset[number].keypoint_ids) for number in range(5)
    )


def test_spair_71k_says_which_points_each_picture_shows(tmp_path: Path):
    make_spair(tmp_path)
    folder = tmp_path / "ImageAnnotation"
    dataset = SPAIR_71K.open(tmp_path, "test")
    before = dataset[0]
    category = before.category
    for image, others in ((before.source, ["90"]), (before.target, ["91", "92"])):
        path = folder / category / f"{image.name.removeprefix(f'{category}-')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        # The first shared point is missing: the pair's own file knows better.
        points = {name: [1, 2] for name in [*before.keypoint_ids[1:], *others]}
        path.write_text(json.dumps({"kps": {**points, "93": None}}))
    pair = SPAIR_71K.open(tmp_path, "test")[0]
    assert pair.source_keypoints == (*before.keypoint_ids, "90")
    assert pair.target_keypoints == (*before.keypoint_ids, "91", "92")
    path.write_text('{"kps": []}')
    with pytest.raises(DataError, match="kps is missing or no object"):
        SPAIR_71K.open(tmp_path, "test")[0]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("01", "target_keypoints is str, not a tuple"),
        (("0", 1), "a name in target_keypoints is int, not text"),
        (("0", "0"), "target_keypoints has a name twice"),
        ((), "target_keypoints lacks keypoint"),
    ],
)
def test_names_that_cannot_be_are_told(names: object, problem: str):
    pair = Shapes("val")[0]
    with pytest.raises(DataError, match=problem):
        check_pair(replace(pair, target_keypoints=names), pair.pair_id)  # type: ignore[arg-type]
