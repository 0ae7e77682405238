"""Points moved with the boxes of DHPF's reading."""

from __future__ import annotations

import pytest
import torch

from harness.frames import Frame, PatchGrid, Size, cells_to_pixels
from harness.specs import Lattice, Matches
from matchers.formulas import filter_mutually
from matchers.localizers.boxes import Boxes

SIDE, CELLS = 40, 10
"""Pixels of the frame, and cells of the lattice, across and down."""

SQUARE, CELL_GRID = Size(SIDE, SIDE), Size(CELLS, CELLS)

DHPF = PatchGrid(patch=0, stride=4)


def lattice(grid=DHPF, original=SQUARE, cells=CELL_GRID):
    return Lattice(Frame.stretched(original, SQUARE), cells, grid)


def shifted_volume(across, down, cells=CELLS):
    """Scores by which each cell's best is the one some columns and rows further, as far as there is one."""
    volume = torch.rand((cells,) * 4, generator=torch.Generator().manual_seed(3)) / 10
    for row in range(cells - down):
        for column in range(cells - across):
            volume[row, column, row + down, column + across] = 1.0
    return volume


def read(volume, points, source=None, target=None, **options):
    matches = Matches(source or lattice(), target or lattice(), volume=volume)
    return Boxes(**options).read(matches, torch.tensor(points, dtype=torch.float64))


def test_a_point_moves_with_all_boxes_around_it():
    located = read(shifted_volume(2, 1), [[9.0, 9.0], [10.5, 8.25]])
    assert torch.equal(located.points, torch.tensor([[17.0, 13.0], [18.5, 12.25]]).double())
    assert located.score == pytest.approx(torch.ones(2))


@pytest.mark.parametrize(
    ("x", "count"),
    # Boxes reach 5 pixels to both sides of pixels 0, 4, 8, ...; their edges belong to them.
    [(10.0, 2), (9.0, 3), (9.000001, 2), (11.0, 3)],
)
def test_edges_belong_to_boxes(x, count):
    volume = torch.rand((CELLS,) * 4, generator=torch.Generator().manual_seed(1))
    best = volume.flatten(0, 1).flatten(1).argmax(1)
    centres = torch.cartesian_prod(torch.arange(CELLS), torch.arange(CELLS)).flip(1) * 4
    near = (centres[:, 0] - x).abs() <= 5
    near &= (centres[:, 1] - 10).abs() <= 5
    assert near.sum() == 2 * count
    expected = torch.tensor([x, 10.0]) + (centres[best] - centres)[near].double().mean(0)
    located = read(volume, [[x, 10.0]], mutual=False)
    assert torch.allclose(located.points[0], expected)


def test_a_mutual_choice_wins_over_a_higher_score():
    volume = torch.full((CELLS,) * 4, 0.1)
    # The best target of source cell (0, 0) belongs more to another; its second best is mutual.
    volume[0, 0, 0, 3] = 0.5
    volume[0, 0, 2, 0] = 0.45
    volume[5, 5, 0, 3] = 1.0
    near, points = {"reach": 0.25}, [[0.0, 0.0]]
    assert read(volume, points, **near).points.tolist() == [[0.0, 8.0]]
    assert read(volume, points, mutual=False, **near).points.tolist() == [[12.0, 0.0]]
    filtered = filter_mutually(volume.flatten(2).flatten(0, 1), zero_maximum=True)
    assert read(volume, points, **near).score == filtered[0].max()


def test_points_are_those_of_the_pictures():
    source, target = lattice(original=Size(80, 20)), lattice(original=Size(200, 400))
    located = read(shifted_volume(2, 1), [[18.0, 4.5]], source, target)
    assert located.points.tolist() == [[85.0, 130.0]]


@pytest.mark.parametrize("grid", ["corner", "half-pixel", "patch-centre", PatchGrid(8, 4), None])
def test_boxes_follow_from_any_lattice(grid):
    cells = Size(9, 9) if isinstance(grid, PatchGrid) else Size(CELLS, CELLS)
    side = lattice(grid, cells=cells)
    centres = cells_to_pixels(
        torch.tensor([[3.0, 4.0], [5.0, 5.0]]).double(), Size(SIDE, SIDE), cells, grid or "corner"
    )
    located = read(shifted_volume(2, 1, cells.width), centres[:1].tolist(), side, side)
    assert torch.allclose(located.points, centres[1:])


def test_a_point_in_no_box_moves_with_the_nearest():
    # Centres from 8 to 32 pixels; boxes reach five pixels further, the picture eight.
    side = lattice(PatchGrid(patch=16, stride=4), cells=Size(7, 7))
    located = read(shifted_volume(2, 1, 7), [[1.0, 2.0]], side, side)
    assert located.points.tolist() == [[9.0, 6.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_are_compared_in_single_precision_at_least(dtype):
    volume = shifted_volume(2, 1).to(dtype) * 1e-4
    located = read(volume, [[9.0, 9.0]])
    assert located.points.tolist() == [[17.0, 13.0]]
    assert located.score.dtype == torch.promote_types(dtype, torch.float32)


def test_a_volume_of_zeros_has_an_answer():
    located = read(torch.zeros((CELLS,) * 4), [[9.0, 9.0]])
    assert located.points.isfinite().all()
    assert located.score.tolist() == [0.0]


def test_no_points_are_located_as_none():
    located = Boxes().read(Matches(lattice(), lattice(), volume=shifted_volume(0, 0)), torch.empty(0, 2))
    assert tuple(located.points.shape) == (0, 2)


def test_a_flow_is_refused():
    with pytest.raises(ValueError, match="correlation volume"):
        Boxes().read(Matches(lattice(), lattice(), flow=torch.zeros(2, CELLS, CELLS)), torch.ones(1, 2))
