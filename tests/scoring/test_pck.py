"""What counts as correct: thresholds, comparisons, clamping, averaging, absent points."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import VECTORS

from harness.datasets.images import ImageFile
from harness.datasets.pf_willow import SPEC as PF_WILLOW
from harness.datasets.splits import SplitIndex, Target
from harness.errors import DataError, UserError
from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.records.predictions import prediction_table
from harness.scoring.criteria import Criterion, make_criterion, merge_criteria
from harness.scoring.pck import count_per_pair, is_correct, relative_errors, target_in_frame, threshold_length
from harness.scoring.points import select_points
from harness.scoring.protocols import ORIGINAL, PADDED, SD4MATCH
from harness.scoring.scores import score_points
from harness.scoring.truth import truth_of
from harness.specs import AVERAGINGS, ImagePair, ProtocolSpec

FED = Size(768, 768)


def target(points, size=(200, 100), box=(10.0, 20.0, 110.0, 70.0)):
    return Target(np.array(points, dtype=float), Size(*size), box)


@pytest.mark.parametrize(("protocol", "right"), [(SD4MATCH, True), (ORIGINAL, True), (PADDED, False)])
def test_a_point_at_exactly_the_threshold(protocol: ProtocolSpec, right: bool) -> None:
    """An error of a quarter is a number that floating point has."""
    errors = np.array([0.25, np.nextafter(0.25, 0), np.nextafter(0.25, 1)])
    assert is_correct(errors, 0.25, protocol.strict).tolist() == [right, True, False]


def test_the_boundary_in_pixels() -> None:
    """A box 100 pixels long and alpha 0.25: 25 pixels are right under `<=` and wrong under `<`."""
    one = target([[50, 50]])
    errors = relative_errors(ORIGINAL, "box", one, FED, np.array([[75.0, 50.0]]))
    assert errors.tolist() == [0.25]
    assert is_correct(errors, 0.25, strict=False).all()
    assert not is_correct(errors, 0.25, strict=True).any()


@given(st.lists(st.floats(0, 2), min_size=1, max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_more_is_right_at_a_larger_alpha(errors: list[float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    for strict in (False, True):
        assert (is_correct(np.array(errors), low, strict) <= is_correct(np.array(errors), high, strict)).all()


def test_a_prediction_that_is_not_finite_is_wrong() -> None:
    errors = relative_errors(
        ORIGINAL, "box", target([[50, 50], [50, 50]]), FED, np.array([[np.nan, 50], [np.inf, 0]])
    )
    assert not is_correct(errors, 1e9, strict=False).any()


def test_thresholds_in_each_frame() -> None:
    one = target([[20, 30], [100, 90], [60, 10]])
    plain, stretched, padded = (
        Frame.unchanged(one.size),
        Frame.stretched(one.size, FED),
        Frame.padded(one.size, 840),
    )
    found = {
        kind: [threshold_length(kind, one, frame) for frame in (plain, stretched, padded)]
        for kind in ("box", "image", "points")
    }
    assert found["box"] == pytest.approx([100, max(100 * 3.84, 50 * 7.68), 420])
    assert found["image"] == pytest.approx([200, 768, 840])
    assert found["points"] == pytest.approx([80, 80 * 7.68, 80 * 4.2])


@pytest.mark.parametrize("absent", [(np.nan, np.nan), (np.nan, 3.0), (np.inf, 0.0), (-np.inf, np.nan)])
def test_points_that_are_not_there_do_not_widen_the_threshold(absent: tuple[float, float]) -> None:
    """The PF-WILLOW trap: five published evaluators take padding for points."""
    points = [[60, 30], [100, 90], [80, 50]]
    for frame in (Frame.unchanged(Size(200, 100)), Frame.stretched(Size(200, 100), FED)):
        assert threshold_length("points", target([*points, absent, absent]), frame) == threshold_length(
            "points", target(points), frame
        )


def test_pf_willow_thresholds_are_the_extent_of_the_ten_points() -> None:
    """Where padding counted as a point at the origin, as in the published evaluators, every one of them would
    be larger.
    """
    expected = json.loads((VECTORS / "datasets.json").read_text(encoding="utf-8"))["pfwillow/test"]
    dataset = PF_WILLOW.open(VECTORS / "datasets" / "pf-willow", "test")
    found, trapped = [], []
    for number in range(len(dataset)):
        pair = dataset[number]
        frame = Frame.stretched(pair.target_size, FED)
        padding = np.full((30, 2), np.nan)
        padded = np.vstack([pair.target_points, padding])
        found.append(threshold_length("points", Target(padded, pair.target_size, None), frame))
        trapped.append(
            threshold_length("points", Target(np.nan_to_num(padded), pair.target_size, None), frame)
        )
    assert found == pytest.approx([pair["pck_threshold"] for pair in expected])
    assert np.mean(trapped) > np.mean(found) + 0.04 * 768


def test_points_are_measured_before_they_are_clamped() -> None:
    one = target([[0, 50], [200, 50]])
    frame = Frame.stretched(one.size, FED)
    assert threshold_length("points", one, frame) == 768
    assert np.ptp(target_in_frame(SD4MATCH, one, frame), axis=0)[0] == pytest.approx(767 - 2e-4)


@pytest.mark.parametrize(
    ("kind", "one", "message"),
    [
        ("box", target([[1, 1]], box=None), "no bounding box"),
        ("points", target([[40, 40]]), r"threshold length \(points\) of the target is 0 pixels"),
        ("points", target([[np.nan, np.nan]]), "must be positive"),
        ("box", target([[1, 1]], box=(5.0, 5.0, 5.0, 5.0)), "must be positive"),
    ],
)
def test_a_threshold_that_is_not_there_is_an_error(kind: str, one: Target, message: str) -> None:
    with pytest.raises(DataError, match=message):
        threshold_length(kind, one, Frame.unchanged(one.size))  # type: ignore[arg-type]


def test_sd4match_moves_points_on_the_border_into_the_frame() -> None:
    one = target([[200, 100], [0, 0], [100, 50], [-5, 300]])
    frame = Frame.stretched(one.size, FED)
    high = 767 - 1e-4
    assert target_in_frame(SD4MATCH, one, frame) == pytest.approx(
        np.array([[high, high], [1e-4, 1e-4], [384, 384], [1e-4, high]])
    )
    assert target_in_frame(ORIGINAL, one, Frame.unchanged(one.size)) == pytest.approx(one.points)


def test_clamping_decides_about_a_point_on_the_border() -> None:
    """The last pixel's centre is 1 frame pixel from the border: right at alpha 0.001 of 768 only because of
    clamping.
    """
    one = target([[200.0, 50.0]])
    predicted = Frame.stretched(one.size, FED).to_original(np.array([[767.0, 384.0]]))
    (clamped,) = relative_errors(SD4MATCH, "image", one, FED, predicted)
    assert clamped == pytest.approx(1e-4 / 768, rel=1e-3)
    (plain,) = relative_errors(ORIGINAL, "image", one, FED, predicted)
    assert plain == pytest.approx(200 / 768 / 200, rel=1e-3)


def test_predictions_are_not_clamped() -> None:
    one = target([[100.0, 50.0]])
    (error,) = relative_errors(SD4MATCH, "image", one, FED, np.array([[500.0, 50.0]]))
    assert error == pytest.approx(400 * 3.84 / 768)


def test_errors_are_measured_in_the_frame_of_the_protocol() -> None:
    """A circle in a stretched frame is an ellipse in the image: 10 pixels across and 10 down are as far only
    in the original.
    """
    one = target([[100, 50], [100, 50]])
    predicted = np.array([[110.0, 50.0], [100.0, 60.0]])
    assert relative_errors(ORIGINAL, "image", one, FED, predicted) == pytest.approx([10 / 200, 10 / 200])
    assert relative_errors(SD4MATCH, "image", one, FED, predicted) == pytest.approx([10 / 200, 10 / 100])
    assert relative_errors(PADDED, "image", one, FED, predicted) == pytest.approx([10 / 200, 10 / 200])
    assert relative_errors(SD4MATCH, "image", one, Size(384, 192), predicted) == pytest.approx(
        [10 / 200, 10 / 200]
    )


class Nowhere(ImageFile):
    """An image that is not there: scores need no picture."""

    def identity(self) -> str:
        return self.name


def make_index(
    counts: dict[str, int], absent: tuple[tuple[str, int], ...] = (), categories: dict[str, str] | None = None
) -> SplitIndex:
    """Pairs whose points all lie in the middle of an image of 100 x 100, with a box of 100."""
    nowhere = Nowhere("nowhere", Path("nowhere"))
    pairs = {}
    for name, count in counts.items():
        points = np.full((count, 2), 50.0)
        for pair_id, row in absent:
            if pair_id == name:
                points[row] = np.nan
        pairs[name] = ImagePair(
            pair_id=name,
            source=nowhere,
            target=nowhere,
            source_size=Size(100, 100),
            target_size=Size(100, 100),
            category=(categories or {}).get(name, "cat"),
            source_points=np.full((count, 2), 50.0),
            target_points=points,
            keypoint_ids=tuple(map(str, range(count))),
            target_box=(0.0, 0.0, 100.0, 100.0),
            labels={"viewpoint_variation": count % 2},
        )
    return SplitIndex("made", "test", list(pairs), pairs, {}, "box")


def scored(
    index: SplitIndex,
    off: dict[str, list[float]],
    protocol: ProtocolSpec = ORIGINAL,
    alphas: tuple[float, ...] = (0.1,),
) -> dict:
    """(slice, averaging, alpha) -> Score, of predictions that are `off` by some pixels."""
    columns: dict[str, list[object]] = {
        name: [] for name in ("pair_id", "keypoint_id", "localizer", "x", "y", "score")
    }
    for pair_id, distances in off.items():
        for name, distance in zip(index.keypoint_ids(pair_id), distances, strict=True):
            for column, value in zip(
                columns, (pair_id, name, "mine", 50.0 + distance, 50.0, 1.0), strict=True
            ):
                columns[column].append(value)
    predictions = prediction_table(columns, {"mine": ""})
    measure = Criterion(protocol, alphas)
    truth = truth_of(index)
    points = select_points(truth, predictions, "mine", Path("predictions.parquet"))
    found = score_points(truth, points, "mine", measure, Size(100, 100))
    return {(one.slice, one.averaging, one.alpha): one for one in found}


def test_per_image_and_per_point() -> None:
    """One pair of one point that is right and one of three of which none is: a half of the images, a quarter
    of the points.
    """
    found = scored(make_index({"a": 1, "b": 3}), {"a": [0], "b": [50, 50, 50]})
    image, point = found["all", "image", 0.1], found["all", "point", 0.1]
    assert (image.pck, point.pck) == (50, 25)
    assert (image.pairs, image.keypoints) == (point.pairs, point.keypoints) == (2, 4)


def test_all_four_averages() -> None:
    """Three pairs of cats with 2, 8 and 5 points, of which 0, 8 and 1 are right, and a dog's 4 of 5."""
    index = make_index({"a": 2, "b": 8, "c": 5, "d": 5}, categories={"d": "dog"})
    found = scored(index, {"a": [50] * 2, "b": [0] * 8, "c": [0, 50, 50, 50, 50], "d": [0, 0, 0, 0, 50]})

    def numbers(name: str) -> list[float]:
        return [found[name, averaging, 0.1].pck for averaging in AVERAGINGS]

    # (0 + 100 + 20 + 80) / 4; 13 / 20; (40 + 80) / 2; (9 / 15 + 4 / 5) / 2.
    assert numbers("all") == [50, 65, 60, 70]
    assert numbers("category=cat") == [40, 60, 40, 60]
    assert numbers("category=dog") == [80, 80, 80, 80]
    # Pairs of an even number of points are cats alone, and the others one of each category.
    assert numbers("viewpoint=0") == [50, 80, 50, 80]
    assert numbers("viewpoint=1") == [50, 50, 50, 50]
    assert {(score.pairs, score.keypoints) for key, score in found.items() if key[0] == "all"} == {(4, 20)}


def test_pairs_without_a_category_are_one_category_more() -> None:
    index = make_index({"a": 1, "b": 2, "c": 4}, categories={"b": "", "c": ""})
    found = scored(index, {"a": [0], "b": [0, 50], "c": [50, 50, 50, 50]})
    assert {key[0] for key in found if "=" in key[0]} == {"category=cat", "viewpoint=0", "viewpoint=1"}
    # Of 100 for the cat and 25 (per image) or 1 of 6 (per point) for the rest.
    assert found["all", "category-image", 0.1].pck == 62.5
    assert found["all", "category-point", 0.1].pck == pytest.approx(700 / 12)


def test_absent_points_are_not_counted() -> None:
    index = make_index({"a": 4, "b": 2}, absent=(("a", 0), ("a", 2)))
    assert index.valid["a"].tolist() == [False, True, False, True]
    assert index.keypoint_ids("a") == ["1", "3"]
    found = scored(index, {"a": [0, 50], "b": [0, 0]})
    assert found["all", "image", 0.1].pck == 75
    assert found["all", "point", 0.1].pck == 75
    assert found["all", "point", 0.1].keypoints == 4


def test_points_absent_in_the_source_are_not_counted_either() -> None:
    index = make_index({"a": 3})
    index.pairs["a"].source_points[1, 0] = np.inf
    assert index.valid["a"].tolist() == [True, False, True]
    assert len(index.target("a").points) == 2


def test_slices_count_their_own_pairs() -> None:
    index = make_index({"a": 1, "b": 2, "c": 3}, categories={"c": "dog"})
    found = scored(index, {"a": [0], "b": [50, 50], "c": [0, 0, 50]})
    assert {key[0] for key in found} == {"all", "category=cat", "category=dog", "viewpoint=0", "viewpoint=1"}
    assert found["category=cat", "image", 0.1].pck == 50
    assert found["category=dog", "image", 0.1].pck == pytest.approx(200 / 3)
    assert found["category=cat", "point", 0.1].pck == pytest.approx(100 / 3)
    assert (found["viewpoint=1", "point", 0.1].pairs, found["viewpoint=1", "point", 0.1].keypoints) == (2, 4)


def test_every_alpha_and_the_boundary_through_the_whole_of_scoring() -> None:
    index = make_index({"a": 4, "b": 4})
    off = {"a": [0, 12.5, 25, 50], "b": [0, 12.5, 25, 50]}
    alphas = (0.125, 0.25, 0.5)
    kept = scored(index, off, ORIGINAL, alphas)
    assert [kept["all", "image", alpha].pck for alpha in alphas] == [50, 75, 100]
    strict = scored(index, off, ProtocolSpec(name="strict", frame="original", strict=True), alphas)
    assert [strict["all", "image", alpha].pck for alpha in alphas] == [25, 50, 75]


def test_pairs_without_predictions_are_not_counted() -> None:
    found = scored(make_index({"a": 2, "b": 2}), {"a": [0, 0]})
    assert found["all", "image", 0.1].pck == 100
    assert (found["all", "image", 0.1].pairs, found["all", "image", 0.1].low) == (1, None)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 2**20))
def test_counts_of_pairs_are_those_of_a_loop(sizes: list[int], seed: int) -> None:
    hits = np.random.default_rng(seed).integers(0, 2, (sum(sizes), 3)).astype(bool)
    pair_of = np.repeat(np.arange(len(sizes)), sizes)
    right, total = count_per_pair(hits, pair_of, len(sizes))
    assert total.tolist() == sizes
    for number in range(len(sizes)):
        assert right[number].tolist() == hits[pair_of == number].sum(axis=0).tolist()


def test_another_threshold_is_another_measure() -> None:
    host = load_plugins(points=[])
    plain, boxed = (
        make_criterion(host, "sd4match"),
        make_criterion(host, "sd4match[threshold=points]", (0.2, 0.1, 0.2)),
    )
    assert (plain.protocol.name, plain.threshold, plain.alphas) == ("sd4match", None, (0.05, 0.1, 0.15))
    assert (boxed.protocol.name, boxed.threshold, boxed.alphas) == (
        "sd4match[threshold=points]",
        "points",
        (0.1, 0.2),
    )
    assert (boxed.protocol.frame, boxed.protocol.clamp) == (plain.protocol.frame, plain.protocol.clamp)
    merged = merge_criteria([plain], [boxed, make_criterion(host, "sd4match", (0.3,))])
    assert [(one.protocol.name, one.alphas) for one in merged] == [
        ("sd4match", (0.05, 0.1, 0.15, 0.3)),
        ("sd4match[threshold=points]", (0.1, 0.2)),
    ]
    with pytest.raises(UserError, match="unknown threshold 'bx'; known: box, image, points"):
        make_criterion(host, "sd4match[threshold=bx]")
