"""The reading of SFNet and PMD, and its options."""

import pytest
import torch

from harness.frames import Frame, Size
from harness.specs import Lattice, Matches
from matchers.localizers.grid_corner import GridCorner

PICTURE = Size(41, 29)
SHARP = {"sigma": 0.3, "beta": 500.0}


def lattice(border=0, picture=PICTURE, cells=6):
    side, inner = cells * 16, (cells - 2 * border) * 16
    offset = float(border * 16)
    frame = Frame(
        picture, Size(side, side), (inner / picture.width, inner / picture.height), (offset, offset)
    )
    return Lattice(frame, Size(cells, cells), "corner")


def identity(border=0):
    """Every cell matches itself."""
    place = lattice(border)
    return Matches(place, place, volume=torch.eye(36).view(6, 6, 6, 6))


POINTS = torch.tensor([[0.0, 0.0], [20.0, 14.0], [7.3, 21.6], [41.0, 29.0]], dtype=torch.float64)


def test_the_same_picture_gives_the_rounded_points_back():
    located = GridCorner(**SHARP).read(identity(), POINTS)
    expected = torch.tensor([[0.0, 0.0], [20.0, 14.0], [7.0, 22.0], [40.0, 28.0]]).double()
    torch.testing.assert_close(located.points, expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(located.score, torch.ones(4).double())


def test_without_rounding_a_point_stays_between_pixels():
    located = GridCorner(**SHARP, rounded=False).read(identity(), POINTS[:3])
    torch.testing.assert_close(located.points, POINTS[:3], rtol=0, atol=1e-3)


def test_the_frame_gives_points_back_within_its_border_and_the_crop_magnifies():
    """Dropped cells: 20/18 in the authors' grid, 6/4 here, where the corners are 5/3 apart."""
    by_frame = GridCorner(**SHARP, crop=False).read(identity(border=1), POINTS[:3])
    torch.testing.assert_close(by_frame.points.round(), POINTS[:3].round(), rtol=0, atol=1e-3)
    cropped = GridCorner(**SHARP).read(identity(border=1), POINTS[:1])
    # The corner of the picture is cell 1 of 6, at -0.6; times 6/4 that is -0.9, a twentieth of the way.
    expected = torch.tensor([[0.05 * 40, 0.05 * 28]]).double()
    torch.testing.assert_close(cropped.points, expected, rtol=0, atol=1e-3)


def test_a_border_of_less_than_a_cell_is_read_by_the_frame():
    place = lattice()
    frame = Frame(PICTURE, Size(96, 96), (80 / 41, 80 / 29), (8.0, 8.0))
    matches = Matches(
        Lattice(frame, place.cells, "corner"),
        Lattice(frame, place.cells, "corner"),
        volume=identity().volume,
    )
    cropped, by_frame = (GridCorner(**SHARP, crop=crop).read(matches, POINTS) for crop in (True, False))
    torch.testing.assert_close(cropped.points, by_frame.points, rtol=0, atol=0)
    torch.testing.assert_close(by_frame.points[1], POINTS[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("border", [0, 1])
def test_a_flow_is_read_like_the_volume_that_it_stands_for(border):
    matches = identity(border)
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    confidence = torch.full((6, 6), 0.25)
    flow = Matches(matches.source, matches.target, flow=torch.stack([x, y]), confidence=confidence)
    of_flow, of_volume = (GridCorner(**SHARP).read(kind, POINTS) for kind in (flow, matches))
    torch.testing.assert_close(of_flow.points, of_volume.points, rtol=0, atol=1e-3)
    assert of_flow.score.tolist() == [0.25] * 4


def test_a_point_does_not_depend_on_the_others():
    torch.manual_seed(0)
    matches = Matches(lattice(), lattice(picture=Size(33, 50)), volume=torch.rand(6, 6, 6, 6))
    together = GridCorner().read(matches, POINTS).points
    alone = torch.cat([GridCorner().read(matches, point[None]).points for point in POINTS])
    assert torch.equal(together, alone)


def test_sigma_and_beta_count():
    torch.manual_seed(0)
    matches = Matches(lattice(), lattice(), volume=torch.rand(6, 6, 6, 6))
    default = GridCorner().read(matches, POINTS).points
    for options in ({"sigma": 1.0}, {"beta": 5.0}):
        assert (GridCorner(**options).read(matches, POINTS).points - default).abs().max() > 0.1
