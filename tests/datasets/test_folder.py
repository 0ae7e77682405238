"""The user's own photos: lists that are right, and one clear line about each that is not."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from support.photos import draw, make_photos, photo_list, read_list, write_list
from support.results import the_record

from harness.datasets.folder import Folder
from harness.datasets.own_lists import CSV_EXAMPLE, EXAMPLE, example_of, read_own_list
from harness.errors import BenchError

HEADER = (
    "source,target,category,keypoint,source_x,source_y,target_x,target_y,"
    "target_x1,target_y1,target_x2,target_y2"
)


@pytest.fixture
def run(bench, photos, tmp_path):
    def start(place=None):
        return bench(
            "run",
            "--methods",
            "position",
            "--localizers",
            "argmax",
            "--datasets",
            f"folder={place or photos}",
            "--out",
            tmp_path / "r",
        )

    return start


def write_csv(folder, *rows, header=HEADER):
    (folder / "pairs.json").unlink(missing_ok=True)
    (folder / "pairs.csv").write_text("\n".join([header, *rows]) + "\n")


def test_a_json_list_is_read(photos):
    dataset = Folder(photos, "test")
    assert (len(dataset), dataset.label, dataset.threshold) == (12, "folder:photos", "box")
    assert dataset.pair_ids[:2] == ("000001", "000002")
    pair = dataset[0]
    assert (pair.category, pair.source_size, pair.target_size) == ("blob", (60, 48), (60, 48))
    assert pair.source_points.tolist()[1] == [50, 10]
    assert pair.target_box == (5, 5, 55, 45)
    assert pair.keypoint_ids == ("0", "1", "2", "3", "4")
    assert pair.labels == {"viewpoint_variation": 0}
    assert [image.open().size for image in (pair.source, pair.target)] == [(60, 48)] * 2


def test_a_list_may_say_as_little_as_possible(photos):
    points = [[1, 2], [3.5, 4]]
    write_list(
        photos,
        {
            "pairs": [
                {
                    "source": "photo0.png",
                    "target": "photo1.png",
                    "source_points": points,
                    "target_points": points,
                }
            ]
        },
    )
    dataset = Folder(photos, "test")
    assert (dataset.label, dataset.threshold) == ("folder:photos", "image")
    pair = dataset[0]
    assert (pair.category, pair.target_box, pair.labels) == ("object", None, {})


def test_a_list_may_say_everything(photos):
    content = photo_list()
    content |= {"name": "mine", "threshold": "points"}
    content["pairs"][0] |= {
        "id": "first",
        "source_box": [0, 0, 10, 10],
        "keypoint_ids": ["a", "b", "c", "d", "e"],
    }
    write_list(photos, content)
    dataset = Folder(photos, "test")
    assert (dataset.label, dataset.threshold, dataset.pair_ids[0]) == ("folder:mine", "points", "first")
    assert (dataset[0].source_box, dataset[0].keypoint_ids) == ((0, 0, 10, 10), ("a", "b", "c", "d", "e"))


def test_one_box_missing_makes_the_image_the_threshold(photos):
    content = photo_list()
    del content["pairs"][3]["target_box"]
    write_list(photos, content)
    assert Folder(photos, "test").threshold == "image"


def test_a_list_in_which_some_pairs_lack_a_box_is_told(bench, photos, tmp_path):
    line = (
        "target_box is there for 11 of 12 pairs, so alpha multiplies the image's size; "
        "give it to all pairs or to none, or name a threshold in pairs.json"
    )
    content = photo_list()
    content["pairs"][3]["target_box"] = None
    write_list(photos, content)
    verified = bench("data", "verify", f"folder={photos}")
    assert verified.status == 0
    assert f"warning: {line}" in verified.out
    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert f"bench: folder:photos test: {line}" in bench(*run).complaint
    write_list(photos, content | {"threshold": "image"})
    assert Folder(photos, "test").notes == ()
    for pair in content["pairs"]:
        pair["target_box"] = None
    write_list(photos, content)
    assert Folder(photos, "test").notes == ()


def test_a_csv_list_says_the_same_as_a_json_list(bench, photos, tmp_path):
    content = photo_list()
    for pair in content["pairs"]:
        del pair["labels"]
    write_list(photos, content)
    by_json = bench(
        "run",
        "--methods",
        "position",
        "--localizers",
        "argmax",
        "--datasets",
        f"folder={photos / 'pairs.json'}",
        "--out",
        tmp_path / "json",
    )
    rows = [
        ",".join(map(str, [pair["source"], pair["target"], "blob", number, *a, *b, *pair["target_box"]]))
        for pair in content["pairs"]
        for number, (a, b) in enumerate(zip(pair["source_points"], pair["target_points"], strict=True))
    ]
    write_csv(photos, *rows)
    by_csv = bench(
        "run",
        "--methods",
        "position",
        "--localizers",
        "argmax",
        "--datasets",
        f"folder={photos / 'pairs.csv'}",
        "--out",
        tmp_path / "csv",
    )
    assert (by_json.status, by_csv.status) == (0, 0)
    assert by_csv.out == by_json.out


def test_rows_of_one_csv_pair_need_not_lie_together(photos):
    rows = ["photo0.png,photo1.png,1,1,2,2", "photo1.png,photo2.png,5,5,6,6", "photo0.png,photo1.png,3,3,4,4"]
    write_csv(photos, *rows, header="source,target,source_x,source_y,target_x,target_y")
    dataset = Folder(photos, "test")
    assert len(dataset) == 2
    assert dataset[0].source_points.tolist() == [[1, 1], [3, 3]]
    assert (dataset[0].category, dataset[0].keypoint_ids, dataset.threshold) == (
        "object",
        ("0", "1"),
        "image",
    )


def test_empty_fields_of_a_csv_list_are_points_that_are_not_there(photos):
    write_csv(
        photos,
        "photo0.png,photo1.png,c,a,1,1,,,,,,",
        "photo0.png,photo1.png,c,b,3,3,4,4,,,,",
        "photo0.png,photo1.png,c,d,nan,3,4,4,,,,",
    )
    pair = Folder(photos, "test")[0]
    assert np.isfinite(pair.target_points).all(axis=1).tolist() == [False, True, True]
    assert np.isfinite(pair.source_points).all(axis=1).tolist() == [True, True, False]
    assert pair.target_box is None


def test_null_points_of_a_json_list_are_points_that_are_not_there(photos):
    content = photo_list()
    content["pairs"][0]["source_points"][1] = None
    content["pairs"][0]["target_points"][2] = [3, None]
    content["pairs"][0]["target_points"][3] = [math.nan, 3]
    write_list(photos, content)
    pair = Folder(photos, "test")[0]
    assert np.isfinite(pair.source_points).all(axis=1).tolist() == [True, False, True, True, True]
    assert np.isfinite(pair.target_points).all(axis=1).tolist() == [True, True, False, False, True]


def test_absent_points_change_no_number_of_the_others(bench, photos, tmp_path):
    """A fifth point that is not there in any pair, and lists without it."""
    for name, change in (
        ("absent", lambda points: [*points[:4], None]),
        ("left-out", lambda points: points[:4]),
    ):
        content = photo_list()
        for pair in content["pairs"]:
            pair["target_points"] = change(pair["target_points"])
            if name == "left-out":
                pair["source_points"] = pair["source_points"][:4]
        write_list(photos, content)
        assert (
            bench(
                "run",
                "--methods",
                "position",
                "--localizers",
                "argmax",
                "--datasets",
                f"folder={photos}",
                "--out",
                tmp_path / name,
            ).status
            == 0
        )
    assert the_record(tmp_path / "absent")["scores"] == the_record(tmp_path / "left-out")["scores"]
    assert the_record(tmp_path / "absent")["counts"]["absent_points"] == 12


def test_a_pair_without_valid_points_is_left_out_of_every_number(bench, photos, tmp_path):
    content = photo_list()
    content["pairs"][4]["source_points"] = [None] * 5
    write_list(photos, content)
    done = bench(
        "run",
        "--methods",
        "position",
        "--localizers",
        "argmax",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "a",
    )
    assert done.status == 0
    assert (
        "5 points are NaN or missing and not counted; 1 pair is without a valid point and left out"
        in done.complaint
    )
    del content["pairs"][4]
    write_list(photos, content)
    bench(
        "run",
        "--methods",
        "position",
        "--localizers",
        "argmax",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "b",
    )
    kept, without = (the_record(tmp_path / name) for name in "ab")
    assert kept["counts"]["excluded"] == 1
    assert (kept["status"], kept["localizers"]["argmax"]["pairs"]) == ("ok", 11)
    assert kept["scores"] == without["scores"]


def test_a_truncated_photo_fails_its_pairs_and_leaves_the_rest_as_it_is(bench, photos, tmp_path):
    assert (
        bench(
            "run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "whole"
        ).status
        == 0
    )
    photo = photos / "photo0.png"
    photo.write_bytes(photo.read_bytes()[:-300])
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 1
    assert f"6 pairs failed: image {photo}: cannot be decoded" in done.complaint
    rows = [{tuple(row[:3]): tuple(row[3:]) for row in stored(tmp_path / name)} for name in ("r", "whole")]
    assert len(rows[0]) == 6 * 5
    assert rows[0].items() <= rows[1].items()


def stored(results):
    import pyarrow.parquet as pq

    (path,) = results.glob("*/predictions.parquet")
    with path.open("rb") as file:
        return pq.read_table(file).to_pandas().to_numpy().tolist()


@pytest.mark.parametrize("point", [[61, 10], [10, 48.5], [-0.5, 3]])
def test_a_point_outside_its_photo_fails_its_pair_alone(run, photos, tmp_path, point):
    content = photo_list()
    content["pairs"][7]["target_points"][2] = point
    write_list(photos, content)
    done = run()
    assert done.status == 1
    x, y = point
    assert f"1 pair failed: pair 000008: target point ({x:g}, {y:g}) lies outside photo" in done.complaint
    assert "which has 60 x 48 pixels" in done.complaint
    assert the_record(tmp_path / "r")["localizers"]["argmax"]["pairs"] == 11


def test_points_on_the_border_of_a_photo_are_inside(run, photos):
    content = photo_list()
    content["pairs"][0]["target_points"][0], content["pairs"][0]["source_points"][0] = [60, 48], [0, 0]
    write_list(photos, content)
    assert run().status == 0


def test_an_empty_file_for_a_photo(run, photos):
    (photos / "photo3.png").write_bytes(b"")
    done = run()
    assert done.status == 1
    assert f"6 pairs failed: image {photos / 'photo3.png'}: cannot be read" in done.complaint


def changed(change):
    """A function that writes the usual list with a change."""

    def write(folder):
        content = read_list(folder)
        result = change(content)
        write_list(folder, content if result is None else result)

    return write


def first(**changes):
    return changed(lambda content: content["pairs"][0].update(changes))


def text(content):
    return lambda folder: (folder / "pairs.json").write_text(content)


def table(*rows, header=HEADER):
    return lambda folder: write_csv(folder, *rows, header=header)


WRONG = {
    "no list": (lambda folder: (folder / "pairs.json").unlink(), "no pairs.json or pairs.csv in"),
    "not JSON": (text("{'pairs': []}"), "not valid JSON"),
    "cut short": (text('{"pairs": ['), "not valid JSON"),
    "not text": (lambda folder: (folder / "pairs.json").write_bytes(b"\xff\xfe\x00"), "not text in UTF-8"),
    "a list": (text("[]"), "needs an object with a list 'pairs'"),
    "no pairs": (text("{}"), "needs an object with a list 'pairs'"),
    "pairs is an object": (text('{"pairs": {}}'), "needs an object with a list 'pairs'"),
    "empty": (text('{"pairs": []}'), "has no pairs"),
    "pair is text": (
        changed(lambda content: content["pairs"].insert(1, "photo0.png")),
        "pair 2: is str, not an object",
    ),
    "misspelt key": (
        first(sorce_points=[]),
        "pair 1: unknown key 'sorce_points'; known: category, id, keypoint_ids, labels, source",
    ),
    "odd threshold": (
        changed(lambda content: content.update(threshold="bbox")),
        "threshold 'bbox' is not one of box, image, points",
    ),
    "other counts": (
        first(target_points=[[1, 1]]),
        "pair 1: 5 source points and 1 target points; need as many",
    ),
    "names too few": (
        first(keypoint_ids=["a"]),
        "5 points and 1 keypoint ids; need as many",
    ),
    "name twice": (first(keypoint_ids=list("abcda")), "pair 1: a keypoint id occurs twice"),
    "points are text": (first(source_points=["a"] * 5), "source_points must be a list of [x, y]"),
    "points of three": (first(source_points=[[1, 2, 3]] * 5), "source_points must be a list of [x, y]"),
    "points are a number": (first(source_points=3), "source_points must be a list of [x, y]"),
    "box of three": (first(target_box=[1, 2, 3]), "target_box must be [x1, y1, x2, y2] in pixels"),
    "box turned round": (
        first(target_box=[30, 5, 10, 45]),
        "target_box [30, 5, 10, 45] is empty; it is [x1, y1, x2, y2]",
    ),
    "box of NaN": (first(target_box=[math.nan, 5, 10, 45]), "is empty; it is [x1, y1, x2, y2]"),
    "box as width": (first(source_box=[30, 20, 10, 10]), "source_box [30, 20, 10, 10] is empty"),
    "labels are a list": (first(labels=["hard"]), "pair 1: labels must be an object"),
    "id twice": (
        changed(lambda content: [pair.update(id="same") for pair in content["pairs"][:2]] and None),
        "two pairs are called 'same'",
    ),
    "id is a number of another": (first(id="000003"), "two pairs are called '000003'"),
    "csv without a column": (
        table("a,b,1,1,2", header="source,target,source_x,source_y,target_x"),
        "column target_y is missing",
    ),
    "csv empty": (
        lambda folder: (folder / "pairs.json").unlink() or (folder / "pairs.csv").write_text(""),
        "the header is empty",
    ),
    "csv without rows": (table(), "has no pairs"),
    "csv with words": (
        table("photo0.png,photo1.png,c,a,1,one,2,2,,,,"),
        "row 2: source_y 'one' is not a number",
    ),
    "csv name twice": (
        table(*["photo0.png,photo1.png,c,a,1,1,2,2,,,,"] * 2),
        "row 2: a keypoint occurs twice in the pair",
    ),
    "csv box cut short": (table("photo0.png,photo1.png,c,a,1,1,2,2,5,5,,"), "row 2: target box"),
}


for _key in ("source", "target", "source_points", "target_points"):
    WRONG[f"no {_key}"] = (
        changed(lambda content, key=_key: content["pairs"][2].pop(key) and None),
        f"pair 3: key '{_key}' is missing",
    )


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_list_is_one_line_that_says_where(run, photos, tmp_path, wrong):
    write, message = WRONG[wrong]
    write(photos)
    done = run()
    assert (done.status, done.out) == (2, "")
    assert message in done.complaint
    assert str(photos) in done.complaint
    assert not (tmp_path / "r").exists(), "nothing was run"


def test_a_place_that_is_not_there(run, tmp_path):
    done = run(tmp_path / "nowhere")
    assert done.status == 2
    assert f"there is no such folder or file: {tmp_path / 'nowhere'}" in done.complaint
    assert EXAMPLE in done.complaint


def test_the_example_in_messages_is_a_list(tmp_path):
    file = tmp_path / "pairs.json"
    file.write_text(EXAMPLE, encoding="utf-8")
    (row,) = read_own_list(file).rows
    assert row.target_points.tolist() == [[90, 60]]
    table_file = tmp_path / "pairs.csv"
    table_file.write_text(f"{CSV_EXAMPLE}\na.jpg,b.jpg,120,80,90,60\n", encoding="utf-8")
    (same,) = read_own_list(table_file).rows
    assert same.target_points.tolist() == [[90, 60]]
    assert CSV_EXAMPLE in example_of(table_file)


def test_a_list_may_have_any_name(bench, photos, tmp_path):
    (photos / "pairs.json").rename(photos / "birds of 2024.json")
    done = bench(
        "run",
        "--methods",
        "position",
        "--datasets",
        f"folder={photos / 'birds of 2024.json'}",
        "--out",
        tmp_path / "r",
    )
    assert (done.status, done.warnings) == (0, [])


def test_photos_below_the_list_and_of_several_kinds(bench, tmp_path):
    folder = tmp_path / "mixed"
    names = ["a/one.jpg", "b/two.webp", "three.bmp"]
    for seed, name in enumerate(names):
        draw(folder / name, seed)
    points = [[10, 10], [40, 30]]
    pairs = [
        {"source": a, "target": b, "source_points": points, "target_points": points}
        for a in names
        for b in names
        if a != b
    ]
    write_list(folder, {"pairs": pairs})
    done = bench("run", "--methods", "position", "--datasets", f"folder={folder}", "--out", tmp_path / "r")
    assert (done.status, done.warnings) == (0, [])
    assert the_record(tmp_path / "r")["localizers"]["bilinear"]["pairs"] == 6


def test_the_record_of_a_folder_names_it(bench, tmp_path):
    photos = make_photos(tmp_path / "photos", images=2)
    write_list(photos, photo_list(2) | {"name": "my birds"})
    bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert the_record(tmp_path / "r")["cell"]["dataset"] == "folder:my birds"


def test_json_numbers_that_are_not_numbers_in_json(photos):
    """Python writes NaN; a strict writer cannot, and uses null: both are read alike."""
    content = photo_list(2)
    content["pairs"][0]["source_points"][0] = [math.nan, math.nan]
    (photos / "pairs.json").write_text(json.dumps(content))
    assert "NaN" in (photos / "pairs.json").read_text()
    assert np.isnan(Folder(photos, "test")[0].source_points[0]).all()
    content["pairs"][0]["source_points"] = "NaN"
    write_list(photos, content)
    with pytest.raises(BenchError, match="source_points must be a list"):
        Folder(photos, "test")


CSV = "source,target,category,source_x,source_y,target_x,target_y,target_x1,target_y1,target_x2,target_y2\n"

ROW = "photo0.png,photo1.png,blob,10,10,12,11,5,5,50,40\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CSV.replace("target_x1", "target_x_1") + ROW, "unknown column 'target_x_1'"),
        (CSV + ROW.strip() + ",7\n", "row 2 has 12 fields, the header 11"),
        (CSV + ROW + "photo0.png,photo1.png,blob,20,10\n", "row 3 has 5 fields, the header 11"),
        (
            CSV + ROW + ROW.replace("10,10", "20,20").replace("50,40", "51,40"),
            "row 3 has another category or box than row 2",
        ),
    ],
)
def test_a_mistake_in_a_csv_list_is_told(bench, photos, tmp_path, content, message):
    (photos / "pairs.json").unlink()
    (photos / "pairs.csv").write_text(content)
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "out")
    assert done.status == 2
    assert message in done.complaint


def test_a_csv_list_from_excel_is_read(bench, photos, tmp_path):
    (photos / "pairs.json").unlink()
    (photos / "pairs.csv").write_bytes(b"\xef\xbb\xbf" + (CSV + ROW).replace("\n", "\r\n").encode())
    assert (
        bench(
            "run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "out"
        ).status
        == 0
    )


def test_a_pair_without_the_box_that_the_threshold_needs_stops_the_run_before_it_begins(
    bench, photos, tmp_path
):
    content = photo_list() | {"threshold": "box"}
    del content["pairs"][3]["target_box"]
    write_list(photos, content)
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "out")
    assert done.status == 2
    assert "pair 000004 has no target_box" in done.complaint


def test_a_pair_whose_points_have_no_extent_fails_alone(bench, photos, tmp_path):
    content = photo_list() | {"threshold": "points"}
    content["pairs"][3]["target_points"] = [[20, 20], None, None, None, None]
    write_list(photos, content)
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "out")
    assert done.status == 1
    assert "pair 000004 cannot be scored under sd4match: the threshold is 'points'" in done.err
    assert "1 pair failed" in done.err
    assert "limited" not in done.out
