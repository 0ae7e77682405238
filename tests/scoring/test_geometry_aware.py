"""The slice `geometry-aware` against counts made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.frames import Size
from harness.records.predictions import PREDICTIONS, prediction_table, read_predictions, write_table
from harness.records.truth_columns import POINT_SLICE
from harness.scoring.criteria import Criterion
from harness.scoring.points import select_points
from harness.scoring.protocols import BUILTIN
from harness.scoring.scores import score_all
from harness.scoring.seeds import score_seeds
from harness.scoring.truth import Truth, truth_of
from harness.scoring.truth_columns import add_truth, truth_in
from harness.specs import ImagePair

FED = Size(90, 40)

CRITERION = Criterion(BUILTIN[0], (0.1,), 100.0)

# Ears are 0 and 1, paws 2 to 5; 6 is alone. A fault is a point that a prediction misses.
GROUPS = {"cat": (("0", "1"), ("2", "3", "4", "5"))}
PAIRS: Mapping[str, tuple[str, str, str, str]] = {
    # pair: (category, shared points, others of the target, missed)
    # Both ears are shared, and so both count; paw 2 is the target's only one; 6 looks like no other.
    "p1": ("cat", "0126", "", "06"),
    # Paw 3 counts, since the target has paw 5 besides; ear 1 does not.
    "p2": ("cat", "13", "5", "1"),
    # Nothing counts.
    "p3": ("cat", "06", "2", ""),
    # A category without groups.
    "p4": ("dog", "01", "", "0"),
    # All four paws, three of them right.
    "p5": ("cat", "2345", "01", "4"),
}


@dataclass(frozen=True)
class Picture:
    content: str

    @property
    def name(self) -> str:
        return self.content

    def identity(self) -> str:
        return self.content


def a_split(*, knows_target: bool = True, groups: Mapping = GROUPS) -> SplitIndex:
    pairs = {}
    for number, (pair_id, (category, shared, others, _)) in enumerate(PAIRS.items()):
        points = 10.0 + np.arange(2.0 * len(shared)).reshape(-1, 2)
        pairs[pair_id] = ImagePair(
            pair_id=pair_id,
            source=Picture(f"source{number}"),  # type: ignore[arg-type]
            target=Picture(f"target{number}"),  # type: ignore[arg-type]
            source_size=Size(90, 40),
            target_size=Size(90, 40),
            category=category,
            keypoint_ids=tuple(shared),
            source_points=points,
            target_points=points,
            target_keypoints=tuple(shared + others) if knows_target else None,
        )
    return SplitIndex("photos", "val", tuple(pairs), pairs, {}, "image", symmetric_keypoints=groups)


def predictions_of(index: SplitIndex):
    rows: dict[str, list] = {name: [] for name in ("pair_id", "keypoint_id", "localizer", "x", "y", "score")}
    for pair_id, (_, shared, _, missed) in PAIRS.items():
        for name, (x, y) in zip(shared, index.target(pair_id).points.tolist(), strict=True):
            beside = x + 1000 if name in missed else x
            for column, value in zip(rows, (pair_id, name, "argmax", beside, y, 1.0), strict=True):
                rows[column].append(value)
    return prediction_table(rows, {"argmax": "as made"})


def scores_of(truth: Truth, index: SplitIndex, name: str) -> dict:
    scores, _ = score_all(truth, predictions_of(index), [CRITERION], FED, Path("x"))
    return {score.averaging: score for score in scores if score.slice == name}


def stored_truth(folder: Path, index: SplitIndex) -> Truth:
    path = folder / PREDICTIONS
    write_table(path, add_truth(predictions_of(index), truth_of(index)))
    truth = truth_in(read_predictions(path), path)
    assert truth is not None
    return truth


@pytest.mark.parametrize("is_stored", [False, True])
def test_the_slice_is_what_a_count_by_hand_gives(tmp_path, is_stored):
    index = a_split()
    truth = stored_truth(tmp_path, index) if is_stored else truth_of(index)
    scores = scores_of(truth, index, "geometry-aware")
    # p1: ears 0 (wrong) and 1 (right): 1 of 2. p2: paw 3: 1 of 1. p5: paws: 3 of 4. Together 5 of 7.
    assert scores["point"].pck == pytest.approx(100 * 5 / 7)
    assert scores["image"].pck == pytest.approx(100 * (1 / 2 + 1 + 3 / 4) / 3)
    # All of one category.
    assert scores["category-point"].pck == pytest.approx(100 * 5 / 7)
    assert scores["category-image"].pck == pytest.approx(75.0)
    for score in scores.values():
        assert (score.pairs, score.keypoints) == (3, 7)
    # The other slices are what they were: 9 of 14 points.
    whole = scores_of(truth, index, "all")
    assert whole["point"].pck == pytest.approx(100 * 9 / 14)
    assert (whole["point"].pairs, whole["point"].keypoints) == (5, 14)


def test_without_the_targets_points_those_that_a_pair_shares_count_under_another_name():
    index = a_split(knows_target=False)
    assert not scores_of(truth_of(index), index, "geometry-aware")
    scores = scores_of(truth_of(index), index, "geometry-aware-shared")
    # p2 has but one paw in common: 4 of 6 are left.
    assert scores["point"].pck == pytest.approx(100 * 4 / 6)
    assert scores["image"].pck == pytest.approx(100 * (1 / 2 + 3 / 4) / 2)
    assert (scores["image"].pairs, scores["image"].keypoints) == (2, 6)


def test_a_dataset_without_groups_has_no_slice_and_no_column(tmp_path):
    index = a_split(groups={})
    assert stored_truth(tmp_path, index).point_slices is None
    assert POINT_SLICE not in read_predictions(tmp_path / PREDICTIONS).column_names
    scores, _ = score_all(truth_of(index), predictions_of(index), [CRITERION], FED, Path("x"))
    assert {score.slice for score in scores} == {"all", "category=cat", "category=dog"}


def test_groups_of_every_category_are_under_the_empty_name():
    index = a_split(groups={"": GROUPS["cat"]})
    # The dog's two points count as well: one is wrong.
    assert scores_of(truth_of(index), index, "geometry-aware")["point"].pck == pytest.approx(100 * 6 / 9)


def test_the_mean_of_seeds_has_the_slice():
    index = a_split()
    truth = truth_of(index)
    points = select_points(truth, predictions_of(index), "argmax", Path("x"))
    scores = score_seeds([(truth, points)] * 2, CRITERION, FED, "image")
    assert 100 * scores["geometry-aware", 0.1].value == pytest.approx(75.0)
    few = score_seeds([(truth, points)] * 2, CRITERION, FED, "image", ["all"])
    assert {name for name, _ in few} == {"all"}


@pytest.mark.parametrize("threshold", ["image", "points"])
def test_where_the_slice_alone_counts_its_numbers_are_those_of_all(threshold):
    index = a_split()
    truth = truth_of(index)
    only = replace(truth, only="geometry-aware")
    # Lengths are those of all points: of a slice's own, the extent of p2's would be none.
    criterion = replace(CRITERION, threshold=threshold)
    whole, _ = score_all(truth, predictions_of(index), [criterion], FED, Path("x"))
    alone, _ = score_all(only, predictions_of(index), [criterion], FED, Path("x"))
    kept = ("averaging", "pck", "pairs", "keypoints", "images")
    rows = [[getattr(score, name) for name in kept] for score in whole if score.slice == "geometry-aware"]
    assert rows == [[getattr(score, name) for name in kept] for score in alone if score.slice == "all"]
    assert {score.slice for score in alone} == {"all", "category=cat"}


def test_an_unknown_slice_in_a_file_is_one_line(tmp_path):
    stored_truth(tmp_path, a_split())
    path = tmp_path / PREDICTIONS
    table = read_predictions(path)
    other = pa.array(["other"] * table.num_rows, pa.string())
    number = table.column_names.index(POINT_SLICE)
    write_table(path, table.set_column(number, POINT_SLICE, other))
    with pytest.raises(UserError, match="point_slice 'other' is none of geometry-aware"):
        truth_in(read_predictions(path), path)
