"""The official layouts: values are read as they stand or refused, and a fault costs its own pair."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from support.layouts import (
    PAIRS,
    POINTS,
    make_pascal,
    make_spair,
    make_willow,
    pascal_rows,
    willow_rows,
    write_spair_annotation,
    write_spair_list,
    write_table,
)

from harness.datasets import pf_pascal, pf_willow, spair71k
from harness.datasets.splits import SplitIndex, read_split
from harness.errors import UserError


def read_spair(folder) -> SplitIndex:
    return read_split(spair71k.SPEC, folder, "test")


def read_pascal(folder) -> SplitIndex:
    return read_split(pf_pascal.SPEC, folder, "test")


def read_willow(folder) -> SplitIndex:
    return read_split(pf_willow.SPEC, folder, "test")


def the_fault(index: SplitIndex) -> str:
    """The reason why the first pair failed, and it alone."""
    assert list(index.broken) == [index.pair_ids[0]]
    assert len(index.pairs) == len(PAIRS) - 1
    (reason,) = index.broken.values()
    assert "\n" not in reason
    return reason


HUGE = 10**400

SPAIR_FAULTS = {
    "category null": ({"category": None}, "category is null"),
    "category empty": ({"category": " "}, "category is empty"),
    "category number": ({"category": 8}, "category is a number"),
    "name null": ({"src_imname": None}, "src_imname is null"),
    "name NUL": ({"trg_imname": "0\x00.png"}, "U+0000"),
    "name half a character": ({"trg_imname": "\ud800.png"}, "U+D800"),
    "name of a device": ({"src_imname": "/dev/zero"}, "is not a file but a device"),
    "name of a folder": ({"src_imname": "."}, "is a folder"),
    "points object": ({"src_kps": {"10": [1, 2], "11": [3, 4], "12": [5, 6]}}, "src_kps must be a list of"),
    "points texts": ({"src_kps": ["12", "34", "56"]}, "src_kps must be a list of [x, y]"),
    "points text": ({"trg_kps": "123456"}, "trg_kps must be a list of [x, y]"),
    "points objects": ({"trg_kps": [{"12": 1}, {"34": 1}, {"56": 1}]}, "trg_kps must be a list of"),
    "points nested": ({"trg_kps": [[[1, 2]], [[3, 4]], [[5, 6]]]}, "trg_kps must be a list of"),
    "points flat": ({"trg_kps": [1, 2, 3, 4, 5, 6]}, "trg_kps must be a list of"),
    "points true": ({"trg_kps": [[True, 2], [3, 4], [5, 6]]}, "True is neither"),
    "points numbers as text": ({"trg_kps": [["1", "2"], [3, 4], [5, 6]]}, "'1' is neither"),
    "points huge": ({"trg_kps": [[HUGE, 2], [3, 4], [5, 6]]}, "trg_kps must be"),
    "points infinite": ({"trg_kps": [[float("inf"), 2], [3, 4], [5, 6]]}, "inf is neither"),
    "points null": ({"trg_kps": None}, "trg_kps must be"),
    "points fewer": ({"trg_kps": [[1, 2]]}, "3 source points and 1 target points"),
    "ids twice": ({"kps_ids": ["0", "0", "1"]}, "keypoint id '0' occurs twice"),
    "ids twice, two spellings": ({"kps_ids": ["0", 0, "1"]}, "keypoint id '0' occurs twice"),
    "ids text": ({"kps_ids": "037"}, "kps_ids must be a list of names, and is text"),
    "ids number": ({"kps_ids": 5}, "kps_ids must be a list of names, and is a number"),
    "ids null": ({"kps_ids": None}, "kps_ids must be a list of names, and is null"),
    "ids of null": ({"kps_ids": ["0", None, "1"]}, "kps_ids must be texts or whole numbers, and one is null"),
    "ids of lists": ({"kps_ids": [["0"], ["1"], ["2"]]}, "one is a list"),
    "size null": ({"src_imsize": None}, "src_imsize must be [width, height]"),
    "size zero": ({"src_imsize": [0, 48, 3]}, "src_imsize must be"),
    "size negative": ({"src_imsize": [60, -48, 3]}, "src_imsize must be"),
    "size text": ({"src_imsize": "60"}, "src_imsize must be"),
    "size other than the picture": ({"src_imsize": [48, 60, 3]}, "its annotation says 48 x 60"),
    "box null": ({"trg_bndbox": None}, "trg_bndbox is null"),
    "box without area": ({"trg_bndbox": [11, 27, 11, 27]}, "target_box [11, 27, 11, 27] is empty"),
    "box without width": ({"trg_bndbox": [11, 27, 11, 30]}, "target_box [11, 27, 11, 30] is empty"),
    "box swapped": ({"trg_bndbox": [55, 40, 5, 5]}, "target_box [55, 40, 5, 5] is empty"),
    "box NaN": ({"trg_bndbox": [float("nan"), 5, 55, 40]}, "is empty"),
    "box infinite": ({"trg_bndbox": [5, 5, float("inf"), 40]}, "is far beyond any picture"),
    "box hair's breadth": ({"trg_bndbox": [5, 5, 5 + 1e-300, 40]}, "is empty"),
    "box of three": ({"src_bndbox": [5, 5, 55]}, "src_bndbox must be [x1, y1, x2, y2]"),
    "box object": ({"src_bndbox": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}}, "src_bndbox must be"),
    "box huge": ({"src_bndbox": [5, 5, HUGE, 40]}, "src_bndbox must be"),
    "label text": ({"occlusion": "much"}, "occlusion is 'much'; it must be a whole number"),
    "label half": ({"occlusion": 0.5}, "occlusion is 0.5; it must be a whole number"),
    "label list": ({"occlusion": [1]}, "occlusion is [1]; it must be a whole number"),
}


@pytest.mark.parametrize("fault", SPAIR_FAULTS)
def test_a_fault_in_an_annotation_of_spair_costs_its_own_pair(fault, tmp_path):
    change, message = SPAIR_FAULTS[fault]
    index = read_spair(make_spair(tmp_path, lambda annotation: annotation.update(change)))
    assert message in the_fault(index)


DAMAGE = {
    "a list": ("[]", "is not an object"),
    "null": ("null", "is not an object"),
    "cut": ('{"category": ', "not valid JSON"),
    "5,000 digits": ('{"category": ' + "1" * 5000 + "}", "too many digits"),
    "100,000 brackets": ("[" * 100_000, "nested too deeply"),
    "a key twice": ('{"category": "cat", "category": "dog"}', "key 'category' occurs twice"),
    "an object alone": ("{}", "key 'category' is missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_annotation_of_spair_costs_its_own_pair(damage, tmp_path):
    text, message = DAMAGE[damage]
    write_spair_annotation(make_spair(tmp_path), "000000-0-1:cat", text)
    assert message in the_fault(read_spair(tmp_path))


@pytest.mark.parametrize("key", ["category", "src_kps", "trg_imname", "kps_ids", "trg_bndbox", "src_imsize"])
def test_a_key_that_spair_needs(key, tmp_path):
    index = read_spair(make_spair(tmp_path, lambda annotation: annotation.pop(key)))
    assert f"key '{key}' is missing" in the_fault(index)


def test_labels_of_spair_are_levels_however_they_are_written(tmp_path):
    """One level must not be two slices of a score."""
    written = {"viewpoint_variation": 2.0, "mirror": True, "truncation": "1", "occlusion": None}
    index = read_spair(make_spair(tmp_path, lambda annotation: annotation.update(written)))
    assert index.pairs[index.pair_ids[0]].labels == {"viewpoint_variation": 2, "mirror": 1, "truncation": 1}


def test_a_pipe_for_a_picture_is_not_waited_for(tmp_path):
    make_spair(tmp_path, lambda annotation: annotation.update(src_imname="pipe"))
    os.mkfifo(tmp_path / "JPEGImages" / "cat" / "pipe")
    assert "a pipe" in the_fault(read_spair(tmp_path))


def test_annotations_unpacked_where_names_have_no_colon(tmp_path):
    make_spair(tmp_path)
    for path in list((tmp_path / "PairAnnotation" / "test").iterdir()):
        path.rename(path.with_name(path.name.replace(":", "_")))
    assert len(read_spair(tmp_path).pairs) == 3


def test_points_outside_are_scored_as_published_in_official_layouts(tmp_path):
    index = read_spair(
        make_spair(tmp_path, lambda annotation: annotation["trg_kps"].__setitem__(0, [900, 3]))
    )
    assert not index.broken
    assert index.pairs[index.pair_ids[0]].target_points[0].tolist() == [900, 3]


# Repetitions


def test_a_pair_that_spair_lists_five_times_counts_once(bench, tmp_path):
    root = tmp_path / "data"
    names = [f"{number:06d}-{source}-{target}:cat" for number, (source, target) in enumerate(PAIRS)]
    write_spair_list(make_spair(root / "SPair-71k"), names)
    run = ("run", "--methods", "position", "--datasets", "spair-71k", "--data-root", root)
    once = bench(*run, "--out", tmp_path / "once")
    write_spair_list(root / "SPair-71k", [names[0]] * 4 + names)
    five = bench(*run, "--out", tmp_path / "five")
    assert (once.status, five.status) == (0, 0)
    assert once.out == five.out
    assert f"spair-71k test: 1 pair is listed several times and counts once: {names[0]}, 5 times" in five.err
    assert "several times" in bench("data", "verify", "spair-71k", "--split", "test", "--data-root", root).out


def test_a_row_of_pf_pascal_that_is_there_twice_counts_once_and_is_trained_on_twice(tmp_path):
    rows = pascal_rows()
    index = read_pascal(make_pascal(tmp_path, [*rows, rows[2], rows[2]]))
    assert [name[:6] for name in index.pair_ids] == ["000001", "000002", "000003"]
    assert [name[:6] for name in index.listed] == ["000001", "000002", "000003", "000002", "000002"]
    assert index.notes == (f"1 pair is listed several times and counts once: {index.pair_ids[1]}, 3 times",)


def test_a_row_of_pf_willow_that_is_there_twice_counts_once(tmp_path):
    rows = willow_rows()
    index = read_willow(make_willow(tmp_path, [*rows, *rows[1:]]))
    assert len(index.pair_ids) == 3
    assert index.notes[0].startswith("3 pairs are listed several times and count once: ")


def test_rows_of_one_pair_of_pictures_with_other_points_are_two_pairs(tmp_path):
    rows = willow_rows()
    other = [*rows[1][:-1], "7.5"]
    assert len(read_willow(make_willow(tmp_path, [*rows, other])).pairs) == 4


# Flags and class numbers of PF-PASCAL


def pascal_with(column: str, value: str) -> list[list[str]]:
    """The list without points, with one column of the first row changed or added."""
    rows = [row[:3] for row in pascal_rows()]
    if column not in rows[0]:
        rows = [[*rows[0], column], *([*row, "0"] for row in rows[1:])]
    rows[1][rows[0].index(column)] = value
    return rows


@pytest.mark.parametrize("flag", ["0", "0.0", "False", "false", "no", "", " ", "NaN", "-0"])
def test_a_flag_that_is_no_flip(flag, tmp_path):
    index = read_pascal(make_pascal(tmp_path, pascal_with("flip", flag)))
    assert not index.broken
    assert not index.pairs[index.pair_ids[0]].source.mirror


@pytest.mark.parametrize("flag", ["1", "1.0", "True", "TRUE", "yes", "+1"])
def test_a_flag_that_is_a_flip(flag, tmp_path):
    index = read_pascal(make_pascal(tmp_path, pascal_with("flip", flag)))
    pair = index.pairs[index.pair_ids[0]]
    assert pair.source.mirror
    assert pair.source_points[0, 0] == 60 - POINTS[0][0]


@pytest.mark.parametrize("flag", ["2", "-1", "0.5", "maybe", "1e400", "flip"])
def test_a_flag_that_is_neither_is_an_error_that_names_the_row(flag, tmp_path):
    reason = the_fault(read_pascal(make_pascal(tmp_path, pascal_with("flip", flag))))
    assert f"row 2: flip '{flag}' is neither 0 nor 1" in reason


@pytest.mark.parametrize("number", ["0", "-1", "21", "-20", "8.5", "cat", "", "NaN", "8_0", "inf", "²"])
def test_a_class_that_is_none(number, tmp_path):
    make_pascal(tmp_path, pascal_with("class", number))
    # What an index of -1 would find.
    shutil.copytree(
        tmp_path / "PF-dataset-PASCAL/Annotations/cat", tmp_path / "PF-dataset-PASCAL/Annotations/tvmonitor"
    )
    assert f"row 2: class '{number}' is not a number from 1 to 20" in the_fault(read_pascal(tmp_path))


@pytest.mark.parametrize("number", ["8", "8.0", " 8 ", "08", "+8"])
def test_a_class_as_programs_write_it(number, tmp_path):
    index = read_pascal(make_pascal(tmp_path, pascal_with("class", number)))
    assert index.categories == ("cat",)


# PF-PASCAL and PF-WILLOW as others ship them


def assert_whole(index: SplitIndex) -> None:
    assert not index.broken
    points = index.pairs[index.pair_ids[0]].target_points
    np.testing.assert_array_equal(points, np.array(POINTS) + [1, 0])


@pytest.mark.parametrize(
    "name",
    ["test_pairs_pf_pascal.csv", "PF-dataset-PASCAL/test_pairs_pf_pascal.csv", "image_pairs/test_pairs.csv"],
)
def test_other_names_of_pf_pascals_list(name, tmp_path):
    assert_whole(read_pascal(make_pascal(tmp_path, name=name)))


def test_pf_pascal_without_its_inner_folder_and_with_bare_names(tmp_path):
    assert_whole(read_pascal(make_pascal(tmp_path, pascal_rows(pictures=""), parts=".")))


def test_pf_pascal_with_paths_of_another_folder(tmp_path):
    assert_whole(
        read_pascal(make_pascal(tmp_path, pascal_rows(pictures="PF-PASCAL\\JPEGImages\\"), parts="."))
    )


def test_points_of_the_list_stand_in_for_mat_files_that_are_missing(bench, tmp_path):
    folder = make_pascal(tmp_path / "pf-pascal")
    whole = read_pascal(folder)
    assert whole.notes == ()
    shutil.rmtree(folder / "PF-dataset-PASCAL" / "Annotations")
    index = read_pascal(folder)
    assert_whole(index)
    note = f"3 pairs have their points from {folder / 'test_pairs.csv'}, since their .mat files are missing"
    assert index.notes == (note,)
    assert note in bench("data", "verify", "pf-pascal", "--split", "test", "--data-root", tmp_path).out
    assert index.manifest != whole.manifest


def test_a_mat_file_that_is_missing_where_the_list_has_no_points(tmp_path):
    folder = make_pascal(tmp_path, [row[:3] for row in pascal_rows()])
    path = folder / "PF-dataset-PASCAL" / "Annotations" / "cat" / "0.mat"
    path.unlink()
    index = read_pascal(folder)
    assert len(index.broken) == 2
    assert f"{path}: is missing" in index.broken[index.pair_ids[0]]


def test_a_class_counted_from_0_is_not_covered_by_the_lists_points(tmp_path):
    rows = pascal_rows()
    for row in rows[1:]:
        row[2] = "7"
    index = read_pascal(make_pascal(tmp_path, rows))
    assert not index.pairs
    assert "row 2: class 7 is car, and 0.png is annotated as cat" in index.broken[index.pair_ids[0]]


def test_a_damaged_mat_file_is_not_replaced_by_the_lists_points(tmp_path):
    folder = make_pascal(tmp_path)
    (folder / "PF-dataset-PASCAL" / "Annotations" / "cat" / "0.mat").write_bytes(b"not a MATLAB file")
    assert len(read_pascal(folder).broken) == 2


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("1;2", "XA, YA, XB, YB are not of one length"),
        ("1;2;x", "XA 'x' is not a number"),
        ("1;2;1e999", "XA '1e999' is not a number"),
    ],
)
def test_points_of_the_list_that_cannot_be_read(points, message, tmp_path):
    rows = pascal_rows()
    rows[1][3] = points
    folder = make_pascal(tmp_path, rows)
    shutil.rmtree(folder / "PF-dataset-PASCAL" / "Annotations")
    assert f"row 2: {message}" in the_fault(read_pascal(folder))


def test_points_of_the_list_as_programs_write_them(tmp_path):
    rows = pascal_rows()
    rows[1][5], rows[1][6] = "11.0 ; 51;31.0;", "10;1e1;24."
    folder = make_pascal(tmp_path, rows)
    shutil.rmtree(folder / "PF-dataset-PASCAL" / "Annotations")
    assert_whole(read_pascal(folder))


@pytest.mark.parametrize(
    "name", ["test_pairs_pf.csv", "test_pairs_pf_willow.csv", "PF-dataset/test_pairs.csv"]
)
def test_other_names_of_pf_willows_list(name, tmp_path):
    assert len(read_willow(make_willow(tmp_path, name=name)).pairs) == 3


def test_pf_willow_in_another_folder(tmp_path):
    make_willow(tmp_path, willow_rows("PF-dataset\\car(G)"))
    (tmp_path / "PF-dataset").rename(tmp_path / "PF-dataset-WILLOW")
    index = read_willow(tmp_path)
    assert not index.broken
    assert index.categories == ("car",)


WILLOW_FAULTS = {
    "bare name": ("imageA", "0.png", "picture '0.png' has no folder, which is its category"),
    "no name": ("imageB", "", "picture '' has no folder"),
    "words": ("XB3", "five", "row 2: XB3 'five' is not a number"),
    "low line": ("XB3", "1_0", "row 2: XB3 '1_0' is not a number"),
    "infinite": ("YA10", "inf", "row 2: YA10 'inf' is not a number"),
    "huge": ("YA10", "1e999", "row 2: YA10 '1e999' is not a number"),
    "missing picture": ("imageB", "PF-dataset/car(G)/9.png", "9.png: No such file or directory"),
}


@pytest.mark.parametrize("fault", WILLOW_FAULTS)
def test_a_fault_in_a_row_of_pf_willow_costs_its_own_pair(fault, tmp_path):
    column, value, message = WILLOW_FAULTS[fault]
    rows = willow_rows()
    rows[1][rows[0].index(column)] = value
    assert message in the_fault(read_willow(make_willow(tmp_path, rows)))


def test_a_pair_of_pf_willow_without_an_extent_fails_before_any_work(bench, tmp_path):
    rows = willow_rows()
    rows[1][22:] = ["20"] * 20
    make_willow(tmp_path / "pf-willow", rows)
    done = bench(
        *("run", "--methods", "position", "--datasets", "pf-willow"),
        *("--data-root", tmp_path, "--out", tmp_path / "r"),
    )
    assert done.status == 1
    assert (
        "pair 000001-car(G)-0-car(G)-1 cannot be scored under sd4match: the threshold is 'points'" in done.err
    )
    assert "lie in one place" in bench("data", "verify", "pf-willow", "--data-root", tmp_path).out


def test_absent_points_of_pf_willow_as_programs_write_them(tmp_path):
    rows = willow_rows()
    for column, text in (("XA1", "NaN"), ("YA2", ""), ("XB3", "NA"), ("YB4", "null")):
        rows[1][rows[0].index(column)] = text
    index = read_willow(make_willow(tmp_path, rows))
    assert int(index.valid[index.pair_ids[0]].sum()) == 6


# Faults of a list itself


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_list_of_spair(content, tmp_path):
    (make_spair(tmp_path) / "Layout" / "large" / "test.txt").write_bytes(content)
    with pytest.raises(UserError, match="its list has no pairs"):
        read_spair(tmp_path)


def test_a_list_that_is_not_text(bench, tmp_path):
    (make_spair(tmp_path / "SPair-71k") / "Layout" / "large" / "test.txt").write_bytes(b"\xff\xfe\x00")
    done = bench("run", "--methods", "position", "--datasets", "spair-71k", "--data-root", tmp_path)
    assert done.status == 2
    assert "not text in UTF-8" in done.complaint


def test_a_column_that_is_there_twice(tmp_path):
    rows = pascal_rows()
    write_table(make_pascal(tmp_path) / "test_pairs.csv", [[*row, row[2]] for row in rows])
    with pytest.raises(UserError, match="column 'class' is there twice"):
        read_pascal(tmp_path)


def test_the_manifest_does_not_name_this_machine(tmp_path):
    """A broken pair has the same manifest wherever the dataset lies."""
    manifests = set()
    for place in ("a", "b"):
        folder = make_spair(tmp_path / place, lambda annotation: annotation.update(kps_ids=5))
        manifests.add(read_spair(folder).manifest)
    assert len(manifests) == 1
