"""The truth beside predictions: that of the dataset, to the last bit, and every damage of it told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.photos import draw

from harness.datasets.images import MIRRORED, ImageFile
from harness.datasets.splits import SplitIndex
from harness.errors import DataError, UserError
from harness.frames import Size
from harness.records.predictions import PREDICTIONS, prediction_table, read_predictions, write_table
from harness.records.truth_columns import TRUTH, TRUTH_COLUMNS, without_truth
from harness.scoring.correctness import correct_keypoints, image_numbers, scorable_points
from harness.scoring.criteria import Criterion
from harness.scoring.pck import relative_errors
from harness.scoring.points import select_points
from harness.scoring.protocols import BUILTIN
from harness.scoring.scores import score_all
from harness.scoring.thresholds import applicable, lacking_pairs
from harness.scoring.truth import Truth, are_equal, truth_of
from harness.scoring.truth_columns import add_truth, truth_in
from harness.specs import ImagePair

FED = Size(768, 512)

THRESHOLDS = ("box", "image", "points")


@dataclass(frozen=True)
class Picture:
    content: str

    @property
    def name(self) -> str:
        return self.content

    def identity(self) -> str:
        return self.content


def a_pair(pair_id: str, number: int, **changes: object) -> ImagePair:
    random = np.random.default_rng(number)
    points = random.uniform(1, 30, (3, 2))
    target = f"picture{(number + 1) % 4}" + (MIRRORED if number % 3 == 0 else "")
    pair = ImagePair(
        pair_id,
        Picture(f"picture{number % 4}"),  # type: ignore[arg-type]
        Picture(target),  # type: ignore[arg-type]
        Size(90, 40),
        Size(40 + 10 * (number % 3), 40 + number),
        ("cat", "dog")[number % 2],
        random.uniform(1, 30, (3, 2)),
        points,
        # Neither in order of name nor in that of other pairs.
        ("9", "10", "nose") if number % 2 else ("nose", "9", "11"),
        None,
        (1.5, 2.0, 20.0 + number, 18.25),
        {"view": number % 2, "share": 0.5, "clear": True, "note": "é ⚑"},
    )
    return replace(pair, **changes)


def a_split(**changes: object) -> SplitIndex:
    """Pairs out of order: one without a box, one with a single point, one without any."""
    pairs = [
        a_pair("b", 1),
        a_pair("d", 2, target_box=None, labels={}),
        a_pair("a", 3, target_points=np.array([[np.nan, np.nan], [3.0, 4.0], [np.nan, 1.0]])),
        a_pair("e", 4, target_points=np.full((3, 2), np.nan)),
        a_pair("c", 5),
        a_pair("C", 6),
    ]
    of_id = {pair.pair_id: replace(pair, **changes) for pair in pairs}
    return SplitIndex("photos", "val", tuple(of_id), of_id, {}, "box")


def predictions_of(index: SplitIndex, localizers: tuple[str, ...] = ("near", "far")) -> pa.Table:
    """A few pixels beside the truth."""
    rows: dict[str, list[object]] = {
        name: [] for name in ("pair_id", "keypoint_id", "localizer", "x", "y", "score")
    }
    random = np.random.default_rng(7)
    for pair_id in index.pairs:
        for localizer in localizers:
            points = index.target(pair_id).points + random.normal(
                0, 4, (len(index.target(pair_id).points), 2)
            )
            for name, (x, y) in zip(index.keypoint_ids(pair_id), points.tolist(), strict=True):
                for column, value in zip(rows, (pair_id, name, localizer, x, y, 0.5), strict=True):
                    rows[column].append(value)
    return prediction_table(rows, dict.fromkeys(localizers, "as made"))


def write_with_truth(folder: Path, index: SplitIndex) -> Path:
    path = folder / PREDICTIONS
    write_table(path, add_truth(predictions_of(index), truth_of(index)))
    return path


def stored_truth(path: Path) -> Truth:
    truth = truth_in(read_predictions(path), path)
    assert truth is not None
    return truth


def test_what_is_read_is_what_the_dataset_says(tmp_path):
    index = a_split()
    truth, stored = truth_of(index), stored_truth(write_with_truth(tmp_path, index))
    assert stored.pair_ids == truth.pair_ids == ("C", "a", "b", "c", "d")
    assert are_equal(truth, stored, truth.pair_ids)
    assert (stored.dataset, stored.split, stored.threshold, stored.lacks) == ("photos", "val", "box", set())
    assert stored.labels == truth.labels
    for pair_id in truth.pair_ids:
        target, expected = stored.target(pair_id), index.target(pair_id)
        order = np.argsort(index.keypoint_ids(pair_id))
        assert stored.names(pair_id) == tuple(sorted(index.keypoint_ids(pair_id)))
        assert target.points.tolist() == expected.points[order].tolist()
        assert (target.size, target.box) == (expected.size, expected.box)
    for kind in THRESHOLDS:
        assert (
            lacking_pairs(stored, Criterion(BUILTIN[0], (0.1,), kind))
            == lacking_pairs(truth, Criterion(BUILTIN[0], (0.1,), kind))
            == dict(sorted(index.lacking(kind).items()))
        )


def test_the_order_of_rows_does_not_matter(tmp_path):
    index = a_split()
    table = read_predictions(write_with_truth(tmp_path, index))
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    truth, stored = truth_of(index), truth_in(shuffled, tmp_path)
    assert stored is not None
    assert are_equal(truth, stored, truth.pair_ids)
    expected = select_points(truth, table, "near", tmp_path)
    points = select_points(stored, shuffled, "near", tmp_path)
    assert points.pair_ids == expected.pair_ids
    assert points.coordinates.tolist() == expected.coordinates.tolist()


def test_a_picture_and_its_mirror_image_are_one(tmp_path):
    index = a_split()
    stored = stored_truth(write_with_truth(tmp_path, index))
    assert [stored.identify(stored.number_of[pair_id]) for pair_id in "bC"] == [
        ("picture1", "picture2"),
        ("picture2", "picture3"),
    ]
    numbers = image_numbers(stored, stored.pair_ids)
    assert len(np.unique(numbers)) == 4
    assert numbers.tolist() == image_numbers(truth_of(index), stored.pair_ids).tolist()


def test_names_of_one_content_are_one_picture(tmp_path):
    """As PF-WILLOW has the same files in several of its classes; and each file may be used mirrored."""
    (tmp_path / "again").mkdir()
    for name in ("one.png", "two.png", "again/one.png"):
        draw(tmp_path / name, seed=int("two" in name))
    one, two, again = (
        ImageFile(name, tmp_path / name, mirror=name.startswith("again"))
        for name in ("one.png", "two.png", "again/one.png")
    )
    pairs = {"1": a_pair("1", 1, source=one, target=two), "2": a_pair("2", 2, source=two, target=again)}
    index = SplitIndex("photos", "val", tuple(pairs), pairs, {}, "image")
    path = write_with_truth(tmp_path, index)
    for name in ("one.png", "two.png", "again/one.png"):
        (tmp_path / name).unlink()
    (a, b), (b_again, a_again) = image_numbers(stored_truth(path), ["1", "2"]).tolist()
    assert (a, b) == (a_again, b_again)
    assert a != b
    hashes = set(read_predictions(path)["source_image"].to_pylist())
    assert {len(text) for text in hashes} == {64}


@pytest.mark.parametrize("identity", ["", MIRRORED, "a\nb"])
def test_a_picture_without_identity_is_told_before_a_file_is_written(identity):
    index = a_split(source=Picture(identity))
    with pytest.raises(DataError, match="pair C: the identity of a picture"):
        add_truth(predictions_of(index), truth_of(index))


def test_scores_are_the_same_to_the_last_bit(tmp_path):
    index = a_split()
    path = write_with_truth(tmp_path, index)
    criteria = []
    for protocol in BUILTIN:
        for kind in THRESHOLDS:
            named = replace(protocol, name=f"{protocol.name}[threshold={kind}]")
            criteria.append(Criterion(named, (0.05, 0.2, 0.7), kind))
    table = read_predictions(path)
    scores, thresholds = score_all(stored_truth(path), table, criteria, FED, path)
    assert len({score.slice for score in scores}) == 8
    assert (scores, thresholds) == score_all(truth_of(index), without_truth(table), criteria, FED, path)


@pytest.mark.parametrize("protocol", BUILTIN, ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("kind", THRESHOLDS)
def test_points_of_all_pairs_at_once_have_the_errors_that_each_has_alone(protocol, kind):
    truth = truth_of(a_split())
    criterion = Criterion(protocol, (1.0,), kind)
    points = select_points(truth, predictions_of(a_split()), "near", Path())
    points = scorable_points(truth, points, criterion)
    errors = []
    for pair_id, predicted in points.items():
        errors += relative_errors(protocol, kind, truth.target(pair_id), FED, predicted).tolist()
    # Each error is right at an alpha of its own size, and wrong at the next smaller number.
    alphas = [alpha for error in errors for alpha in (np.nextafter(error, 0), error, np.nextafter(error, 9))]
    is_right = correct_keypoints(truth, points, replace(criterion, alphas=tuple(alphas)), FED)
    for number in range(len(errors)):
        expected = [False, not protocol.strict, True]
        assert is_right[number, 3 * number : 3 * number + 3].tolist() == expected


def test_a_part_of_a_split_knows_what_the_whole_lacks(tmp_path):
    boxless = a_split(target_box=None)
    path = write_with_truth(tmp_path, boxless)
    box = Criterion(BUILTIN[0], (0.1,), "box")
    assert applicable(stored_truth(path), [box]) == applicable(truth_of(boxless), [box])
    assert (
        "no target of photos val has a box"
        in applicable(stored_truth(path), [box]).not_applicable["sd4match"]
    )
    # Where some pair of the split has a box, one without fails by name, even as the only one predicted.
    index = a_split()
    rows = predictions_of(index).filter(pa.compute.equal(predictions_of(index)["pair_id"], "d"))
    write_table(path, add_truth(rows, truth_of(index)))
    assert not applicable(stored_truth(path), [box]).not_applicable
    assert list(lacking_pairs(stored_truth(path), box)) == ["d"]


def test_a_file_of_an_earlier_version_has_no_truth(tmp_path):
    path = tmp_path / PREDICTIONS
    write_table(path, predictions_of(a_split()))
    assert truth_in(read_predictions(path), path) is None


def test_bytes_follow_from_rows_and_truth_alone(tmp_path):
    index = a_split()
    (tmp_path / "again").mkdir()
    one = write_with_truth(tmp_path, index).read_bytes()
    write_table(tmp_path / PREDICTIONS, read_predictions(tmp_path / PREDICTIONS))
    assert (tmp_path / PREDICTIONS).read_bytes() == one


def changed(table: pa.Table, name: str, change) -> pa.Table:
    values = table[name].to_pylist()
    change(values)
    return table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))


def put(number: int, value: object):
    def change(values: list) -> None:
        values[number] = value

    return change


def rotate(values: list) -> None:
    values.append(values.pop(0))


def put_all(value: object, keeps_null: bool = False):
    def change(values: list) -> None:
        values[:] = [None if keeps_null and each is None else value for each in values]

    return change


@pytest.mark.parametrize(
    ("column", "change", "problem"),
    [
        ("source_image", put(0, "other"), "pair C: its rows differ in source_image"),
        ("target_image", put(-1, "other"), "pair d: its rows differ in target_image"),
        ("source_image", put_all(" "), "pair C: source_image is empty"),
        ("target_image", put_all("a\nb"), "pair C: target_image 'a\\nb' has the character U+000A"),
        ("category", put(1, "other"), "pair C: its rows differ in category"),
        ("category", put_all(""), "pair C: category is empty"),
        ("labels", put(0, "{}"), "pair C: its rows differ in labels"),
        ("labels", put_all("{"), "pair C: labels '{' are not valid JSON"),
        ("labels", put_all("[]"), "pair C: labels are list, not an object"),
        ("labels", put_all('{"a": [1]}'), "pair C: label a is [1], not text, a number or true or false"),
        ("labels", put_all('{"a": NaN}'), "pair C: label a is nan, not text"),
        ("labels", put_all('{"b": 1, "a": 2}'), "are not sorted"),
        ("true_x", put(0, 1.0), "pair C: its rows differ in true_x"),
        ("true_y", put(3, float("nan")), "pair C: its true_y is not finite"),
        ("true_y", put(3, float("inf")), "pair C: its true_y is not finite"),
        ("target_width", put(0, 7), "pair C: its rows differ in target_width"),
        ("target_height", put_all(0), "pair C: the size of its target image is not positive"),
        ("target_height", put_all(-40), "pair C: the size of its target image is not positive"),
        ("box_x1", put(0, 2.0), "pair C: its rows differ in box_x1"),
        ("box_x1", put(0, None), "pair C: its rows differ in box_x1"),
        ("box_y1", put_all(None), "pair C: its box lacks a corner"),
        ("true_x", put_all(1e300), "its true_x is far beyond any picture"),
        ("target_width", put_all(10**12), "its target_width is far beyond any picture"),
        ("box_x2", put_all(1e300), "its box_x2 is far beyond any picture"),
        ("box_x2", put_all(float("nan")), "pair C: its box_x2 is not finite"),
        ("box_y2", put_all(-5.0, keeps_null=True), "pair C: its box is empty"),
    ],
)
def test_damage_of_each_column_is_one_line(tmp_path, column, change, problem):
    path = write_with_truth(tmp_path, a_split())
    write_table(path, changed(read_predictions(path), column, change))
    with pytest.raises(UserError) as told:
        truth_in(read_predictions(path), path)
    assert str(told.value).startswith(f"{path}: the truth beside the predictions is damaged: ")
    assert problem in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not text in UTF-8"),
        (b"[]", "what it says of the split is not dataset, split, threshold and lacks"),
        (b'{"dataset": "a", "split": "b", "threshold": "box"}', "is not dataset, split, threshold and lacks"),
        (b'{"dataset": 1, "split": "b", "threshold": "box", "lacks": []}', "dataset is int, not text"),
        (b'{"dataset": "a", "split": "", "threshold": "box", "lacks": []}', "split is empty"),
        (
            b'{"dataset": "a", "split": "b", "threshold": "bbox", "lacks": []}',
            "is none of box, image and points",
        ),
        (b'{"dataset": "a", "split": "b", "threshold": ["box"], "lacks": []}', "is none of box, image"),
        (b'{"dataset": "a", "split": "b", "threshold": "box", "lacks": [["box"]]}', "is none of box, image"),
        (
            b'{"dataset": "a", "split": "b", "threshold": "box", "lacks": ["box"]}',
            "no pair has a box, and some",
        ),
        (b'{"dataset": "a", "split": "b", "threshold": "box", "lacks": ["points"]}', "two points, and some"),
    ],
)
def test_damage_of_what_a_file_says_of_its_split_is_one_line(tmp_path, facts, problem):
    path = write_with_truth(tmp_path, a_split())
    table = read_predictions(path)
    write_table(path, table.replace_schema_metadata({**table.schema.metadata, TRUTH: facts}))
    with pytest.raises(UserError) as told:
        truth_in(read_predictions(path), path)
    assert problem in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("column", TRUTH_COLUMNS)
def test_a_column_that_is_missing_or_of_another_type_is_told(tmp_path, column):
    path = write_with_truth(tmp_path, a_split())
    table = pq.read_table(path)
    number = table.column_names.index(column)
    binary = pa.array([b"1"] * table.num_rows, pa.binary())
    damaged = [table.drop_columns([column]), table.set_column(number, column, binary)]
    if not column.startswith("box"):
        nothing = pa.array([None] * table.num_rows, table[column].type)
        damaged.append(table.set_column(number, column, nothing))
    for wrong in damaged:
        pq.write_table(wrong, path)
        with pytest.raises(UserError) as told:
            read_predictions(path)
        assert str(told.value).startswith(f"{path}: not readable as predictions (")
        assert column in str(told.value)


@pytest.mark.parametrize("column", TRUTH_COLUMNS)
def test_the_seal_covers_the_truth(tmp_path, column):
    path = write_with_truth(tmp_path, a_split())
    table = pq.read_table(path)
    other = {"string": "x", "double": 0.25, "int64": 3}[str(table[column].type)]
    # Another value, and the same values in other rows.
    for change in (put(2, other), rotate):
        pq.write_table(changed(table, column, change), path)
        with pytest.raises(UserError, match="its rows are not those that were written"):
            read_predictions(path)


def test_the_seal_covers_whether_a_box_is_there_and_what_is_said_of_the_split(tmp_path):
    path = write_with_truth(tmp_path, a_split())
    table = pq.read_table(path)
    boxless = table["box_x1"].to_pylist().index(None)
    facts = table.schema.metadata[TRUTH].replace(b"box", b"image")
    for wrong in (
        changed(table, "box_x1", put(boxless, 0.0)),
        table.replace_schema_metadata({**table.schema.metadata, TRUTH: facts}),
    ):
        pq.write_table(wrong, path)
        with pytest.raises(UserError, match="its rows are not those that were written"):
            read_predictions(path)
