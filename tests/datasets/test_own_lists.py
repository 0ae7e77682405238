"""The user's own lists: types, null, names, repetitions; a mistake is one line that says where."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from support.photos import draw, photo_list, write_list

from harness.datasets import folder as folder_dataset
from harness.datasets.splits import SplitIndex, read_split
from harness.errors import UserError
from harness.sweep import DatasetChoice


def read(folder: Path) -> SplitIndex:
    return read_split(folder_dataset.SPEC, folder, "test")


def change_first(photos: Path, **changes: object) -> None:
    content = photo_list()
    content["pairs"][0].update(changes)
    write_list(photos, content)


def complaint(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.mark.parametrize("key", ["id", "category", "keypoint_ids", "source_box", "target_box", "labels"])
def test_null_is_absent_for_every_optional_key(key, photos):
    content = photo_list()
    content["pairs"][0].pop(key, None)
    write_list(photos, content)
    absent = read(photos)
    content["pairs"][0][key] = None
    write_list(photos, content | {"threshold": None})
    null = read(photos)
    assert (null.manifest, null.categories) == (absent.manifest, absent.categories)
    assert "None" not in null.categories


@pytest.mark.parametrize("key", ["source", "target", "source_points", "target_points"])
def test_null_is_an_error_for_a_needed_key(key, photos):
    change_first(photos, **{key: None})
    assert f"pair 1: key '{key}' is null, and needed" in complaint(photos)


def test_a_label_that_is_null_is_in_no_slice(photos):
    change_first(photos, labels={"occlusion": None, "view": 1.0})
    assert read(photos).pairs["000001"].labels == {"view": 1}


FIVE = [[1, 2]] * 5
LIST_OF = "source_points must be a list of [x, y]"
WRONG = {
    "points object": ({"source_points": {"10": [1, 2], "11": [3, 4]}}, LIST_OF),
    "points texts": ({"source_points": ["12", "34", "56", "78", "90"]}, LIST_OF),
    "points objects": ({"source_points": [{"12": 1}] * 5}, LIST_OF),
    "points text": ({"source_points": "1234567890"}, LIST_OF),
    "points true": ({"source_points": [[True, 2]] * 5}, "True is neither"),
    "points as text": ({"source_points": [["1", "2"]] * 5}, "'1' is neither"),
    "points nested": ({"source_points": [[[1, 2]]] * 5}, LIST_OF),
    "points infinite": ({"source_points": [[float("inf"), 2]] * 5}, "inf is neither"),
    "points huge": ({"source_points": [[10**400, 2]] * 5}, LIST_OF),
    "names text": ({"keypoint_ids": "abcde"}, "keypoint_ids must be a list of names, and is text"),
    "names number": ({"keypoint_ids": 5}, "keypoint_ids must be a list of names, and is a number"),
    "names object": ({"keypoint_ids": dict.fromkeys("abcde", 1)}, "and is an object"),
    "names with null": ({"keypoint_ids": ["a", "b", "c", "d", None]}, "and one is null"),
    "names true": ({"keypoint_ids": ["a", "b", "c", "d", True]}, "and one is true or false"),
    "names twice": ({"keypoint_ids": ["1", "2", "3", "4", 1]}, "a keypoint id occurs twice, '1'"),
    "name empty": ({"keypoint_ids": ["a", "b", "c", "d", ""]}, "a keypoint id is empty"),
    "name NUL": ({"keypoint_ids": ["a", "b", "c", "d", "\x00"]}, "has the character U+0000"),
    "category number": ({"category": 3}, "category is int, not text"),
    "category list": ({"category": ["bird"]}, "category is list, not text"),
    "category empty": ({"category": " "}, "category is empty"),
    "category line": ({"category": "bird\n"}, "has the character U+000A"),
    "category half": ({"category": "\ud800"}, "has the character U+D800"),
    "id list": ({"id": [1]}, "id must be text or a whole number"),
    "id true": ({"id": True}, "id must be text or a whole number"),
    "id empty": ({"id": ""}, "id is empty"),
    "source number": ({"source": 5}, "source is a number; it must be text"),
    "source list": ({"source": ["photo0.png"]}, "source is a list; it must be text"),
    "source empty": ({"source": ""}, "source is empty; it must be text"),
    "source NUL": ({"source": "photo0\x00.png"}, "has the character U+0000"),
    "box text": ({"target_box": "1234"}, "target_box must be [x1, y1, x2, y2]"),
    "box texts": ({"target_box": ["1", "2", "30", "40"]}, "target_box must be [x1, y1, x2, y2]"),
    "box object": ({"target_box": {"1": 1, "2": 2, "3": 3, "4": 4}}, "target_box must be"),
    "box true": ({"target_box": [False, 0, True, 1]}, "target_box must be"),
    "box null corner": ({"target_box": [None, 1, 20, 30]}, "target_box must be"),
    "box huge": ({"target_box": [1, 1, 10**400, 30]}, "target_box must be"),
    "label list": ({"labels": {"view": [1]}}, "label 'view' must be a number, text, true, false or null"),
    "label object": ({"labels": {"view": {"a": 1}}}, "label 'view' must be"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_of_a_wrong_kind_is_refused(wrong, photos):
    changes, message = WRONG[wrong]
    change_first(photos, **changes)
    assert f"pair 1: {message}" in complaint(photos) or message in complaint(photos)


TOP = {
    "misspelt": ({"treshold": "image"}, "unknown key 'treshold'; known: name, pairs, threshold"),
    "name number": ({"name": 5}, "name is a number; it must be text"),
    "name lines": ({"name": "a\nb"}, "has the character U+000A"),
    "threshold list": ({"threshold": ["box"]}, "is not one of box, image, points"),
}


@pytest.mark.parametrize("wrong", TOP)
def test_a_mistake_at_the_top_of_a_list(wrong, photos):
    changes, message = TOP[wrong]
    write_list(photos, photo_list() | changes)
    assert message in complaint(photos)


DAMAGE = {
    "digits": ('{"pairs": [' + "1" * 5000 + "]}", "too many digits"),
    "brackets": ("[" * 100_000, "nested too deeply"),
    "key twice": ('{"pairs": [], "pairs": []}', "key 'pairs' occurs twice"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_json_that_python_refuses(damage, bench, photos):
    text, message = DAMAGE[damage]
    (photos / "pairs.json").write_text(text)
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}")
    assert done.status == 2
    assert message in done.complaint


def test_a_pair_that_is_listed_several_times_counts_once(photos):
    content = photo_list()
    once = read(photos)
    content["pairs"] += content["pairs"][:2] * 3
    write_list(photos, content)
    several = read(photos)
    assert several.manifest == once.manifest
    assert several.notes == ("2 pairs are listed several times and count once: 000001, 4 times, and 1 other",)


def test_an_id_that_is_given_twice_to_one_pair(photos):
    content = photo_list()
    content["pairs"][0]["id"] = "robin"
    content["pairs"].append(dict(content["pairs"][0]))
    write_list(photos, content)
    assert read(photos).pair_ids[0] == "robin"
    assert len(read(photos).pair_ids) == 12
    content["pairs"][-1]["category"] = "bird"
    write_list(photos, content)
    assert "two pairs are called 'robin'; give each its own id" in complaint(photos)


HEADER = "source,target,category,keypoint,source_x,source_y,target_x,target_y"
BOX = ",target_x1,target_y1,target_x2,target_y2"
ROW = "photo0.png,photo1.png,blob,{},10,12,30,24"

CSV = {
    "first corner": ([HEADER + BOX, ROW.format("a") + ",,5,50,40"], "row 2: target box lacks target_x1"),
    "last corners": (
        [HEADER + BOX, ROW.format("a") + ",5,5,,NaN"],
        "row 2: target box lacks target_x2, target_y2",
    ),
    "columns of a box": (
        [HEADER + ",target_x2", ROW.format("a") + ",50"],
        "row 2: target box lacks target_x1, target_y1, target_y2",
    ),
    "box of words": ([HEADER + BOX, ROW.format("a") + ",5,5,wide,40"], "target_x2 'wide' is not a number"),
    "box infinite": ([HEADER + BOX, ROW.format("a") + ",5,5,inf,40"], "target_x2 'inf' is not a number"),
    "column twice": ([HEADER + ",category", ROW.format("a") + ",bird"], "column 'category' is there twice"),
    "low line": ([HEADER, ROW.format("a").replace("10,", "1_0,")], "row 2: source_x '1_0' is not a number"),
    "infinite": ([HEADER, ROW.format("a").replace("10,", "-inf,")], "row 2: source_x '-inf' is not a number"),
    "no source": ([HEADER, ROW.format("a").replace("photo0.png", "")], "row 2: source is empty"),
    "row twice": ([HEADER, ROW.format(""), ROW.format("")], "row 3 repeats row 2; remove one"),
    "open quote": ([HEADER, '"' + ROW.format("a"), ROW.format("b")], "not a CSV file"),
}


@pytest.mark.parametrize("wrong", CSV)
def test_a_mistake_in_a_table(wrong, photos):
    lines, message = CSV[wrong]
    (photos / "pairs.json").unlink()
    (photos / "pairs.csv").write_text("\n".join(lines) + "\n")
    assert message in complaint(photos)


@pytest.mark.parametrize("absent", ["", "NaN", "nan", "NA", "null", " "])
def test_a_field_without_a_value_as_programs_write_it(absent, photos):
    (photos / "pairs.json").unlink()
    row = ROW.format(absent).replace("10,", f"{absent},").replace("blob", absent)
    (photos / "pairs.csv").write_text("\n".join([HEADER + BOX, row + f"{',' + absent}" * 4]) + "\n")
    index = read(photos)
    assert index.excluded == {"000001"}
    pair = index.pairs["000001"]
    assert (pair.category, pair.keypoint_ids, pair.target_box) == ("object", ("0",), None)


# Where lists and pictures are


@pytest.mark.parametrize("name", ["pairs.JSON", "Pairs.json", "birds.JSON"])
def test_a_suffix_in_capitals(name, photos):
    (photos / "pairs.json").rename(photos / name)
    assert len(read(photos / name).pairs) == 12
    if name.lower() == "pairs.json":
        assert len(read(photos).pairs) == 12


def test_a_folder_that_is_not_there_is_said_so(bench, tmp_path):
    for place in ("f_doesnotexist", "x" * 300, "a/" * 2000):
        done = bench("run", "--methods", "position", "--datasets", f"folder={tmp_path / place}")
        assert done.status == 2
        assert "there is no such folder or file" in done.complaint or "too long" in done.complaint


def test_a_list_of_another_kind(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"pairs\.jsonl is neither \.json nor \.csv"):
        read(tmp_path / "pairs.jsonl")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_pictures_in_another_spelling_are_found(form, tmp_path):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    names = ["sub/über.png", "sub/café.png"]
    for seed, name in enumerate(names):
        draw(tmp_path / unicodedata.normalize(form, name), seed)
    listed = [unicodedata.normalize(other, name).replace("/", "\\") for name in names]
    points = [[10, 10], [40, 30]]
    pair = {"source": listed[0], "target": listed[1], "source_points": points, "target_points": points}
    write_list(tmp_path, {"pairs": [pair]})
    assert not read(tmp_path).broken


def test_a_picture_that_is_missing_or_no_file_fails_its_pair_by_name(photos):
    for source, message in (("gone.png", "No such file"), ("/dev/zero", "a device"), (".", "is a folder")):
        change_first(photos, source=source)
        (reason,) = read(photos).broken.values()
        assert message in reason


def test_a_comma_in_a_path_can_be_quoted(bench, tmp_path):
    folder = tmp_path / "my photos, 2024"
    for seed in (0, 1):
        draw(folder / f"photo{seed}.png", seed)
    write_list(folder, photo_list(2))
    run = ("run", "--methods", "position", "--out", tmp_path / "r", "--datasets")
    assert bench(*run, f'folder="{folder}",shapes', "--limit", "2").status == 0
    assert bench(*run, f'"folder={folder}"').status == 0
    done = bench(*run, f"folder={folder}")
    assert done.status == 2
    assert f'write the path in double quotes, NAME="{folder}"' in done.complaint


@pytest.mark.parametrize("form", ["folder={}", 'folder="{}"', '"folder={}"'])
def test_a_quoted_path_is_read_wherever_a_dataset_is_named(bench, tmp_path, form):
    folder = tmp_path / "my photos, 2024"
    for seed in (0, 1):
        draw(folder / f"photo{seed}.png", seed)
    write_list(folder, photo_list(2))
    text = form.format(folder)
    assert bench("data", "verify", text).status == 0
    assert "nothing to download" in bench("data", "fetch", text).complaint
    assert DatasetChoice.parse(text) == DatasetChoice("folder", folder)
    assert DatasetChoice.parse(text).in_list == f'folder="{folder}"'
    if '"' not in form:
        return
    out = tmp_path / "r"
    assert bench("run", "--methods", "position,hog", "--out", out, "--datasets", text).status == 0
    others = ("--datasets", text, "--data-root", tmp_path)
    assert bench("rescore", out, *others).status == 0
    assert bench("leaderboard", out, "--protocol", "sd4match", *others).status == 0
    assert bench("report", out, "-o", tmp_path / "report.html", *others).status == 0
    assert bench("compare", *sorted(out.glob("folder-*")), *others).status == 0


def test_a_record_of_a_list_without_a_readable_name(tmp_path):
    folder = tmp_path / "photos\udcff"
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has only names in UTF-8")
    for seed in (0, 1):
        draw(folder / f"photo{seed}.png", seed)
    content = photo_list(2)
    del content["name"]
    write_list(folder, content)
    with pytest.raises(UserError, match=r"its name .* has the character U\+DCFF"):
        read(folder)
    write_list(folder, content | {"name": "photos"})
    assert json.dumps(read(folder).label) == '"folder:photos"'
