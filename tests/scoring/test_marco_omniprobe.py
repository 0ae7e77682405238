"""The protocols of MARCO's and OmniProbe's programs, worked out anew; the corner that the latter predicts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support.results import the_record

from harness.datasets.splits import Target
from harness.errors import UserError
from harness.frames import Frame, PatchGrid, Size
from harness.localizers.on_grid import ArgmaxCorner
from harness.plugins.loading import load_plugins
from harness.scoring.box_by_axis import length_by_axis
from harness.scoring.criteria import make_criterion
from harness.scoring.measure_hash import measure_hash
from harness.scoring.pck import relative_errors, target_in_frame
from harness.scoring.protocols import MARCO, OMNIPROBE, PADDED, frame_of
from harness.specs import FeatureMap, ProtocolSpec, TargetInFrame

FED = Size(60, 40)
"""What an extractor was fed: of no matter in a padded frame."""

SIZE = Size(500, 375)
POINTS = np.array([[10.6, 20.9], [499.9, 374.9], [250.0, 100.0], [333.3, 41.7]])
PREDICTED = np.array([[40.0, 22.0], [470.0, 350.0], [250.0, 137.5], [310.0, 60.0]])
BOX = (100.0, 50.0, 300.0, 350.0)


def in_frame_of_marco(points):
    """By hand: one factor, and inside the picture, which is 770 x 578 in its square."""
    return np.clip(points * (770 / 500), 1e-4, np.array([770, 578]) - 1 - 1e-4)


def test_marco_measures_in_a_square_whose_margins_are_below_and_to_the_right():
    target = Target(POINTS, SIZE, BOX)
    frame = frame_of(MARCO, SIZE, FED)
    assert (frame.size, frame.offset) == (Size(770, 770), (0.0, 0.0))
    np.testing.assert_allclose(target_in_frame(MARCO, target, frame), in_frame_of_marco(POINTS), atol=1e-9)
    away = np.linalg.norm(PREDICTED * 1.54 - in_frame_of_marco(POINTS), axis=1)
    np.testing.assert_allclose(relative_errors(MARCO, "box", target, FED, PREDICTED), away / (300 * 1.54))


@pytest.mark.parametrize(
    ("box", "length"),
    [
        # 300 high: times 770 / 375, where points have 770 / 500.
        (BOX, 300 * 770 / 375),
        # Twice as wide as high: the longer side lies along the longer direction.
        ((100.0, 50.0, 400.0, 200.0), 300 * 770 / 500),
    ],
)
def test_marcos_box_follows_two_factors(box, length):
    corners = tuple(side * 770 / 500 for side in box)
    in_frame = TargetInFrame(POINTS, (770.0, 375 * 770 / 500), corners)
    assert length_by_axis(in_frame) == pytest.approx(length)


def test_marcos_length_is_the_datasets():
    def length(kind, **more):
        values = {"points": POINTS, "size": (770.0, 577.5), "box": None, **more}
        return length_by_axis(TargetInFrame(threshold=kind, **values))

    assert length("image") == 770
    assert length("points") == pytest.approx(489.3)
    assert length("points", points=POINTS[:1]) is None
    assert length("box") is None
    assert length("box", box=(5.0, 5.0, 5.0, 5.0)) is None


def test_omniprobe_cuts_true_points_to_whole_pixels():
    """By hand: integers of the annotation, times 800 over the longer side, and integers again."""
    target = Target(POINTS, SIZE, BOX)
    frame = frame_of(OMNIPROBE, SIZE, FED)
    assert (frame.size, frame.offset) == (Size(800, 800), (0.0, 0.0))
    true = [[x * 800 // 500, y * 800 // 500] for x, y in POINTS.astype(int).tolist()]
    assert target_in_frame(OMNIPROBE, target, frame).tolist() == true
    away = np.linalg.norm(PREDICTED * 1.6 - true, axis=1)
    np.testing.assert_allclose(relative_errors(OMNIPROBE, "box", target, FED, PREDICTED), away / (300 * 1.6))


@pytest.mark.parametrize("longest", [333, 375, 500, 640, 1013, 305, 322])
def test_a_whole_pixel_stays_one(longest):
    """Every pixel that has a whole number in the frame keeps it, whatever the factor's rounding."""
    points = np.array([[x, 0.0] for x in range(longest)])
    frame = frame_of(OMNIPROBE, Size(longest, 100), FED)
    target = Target(points, Size(longest, 100), None)
    expected = [x * 800 // longest for x in range(longest)]
    assert target_in_frame(OMNIPROBE, target, frame)[:, 0].tolist() == expected


def test_points_in_a_centred_square_are_kept_inside_its_picture():
    """The picture is 200 x 100 in a square of 200, so from y = 50 to y = 150."""
    protocol = ProtocolSpec(name="p", frame="padded", strict=False, side=200, clamp=1.0)
    target = Target(np.array([[0.0, 0.0], [200.0, 100.0]]), Size(200, 100), None)
    frame = frame_of(protocol, target.size, FED)
    assert target_in_frame(protocol, target, frame).tolist() == [[1, 51], [198, 148]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frame": "padded", "place": "middle"}, "unknown place 'middle'; known: centre, corner"),
        ({"frame": "original", "place": "corner"}, "place 'corner' is one in a padded square, and its frame"),
    ],
)
def test_a_place_that_is_none_is_refused(values, message):
    with pytest.raises(UserError, match=f"^protocol 'mine': {message}"):
        ProtocolSpec(name="mine", strict=False, **values)


def test_the_hash_of_a_measure_knows_the_place_and_the_whole_pixels():
    host = load_plugins(points=[])
    hashes = {name: measure_hash(make_criterion(host, name)) for name in host.protocols}
    assert len(set(hashes.values())) == len(hashes)
    # As records of earlier versions have it.
    assert hashes["padded"] == "82651643"


def test_each_protocols_comparison_mean_and_alphas():
    """An error of the length itself counts where MARCO compares (<=), and not where OmniProbe does (<)."""
    rules = [(each.strict, each.averaging, each.alphas) for each in (MARCO, OMNIPROBE)]
    assert rules == [(False, "image", (0.01, 0.05, 0.1, 0.15, 0.2)), (True, "category-point", (0.1,))]


def test_the_corner_of_a_cell():
    """Seven cells across 98 pixels, five down 70: queries and answers by OmniProbe's own arithmetic."""
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(6, 5, 7, generator=generator) for _ in range(2))
    frame = Frame.padded(Size(49, 35), 98, "corner")
    maps = [FeatureMap(data, frame, PatchGrid(14, 14)) for data in (source, target)]
    points = torch.tensor([[0.0, 0.0], [24.5, 17.5], [48.0, 30.0], [11.3, 34.9]], dtype=torch.float64)
    located = ArgmaxCorner()(*maps, points)

    directions = torch.nn.functional.normalize(source, dim=0)[None]
    places = (points.float() * 2 / 98 * 2 - 1)[None, None]
    queries = torch.nn.functional.grid_sample(directions, places, align_corners=True)[0, :, 0]
    scores = torch.einsum("ck,chw->khw", queries, torch.nn.functional.normalize(target, dim=0))
    best = scores.flatten(1).argmax(1)
    corners = torch.stack([best % 7 * (98 / 7), best // 7 * (98 / 5)], dim=1) / 2
    assert torch.allclose(located.points, corners.double())
    assert torch.allclose(ArgmaxCorner().many([(*maps, points)])[0].points, located.points)


def test_one_prediction_file_under_five_protocols(bench, tmp_path):
    """The numbers of the documentation's table come this way: no run but the first."""
    out = tmp_path / "r"
    run = ("--methods", "position", "--limit", "8", "--out", out)
    assert bench("run", *run).status == 0
    assert (
        bench("rescore", out, "--protocols", "original,padded,marco,omniprobe", "--alphas", "0.1").status == 0
    )
    record = the_record(out)
    assert record["thresholds"]["marco"].startswith("the dataset's own length, a box as if")
    assert record["averagings"]["omniprobe"] == "category-point"
    scored = {score["protocol"] for score in record["scores"]}
    assert scored == {"sd4match", "original", "padded", "marco", "omniprobe"}
    listed = {spec["name"]: spec for spec in json.loads(bench("list", "protocols", "--json").out)}
    assert (listed["marco"]["place"], listed["padded"]["place"]) == ("corner", "centre")
    assert PADDED.alphas == (0.05, 0.1, 0.15)
