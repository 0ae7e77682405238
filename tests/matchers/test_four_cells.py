"""Readings of volumes at single points: NCNet's four cells, and PWarpC's upsampled flow."""

import numpy as np
import pytest
import torch

from harness.errors import UserError
from harness.frames import Frame, PatchGrid, Size
from harness.specs import Lattice, Matches
from matchers.localizers.four_cells import FourCells
from matchers.localizers.picture_pixels import PicturePixels
from matchers.localizers.upsampled_flow import UpsampledFlow
from matchers.ncnet import spec as ncnet
from matchers.pwarpc import spec as pwarpc

FED = Size(64, 64)
SOURCE, TARGET = Size(81, 61), Size(41, 101)


def matches_of(best, source=SOURCE, target=TARGET, target_cells=(5, 6), grid=None):
    """Matches of source cells (h, w) whose best target cells have these numbers, and score 1."""
    best = torch.as_tensor(best)
    rows, columns = target_cells
    volume = torch.nn.functional.one_hot(best, rows * columns).float().view(*best.shape, rows, columns)
    return Matches(
        Lattice(Frame.stretched(source, FED), Size(best.shape[1], best.shape[0]), grid),
        Lattice(Frame.stretched(target, FED), Size(columns, rows), grid),
        volume=volume,
    )


def points_of(*points):
    return torch.tensor(points, dtype=torch.float64)


@pytest.fixture
def identity():
    """Every cell's best match is the same cell, of 4 x 5 cells that lie 20 pixels apart."""
    return matches_of(torch.arange(20).view(4, 5), target=SOURCE, target_cells=(4, 5))


@pytest.mark.parametrize("first_pixel", [0.0, 1.0])
def test_the_identity_moves_no_point_inside(identity, first_pixel):
    points = points_of((1, 1), (33.3, 27.9), (20, 40), (80, 60))
    located = FourCells(first_pixel=first_pixel).read(identity, points)
    torch.testing.assert_close(located.points, points)
    assert located.score.tolist() == pytest.approx([1] * 4)


def test_pixels_are_counted_from_the_first_one():
    """Between the first cell and the second, whose matches are the target's first and last column."""
    matches = matches_of([[0, 5, 5], [0, 5, 5]])
    points = points_of((10, 0), (30, 0))
    zero_based = FourCells(first_pixel=0.0).read(matches, points).points[:, 0]
    # Cells lie 40 pixels apart, and the target is 40 pixels wide between its corners.
    np.testing.assert_allclose(zero_based, [10, 30])
    one_based = FourCells().read(matches, points).points[:, 0]
    np.testing.assert_allclose(one_based, [(10 - 1) + 1, (30 - 1) + 1])
    # In a square of 21 pixels a cell is 10 of them; a point at 10 of 81 pixels is at 10 * 21 / 81.
    squared = FourCells(side=21).read(matches, points_of((10, 0))).points[0, 0]
    assert float(squared) == pytest.approx(((10 * 21 / 81 - 1) / 10 * 20 + 1) * 41 / 21)


def test_beyond_the_outermost_cells_distances_have_no_sign():
    """At u beyond the first cell by 4 of 40 pixels the second cell has 4 / 48 of the weight."""
    matches = matches_of([[0, 5, 0], [0, 5, 0]])
    points = points_of((-4, 0), (84, 0))
    located = FourCells(first_pixel=0.0).read(matches, points).points[:, 0]
    np.testing.assert_allclose(located, [40 * 4 / 48, 40 * 4 / 48])


def test_the_nearest_cell_alone():
    matches = matches_of([[0, 5, 2], [0, 5, 2]])
    points = points_of((19, 0), (21, 0), (20, 0), (-50, 0), (500, 0))
    located = FourCells(first_pixel=0.0, nearest=True).read(matches, points).points[:, 0]
    np.testing.assert_allclose(located, [0, 40, 0, 0, 16])


def test_a_point_moves_as_its_nearest_whole_pixel():
    matches = matches_of(np.random.default_rng(3).integers(0, 30, (4, 5)))
    points = points_of((10.4, 20.6), (10.5, 11.5), (80.9, 60.2))
    whole = points_of((10, 21), (10, 12), (80, 60))
    read = FourCells().read(matches, whole).points
    located = FourCells(whole_pixels=True).read(matches, points).points
    torch.testing.assert_close(located, read + points - whole)


@pytest.mark.parametrize("cells", [(1, 1), (1, 4), (3, 1)])
def test_a_single_row_or_column_has_no_neighbours(cells):
    matches = matches_of(torch.full(cells, 7))
    located = FourCells(first_pixel=0.0).read(matches, points_of((13, 17), (80, 60)))
    np.testing.assert_allclose(located.points, [[8, 25], [8, 25]])
    assert located.score.tolist() == [1, 1]


def test_a_padded_picture_is_measured_with_its_padding():
    """The same picture alone and at the corner of a larger one: cells lie on the larger one."""
    common, padded = Size(100, 90), Size(60, 90)
    best = np.random.default_rng(4).integers(0, 20, (4, 5))
    whole = matches_of(best, source=common, target=common, target_cells=(4, 5))
    frame = Frame(padded, FED, (FED.width / common.width, FED.height / common.height))
    part = Matches(
        Lattice(frame, whole.source.cells), Lattice(frame, whole.target.cells), volume=whole.volume
    )
    points = points_of((10.2, 20.7), (59, 89), (30, 45))
    for localizer in (FourCells(whole_pixels=True), FourCells(side=224), UpsampledFlow()):
        torch.testing.assert_close(localizer.read(part, points).points, localizer.read(whole, points).points)


@pytest.mark.parametrize("grid", [None, "corner", "half-pixel", "patch-centre", PatchGrid(8, 4)])
@pytest.mark.parametrize("side", [None, 224])
def test_cells_and_points_are_each_others_inverse(grid, side):
    frame = Frame(SOURCE, FED, (0.5, 0.4), (3.0, 2.0))
    pixels = PicturePixels(Lattice(frame, Size(14, 15), grid), "corner", 1.0, side)
    points = points_of((10.2, 20.7), (59, 3))
    torch.testing.assert_close(pixels.points(pixels.cells(points)), points)


def test_a_flow_is_read_between_cells():
    """All cells move one to the right: a fifth of the picture."""
    shifted = (torch.arange(20).view(4, 5) + 1).clamp(max=19)
    matches = matches_of(shifted, target=SOURCE, target_cells=(4, 5))
    points = points_of((10.4, 20.6), (30, 7.5))
    moved = UpsampledFlow(whole_pixels=False).read(matches, points).points
    torch.testing.assert_close(moved, points + points_of((81 / 5, 0)))
    soft = UpsampledFlow(temperature=0.01, whole_pixels=False).read(matches, points).points
    torch.testing.assert_close(soft, moved, rtol=0, atol=1e-9)
    assert UpsampledFlow().read(matches, points).score.tolist() == [1, 1]


def test_a_flow_follows_the_targets_size():
    matches = matches_of(torch.arange(20).view(4, 5), target_cells=(4, 5))
    moved = UpsampledFlow(whole_pixels=False).read(matches, points_of((40.5, 30.5))).points
    np.testing.assert_allclose(moved, [[41 * 41 / 81 - 0.5, 31 * 101 / 61 - 0.5]])


def test_both_read_volumes_alone():
    flow = Matches(
        Lattice(Frame.unchanged(FED), Size(2, 2)),
        Lattice(Frame.unchanged(FED), Size(2, 2)),
        flow=torch.zeros(2, 2, 2),
    )
    for spec in (*ncnet.LOCALIZERS, *pwarpc.LOCALIZERS):
        with pytest.raises(ValueError, match=f"{spec.name} reads a volume, not a flow"):
            spec.make(**spec.options).read(flow, points_of((1, 1)))


def test_a_square_of_one_pixel_is_refused():
    with pytest.raises(UserError, match="side 1 is too small; give 2 or more, or None"):
        FourCells(side=1)
