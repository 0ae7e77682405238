"""SOCO's exact matches, from a miniature in the layout that its authors document."""

from __future__ import annotations

import json
import shutil

import pytest
from support.photos import draw

from harness.datasets import soco
from harness.datasets.splits import read_split
from harness.errors import UserError

NAMES = ("front_wheel", "rear_wheel")


def keypoints(x):
    names = [*NAMES, "lamp"] if x else NAMES
    shared = {"concept_id": 4, "concept_name": "wheel", "kind": "structural", "shared": True}
    # In another order than the overlap's.
    return [
        {"id": number, "name": name, "pos": [x + 10 * number, 20], **shared}
        for number, name in reversed(list(enumerate(names)))
    ]


def annotation(source, **changes):
    return {
        "pair_id": 1,
        "category": "car",
        "pair_group": f"{source}-car",
        "src_category": source,
        "trg_category": "car",
        "src_image": f"{source}_1.png",
        "trg_image": "car_2.png",
        "src_imsize": [60, 48],
        "trg_imsize": [48, 60],
        "src_bndbox": [1, 2, 50, 40],
        "trg_bndbox": [5, 5, 45, 55],
        "src_keypoints": keypoints(0),
        "trg_keypoints": keypoints(7),
        "semantic_overlap": list(NAMES),
        "concept_matches": [{"concept_name": "wheel", "src_keypoints": NAMES, "trg_keypoints": NAMES}],
        **changes,
    }


def write(folder, part, group, name, content):
    path = folder / "PairAnnotations" / part / group / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data" / "SOCOv1"
    for category, number, size in (("car", 1, (60, 48)), ("car", 2, (48, 60)), ("bus", 1, (60, 48))):
        draw(folder / "Images" / category / f"{category}_{number}.png", number, size)
    write(folder, "intra", "car", "00002", annotation("car", src_category=None))
    write(folder, "intra", "car", "00001", annotation("car"))
    write(folder, "cross", "bus-car", "00001", annotation("bus"))
    for part in ("train", "test"):
        write(folder, f"trainsplits/{part}", "car", "00001", annotation("car"))
    return folder


def test_exact_matches_within_a_category_and_across(folder):
    index = read_split(soco.SPEC, folder, "intra")
    assert index.pair_ids == ("car/00001", "car/00002") and not index.broken
    pair = index.pairs["car/00001"]
    assert (pair.source.name, pair.target.name, pair.category) == ("car-car_1", "car-car_2", "car")
    # `lamp` is seen in the target alone.
    assert pair.keypoint_ids == NAMES
    assert pair.source_points.tolist() == [[0, 20], [10, 20]]
    assert pair.target_points.tolist() == [[7, 20], [17, 20]]
    assert pair.target_box == (5, 5, 45, 55)
    across = read_split(soco.SPEC, folder, "cross")
    assert (across.pairs["bus-car/00001"].source.name, across.pairs["bus-car/00001"].category) == (
        "bus-bus_1",
        "bus-car",
    )
    assert [len(read_split(soco.SPEC, folder, split).pairs) for split in ("train", "test")] == [1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"semantic_overlap": ["front_wheel", "door"]},
            "semantic_overlap names 'door', which is not in src_key",
        ),
        ({"trg_keypoints": 2 * keypoints(7)}, "trg_keypoints: 'lamp' is there twice"),
        ({"src_keypoints": {}}, "src_keypoints must be a list of objects"),
        ({"src_keypoints": [{"name": "front_wheel"}]}, "key 'pos' is missing"),
        ({"trg_image": None}, "trg_image is null"),
        ({"trg_imsize": [60, 48]}, "its annotation says 60 x 48"),
    ],
)
def test_a_fault_costs_its_own_pair(changes, message, folder):
    write(folder, "intra", "car", "00001", annotation("car", **changes))
    index = read_split(soco.SPEC, folder, "intra")
    assert list(index.broken) == ["car/00001"] and message in index.broken["car/00001"]


def test_a_target_without_a_box_has_no_threshold(folder):
    write(folder, "intra", "car", "00001", annotation("car", trg_bndbox=None))
    assert list(read_split(soco.SPEC, folder, "intra").lacking("box")) == ["car/00001"]


def test_it_says_what_is_not_there(folder):
    shutil.rmtree(folder / "PairAnnotations" / "cross")
    with pytest.raises(
        UserError, match=r"dataset soco: .*PairAnnotations/cross is not there; 'bench data fetch"
    ):
        read_split(soco.SPEC, folder, "cross")
    (folder / "PairAnnotations" / "cross").mkdir()
    with pytest.raises(UserError, match=r"dataset soco: .*cross has no GROUP/NAME.json"):
        read_split(soco.SPEC, folder, "cross")


def test_a_run_across_categories(bench, folder, tmp_path):
    data = ("--datasets", "soco", "--split", "cross", "--data-root", folder.parent)
    done = bench("run", "--methods", "position", *data, "--out", tmp_path / "r")
    assert done.status == 0 and "soco/cross @0.10" in done.out
