"""COCO files of key points: read strictly, and made into a list of pairs by a rule without chance."""

from __future__ import annotations

import json
import random
import re
import shlex
from itertools import combinations

import pytest
from support.photos import draw

POINTS = ("ear", "nose", "tail", "paw")

PHOTOS = 6


def annotation(number, picture, category=1, **changes):
    points = [value for place in range(len(POINTS)) for value in (10 + place, 12 + picture, 2)]
    entry = {"id": number, "image_id": picture, "category_id": category, "keypoints": points}
    return {**entry, "bbox": [5, 6, 30, 20], "iscrowd": 0, **changes}


def coco():
    """Six pictures of a cat, three of them with a dog as well."""
    return {
        "images": [
            {"id": number, "file_name": f"in/{number}.png", "width": 60, "height": 48}
            for number in range(1, PHOTOS + 1)
        ],
        "categories": [
            {"id": 1, "name": "cat", "supercategory": "animal", "keypoints": list(POINTS)},
            {"id": 2, "name": "dog", "keypoints": list(POINTS)},
            {"id": 3, "name": "chair"},
        ],
        "annotations": [
            *(annotation(number, number) for number in range(1, PHOTOS + 1)),
            *(annotation(10 + number, number, 2) for number in range(1, 4)),
            {"id": 30, "image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]},
        ],
    }


@pytest.fixture
def file(tmp_path):
    for number in range(1, PHOTOS + 1):
        draw(tmp_path / "in" / f"{number}.png", number)
    return tmp_path / "coco.json"


def made(bench, file, content, *words):
    file.write_text(json.dumps(content))
    return bench("data", "pairs", file, *words)


def pairs_of(file, name="pairs.json"):
    return json.loads((file.parent / name).read_text())["pairs"]


def test_a_list_runs_as_a_dataset(bench, file, tmp_path):
    done = made(bench, file, coco(), "--per-category", 3)
    assert done.status == 0, done.err
    assert "6 pairs of 2 categories" in done.out
    pairs = pairs_of(file)
    assert [pair["category"] for pair in pairs] == ["cat"] * 3 + ["dog"] * 3
    source = int(pairs[0]["source"].removeprefix("in/").removesuffix(".png"))
    assert pairs[0]["source_points"] == [[10 + place, 12 + source] for place in range(4)]
    assert pairs[0]["keypoint_ids"] == list(POINTS)
    assert pairs[0]["target_box"] == [5, 6, 35, 26]
    run = bench("run", "--methods", "position", "--datasets", f"folder={tmp_path}", "--out", tmp_path / "out")
    assert run.status == 0, run.err
    assert "folder:coco" in run.out


def test_the_list_depends_on_content_and_seed_alone(bench, file):
    lists = {}
    for seed in (0, 1):
        for shuffle in range(3):
            content = coco()
            for entries in content.values():
                random.Random(shuffle).shuffle(entries)
            words = ("--per-category", 3, "--seed", seed, "-o", file.parent / f"{seed}-{shuffle}.json")
            assert made(bench, file, content, *words).status == 0
        lists[seed] = {(file.parent / f"{seed}-{shuffle}.json").read_bytes() for shuffle in range(3)}
        assert len(lists[seed]) == 1
    assert lists[0] != lists[1]


def test_all_pairs_of_a_category_occur_once_and_few_show_many_pictures(bench, file):
    content = coco()
    content["annotations"] = content["annotations"][:PHOTOS]
    assert made(bench, file, content, "--per-category", 15).status == 0
    couples = [frozenset((pair["source"], pair["target"])) for pair in pairs_of(file)]
    names = [f"in/{number}.png" for number in range(1, PHOTOS + 1)]
    assert len(couples) == 15
    assert set(couples) == {frozenset(couple) for couple in combinations(names, 2)}
    assert {name for couple in couples[:PHOTOS] for name in couple} == set(names)
    too_many = made(bench, file, content, "--per-category", 16)
    assert too_many.status == 2
    assert "category 'cat' has 15 pairs" in too_many.complaint
    assert "--per-category 15 is the most" in too_many.complaint


def test_a_picture_lends_its_largest_object_and_no_crowd(bench, file):
    content = coco()
    content["annotations"] = [
        annotation(1, 1, bbox=[0, 0, 5, 5]),
        # As large as the next one, and of a higher id.
        annotation(3, 1, bbox=[0, 0, 9, 9.0], keypoints=[1, 1, 2] * 4),
        annotation(2, 1, bbox=[0, 0, 9, 9]),
        annotation(4, 1, bbox=[0, 0, 50, 40], iscrowd=1, keypoints=[]),
        annotation(5, 2),
    ]
    assert made(bench, file, content, "--per-category", 1).status == 0
    (pair,) = pairs_of(file)
    side = "source" if pair["source"] == "in/1.png" else "target"
    assert pair[f"{side}_box"] == [0, 0, 9, 9]
    assert pair[f"{side}_points"][0] == [10, 13]


def test_points_that_are_not_annotated_or_outside_take_no_part(bench, file):
    content = coco()
    content["annotations"] = [annotation(1, 1), annotation(2, 2)]
    content["annotations"][0]["keypoints"][2] = 0
    assert made(bench, file, content, "--per-category", 1).status == 0
    assert pairs_of(file)[0]["keypoint_ids"] == ["nose", "tail", "paw"]
    content["annotations"][0]["keypoints"][3] = 61
    done = made(
        bench, file, content, "--per-category", 1, "--minimum-points", 2, "-o", file.with_name("b.json")
    )
    assert "1 key point outside their pictures left out" in done.err
    assert pairs_of(file, "b.json")[0]["keypoint_ids"] == ["tail", "paw"]
    none = made(bench, file, content, "--per-category", 1, "--minimum-points", 4)
    assert none.status == 2
    assert "no two pictures of a category have 4 key points in common" in none.complaint


def test_pictures_may_be_elsewhere(bench, file, tmp_path):
    other = tmp_path / "notes"
    other.mkdir()
    done = made(bench, other / "coco.json", coco(), "--per-category", 1, "--images", tmp_path)
    assert done.status == 0
    out = other / "list.json"
    assert bench("data", "pairs", other / "coco.json", "--per-category", 1, "--images", tmp_path, "-o", out)
    assert json.loads(out.read_text())["pairs"][0]["source"].startswith("../in/")
    missing = bench("data", "pairs", other / "coco.json", "--per-category", 1, "-o", out)
    assert missing.status == 2
    assert "--images names the folder" in missing.complaint


@pytest.mark.parametrize("name", ["plain", "a space", "it's", "a,b", "a, b's", "two\nlines"])
def test_the_command_that_is_printed_runs(name, bench, file, tmp_path):
    folder = file.parent.rename(tmp_path.parent / f"{tmp_path.name} {name}")
    done = made(bench, folder / "coco.json", coco(), "--per-category", 3)
    assert done.status == 0
    _, second = done.out.splitlines()
    if "\n" not in name:
        words = shlex.split(re.fullmatch("'(.*)' runs on them", second).group(1))
        assert bench(*words[1:], "--out", tmp_path / "out").status == 0


def test_a_list_of_the_user_s_own_is_not_replaced_unasked(bench, file):
    file.with_name("pairs.json").write_text("mine")
    done = made(bench, file, coco(), "--per-category", 1)
    assert done.status == 2
    assert "is there already" in done.complaint
    assert file.with_name("pairs.json").read_text() == "mine"
    assert made(bench, file, coco(), "--per-category", 1, "-o", file.with_name("pairs.json")).status == 0
    assert made(bench, file, coco(), "--per-category", 1).status == 0


def test_a_coco_file_in_the_place_of_a_list_says_the_command(bench, file, tmp_path):
    file.write_text(json.dumps(coco()))
    done = bench("run", "--methods", "position", "--datasets", f"folder={file}", "--out", tmp_path / "out")
    assert done.status == 2
    assert f"bench data pairs {file} --per-category" in done.complaint


NAN = float("nan")

FAULTS = {
    "no COCO file": (lambda content: content.pop("images"), "is no COCO file"),
    "lists": (lambda content: content.update(annotations={}), "is no COCO file"),
    "no key points at all": (lambda content: content.update(annotations=[]), "has no annotated key point"),
    "key missing": (lambda content: content["annotations"][0].pop("image_id"), "key 'image_id' is missing"),
    "key null": (lambda content: content["images"][0].update(file_name=None), "key 'file_name' is null"),
    "a number for a name": (
        lambda content: content["images"][0].update(file_name=7),
        "file_name is a number",
    ),
    "picture unknown": (lambda content: content["annotations"][0].update(image_id=99), "id of no image"),
    "category unknown": (lambda content: content["annotations"][0].update(category_id=9), "of no category"),
    "no names": (lambda content: content["categories"][0].pop("keypoints"), "names 0 key points"),
    "names twice": (lambda content: content["categories"][0].update(keypoints=["a"] * 4), "'a' occurs twice"),
    "id twice": (lambda content: content["annotations"][0].update(id=2), "id 2 occurs twice"),
    "picture twice": (lambda content: content["images"][0].update(id=2), "same id and says otherwise"),
    "NaN": (
        lambda content: content["annotations"][0]["keypoints"].__setitem__(0, NAN),
        "not numbers of pixels",
    ),
    "text": (lambda content: content["annotations"][0]["keypoints"].__setitem__(1, "7"), "not numbers"),
    "v of 3": (lambda content: content["annotations"][0]["keypoints"].__setitem__(2, 3), "is not 0, 1 or 2"),
    "points short": (lambda content: content["annotations"][0]["keypoints"].pop(), "has 11 numbers"),
    "box of three": (lambda content: content["annotations"][0].update(bbox=[1, 2, 3]), "bbox must be"),
    "box NaN": (lambda content: content["annotations"][0].update(bbox=[1, 2, NAN, 3]), "bbox must be"),
    "box empty": (lambda content: content["annotations"][0].update(bbox=[1, 2, 0, 3]), "has no area"),
    "crowd": (lambda content: content["annotations"][0].update(iscrowd="no"), "neither 0 nor 1"),
    "count": (lambda content: content["annotations"][0].update(num_keypoints="no"), "num_keypoints is 'no'"),
    "size": (lambda content: content["images"][0].update(width=-1), "width and height must be"),
    "another picture": (lambda content: content["images"][0].update(width=61), "its entry says 61 x 48"),
    "no picture": (lambda content: content["images"][0].update(file_name="x.png"), "x.png is not there"),
    "one name for two": (
        lambda content: content["categories"].append({"id": 9, "name": "cat", "keypoints": ["a"]}),
        "two are called 'cat'",
    ),
    "a huge picture": (lambda content: content["images"][0].update(width=1e300), "width and height must be"),
    "an entry": (lambda content: content["annotations"].append(7), "entry 11: is not an object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_told_in_one_line(fault, bench, file):
    content = coco()
    change, message = FAULTS[fault]
    change(content)
    done = made(bench, file, content, "--per-category", 3)
    assert done.status == 2
    assert message in done.complaint
    assert file.name in done.complaint
    assert not file.with_name("pairs.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--per-category", 0), "--per-category"),
        (("--per-category", 10**30), "--per-category 3 is the most"),
        (("--per-category", 1, "--seed", -1), "--seed"),
        (("--per-category", 1, "-o", "list.csv"), "is not called .json"),
        (("--per-category", 1, "--images", "nowhere"), "is not a folder"),
        ((), "--per-category"),
    ],
)
def test_wrong_words_are_told(words, message, bench, file):
    done = made(bench, file, coco(), *words)
    assert done.status == 2
    assert message in done.complaint


def test_the_coco_file_is_not_overwritten(bench, file):
    done = made(bench, file, coco(), "--per-category", 1, "-o", file)
    assert done.status == 2
    assert "is the COCO file itself" in done.complaint


def test_boxes_that_some_annotations_lack_are_told(bench, file):
    content = coco()
    del content["annotations"][0]["bbox"]
    done = made(bench, file, content, "--per-category", 3)
    assert done.status == 0
    assert "have the target's bbox: alpha will multiply the picture's size for all of them" in done.err
    for each in content["annotations"]:
        each.pop("bbox", None)
    assert "bbox" not in made(bench, file, content, "--per-category", 3, "-o", file.parent / "b.json").err
