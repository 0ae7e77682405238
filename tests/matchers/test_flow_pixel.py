"""Points moved by the flow around their pixel: the reading of CATs, SemiMatch and SCorrSAN."""

from __future__ import annotations

import pytest
import torch

from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.specs import Lattice, Matches
from matchers.localizers.flow_pixel import FlowPixel, flow_of_volume

SIDE, CELLS = 64, 8
SQUARE = Size(SIDE, SIDE)


def lattice(original=SQUARE, cells=CELLS, side=SIDE):
    return Lattice(Frame.stretched(original, Size(side, side)), Size(cells, cells), "half-pixel")


def random_volume(cells=CELLS, seed=0):
    return torch.rand((cells,) * 4, generator=torch.Generator().manual_seed(seed))


def read(matches, points, **options):
    return FlowPixel(**options).read(matches, torch.tensor(points, dtype=torch.float64))


def dense_reading(volume, points, temperature):
    """The authors' way: the flow of all cells, enlarged to all pixels."""
    flow = flow_of_volume(volume, temperature)[None]
    dense = torch.nn.functional.interpolate(flow, (SIDE, SIDE), mode="bilinear") * SIDE / CELLS
    x, y = points.trunc().long().clamp(0, SIDE - 1).unbind(1)
    return points.trunc().clamp(0, SIDE - 1) + dense[0][:, y, x].T


def test_only_the_cells_that_are_needed_give_what_the_whole_flow_gives():
    volume = random_volume()
    points = torch.rand(40, 2, generator=torch.Generator().manual_seed(1)).double() * 80 - 8
    located = FlowPixel(temperature=0.05).read(Matches(lattice(), lattice(), volume=volume), points)
    expected = dense_reading(volume, points, 0.05)
    assert torch.allclose(located.points, expected.double(), atol=1e-4)
    assert located.score.shape == (40,)
    assert (located.score <= volume.max()).all()


def test_the_fraction_of_a_pixel_is_lost_unless_it_is_asked_for():
    still = torch.stack(torch.meshgrid(*[torch.arange(CELLS).float()] * 2, indexing="xy"))
    matches = Matches(lattice(), lattice(), flow=still)
    points = [[10.75, 3.25], [0.5, 62.9]]
    assert read(matches, points).points.tolist() == [[10, 3], [0, 62]]
    assert torch.allclose(read(matches, points, truncate=False).points, torch.tensor(points).double())


def test_a_flow_is_taken_as_it_is_and_its_confidence_is_the_score():
    cells = torch.stack(torch.meshgrid(*[torch.arange(CELLS).float()] * 2, indexing="xy"))
    flow = cells + torch.tensor([1.5, -0.5])[:, None, None]
    confidence = torch.zeros(CELLS, CELLS)
    confidence[4, 4] = 1
    # A cell has 8 pixels; cell (4, 4) has its centre at 35.5.
    points = [[35.0, 36.0], [36.0, 35.0]]
    located = read(Matches(lattice(), lattice(), flow=flow, confidence=confidence), points)
    assert torch.allclose(located.points, torch.tensor([[47.0, 32.0], [48.0, 31.0]]).double())
    assert torch.allclose(located.score, torch.full((2,), (1 - 1 / 16) ** 2).double())
    assert read(Matches(lattice(), lattice(), flow=flow), points).score.tolist() == [0, 0]
    # Through a temperature, too, nothing changes.
    assert torch.equal(
        read(Matches(lattice(), lattice(), flow=flow), points, temperature=5.0).points, located.points
    )


def test_pictures_of_other_shapes_and_grids_of_other_sizes():
    """A best cell of the target moves points to where it lies in the target's own pixels."""
    volume = torch.zeros(CELLS, CELLS, 4, 4)
    volume[:, :, 2, 1] = 1
    source = lattice(original=Size(128, 32))
    target = lattice(original=Size(16, 64), cells=4)
    (point,) = read(Matches(source, target, volume=volume), [[71.0, 17.75]], temperature=1e-3).points
    # The query lies on the centre of cell (4, 4): pixel 35 of the frame across and down. Its goal is 16 and
    # 32 pixels across and down, as its cell (4, 4) begins at 32: displacements of -16 and 0, from 35.
    # The four cells around the query have goals that differ as the cells do.
    cell = torch.tensor([(35 + 0.5) / 8 - 0.5, (35 + 0.5) / 8 - 0.5]).double()
    expected = 35 + torch.tensor([16.0, 32.0]).double() - 8 * cell
    assert torch.allclose(point, expected * torch.tensor([16 / 64, 1.0]).double(), atol=1e-4)


def test_half_precision_is_read_in_single_precision():
    volume = random_volume().bfloat16()
    points = [[20.0, 20.0]]
    exact = read(Matches(lattice(), lattice(), volume=volume.float()), points).points
    assert torch.equal(read(Matches(lattice(), lattice(), volume=volume), points).points, exact)


def test_the_localizer_is_registered_for_matches_alone():
    spec = load_plugins().localizers["flow-pixel"]
    assert spec.matches == {"volume", "flow"}
    assert not spec.maps
    assert spec.make(temperature=0.1, truncate=False) == FlowPixel(0.1, False)
    with pytest.raises(TypeError, match="reads matches"):
        spec.make()(None, None, None)
