"""Coordinates: every map has an inverse, and the conventions are the authors'."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.frames import (
    Frame,
    GridConvention,
    PatchGrid,
    Size,
    cells_to_pixels,
    clamp,
    padded_content,
    pixels_to_cells,
)
from harness.preprocess import padded, padded_maps
from harness.specs import ImageRequest

sides = st.integers(1, 3000)
sizes = st.builds(Size, sides, sides)
# A corner grid of one row or column has no spacing, so nothing comes back from it; it is tested by itself.
grids = st.builds(Size, st.integers(2, 200), st.integers(2, 200))
conventions: st.SearchStrategy[GridConvention] = st.one_of(
    st.sampled_from(("corner", "half-pixel", "patch-centre")),
    st.builds(PatchGrid, st.integers(1, 32), st.integers(1, 32)),
)
points = st.lists(st.tuples(st.floats(-100, 4000), st.floats(-100, 4000)), min_size=1, max_size=6).map(
    np.array
)
frames = st.one_of(
    sizes.map(Frame.unchanged),
    st.builds(Frame.stretched, sizes, sizes),
    st.builds(Frame.padded, sizes, st.integers(1, 2000), st.sampled_from(("centre", "corner"))),
)


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


@given(frames, points)
def test_original_pixels_come_back_from_a_frame(frame, points):
    near(frame.to_original(frame.from_original(points)), points)


@given(frames, points)
def test_frame_pixels_come_back_from_the_original(frame, points):
    near(frame.from_original(frame.to_original(points)), points)


@given(st.builds(Size, st.integers(2, 3000), st.integers(2, 3000)), grids, conventions, points)
def test_pixels_come_back_from_cells(frame, grid, convention, points):
    near(cells_to_pixels(pixels_to_cells(points, frame, grid, convention), frame, grid, convention), points)
    near(pixels_to_cells(cells_to_pixels(points, frame, grid, convention), frame, grid, convention), points)


@given(frames, grids, conventions, points)
def test_tensors_are_mapped_as_arrays_are(frame, grid, convention, points):
    tensor = torch.from_numpy(points)
    for function in (frame.from_original, frame.to_original):
        mapped = function(tensor)
        assert isinstance(mapped, torch.Tensor)
        assert (mapped.numpy() == function(points)).all()
    size = Size(max(frame.size.width, 2), max(frame.size.height, 2))
    assert (
        pixels_to_cells(tensor, size, grid, convention).numpy()
        == pixels_to_cells(points, size, grid, convention)
    ).all()
    assert (
        cells_to_pixels(tensor, size, grid, convention).numpy()
        == cells_to_pixels(points, size, grid, convention)
    ).all()


@given(frames, points)
def test_leading_axes_are_kept_and_nan_stays_nan(frame, points):
    stacked = np.stack([points, points * np.nan])
    mapped = frame.from_original(stacked)
    assert mapped.shape == stacked.shape
    near(mapped[0], frame.from_original(points))
    assert np.isnan(mapped[1]).all()


@given(sizes, sizes)
def test_a_stretched_image_fills_its_frame(original, to):
    frame = Frame.stretched(original, to)
    near(frame.from_original(np.array([(0.0, 0.0), original])), [(0, 0), to])


@given(sizes, st.integers(1, 2000))
def test_a_padded_image_keeps_its_shape_and_lies_in_the_middle(original, side):
    frame = Frame.padded(original, side)
    assert frame.size == (side, side)
    assert frame.scale[0] == frame.scale[1]
    corners = frame.from_original(np.array([(0.0, 0.0), original]))
    near(np.ptp(corners, axis=0).max(), side)
    before, after = corners[0], side - corners[1]
    # Padding is a whole number of pixels before the image; a picture is at least one pixel across.
    assert (before == np.floor(before)).all()
    assert (np.abs(before - after) <= 2).all()


@given(sizes, st.integers(1, 2000))
def test_a_picture_at_the_corner_has_its_padding_below_and_to_the_right(original, side):
    corner, centre = Frame.padded(original, side, "corner"), Frame.padded(original, side)
    assert (corner.size, corner.scale, corner.offset) == (centre.size, centre.scale, (0.0, 0.0))
    near(corner.from_original(np.zeros((1, 2))), np.zeros((1, 2)))


@pytest.mark.parametrize("place", ["centre", "corner"])
def test_a_padded_picture_lies_where_its_frame_says(place):
    picture = PIL.Image.new("RGB", (60, 30), (200, 100, 50))
    pixels = padded(picture, 120, PIL.Image.Resampling.BILINEAR, place)
    left, top = map(int, Frame.padded(Size(60, 30), 120, place).offset)
    expected = torch.zeros(120, 120, 3, dtype=torch.uint8)
    expected[top : top + 60, left : left + 120] = torch.tensor([200, 100, 50], dtype=torch.uint8)
    assert torch.equal(pixels, expected)
    (feature_map,) = padded_maps(torch.zeros(1, 1, 2, 2), [ImageRequest(picture, "a", "b")], 120, place=place)
    assert feature_map.frame == Frame.padded(Size(60, 30), 120, place)


@given(sizes, st.integers(1, 2000))
def test_what_is_pasted_into_a_padded_frame_has_room(original, side):
    content, (left, top) = padded_content(original, side), Frame.padded(original, side).offset
    assert max(content) == side
    assert min(content) >= 1
    assert left + content.width <= side
    assert top + content.height <= side


def test_conventions_are_those_of_the_authors():
    """16 cells on 768 pixels, by the formulas of the module's docstring."""
    frame, grid = Size(768, 384), Size(16, 8)
    cells = np.array([[0, 0], [1, 1], [15, 7]], dtype=float)
    expected = {
        "corner": [[0, 0], [767 / 15, 383 / 7], [767, 383]],
        "half-pixel": [[23.5, 23.5], [71.5, 71.5], [743.5, 359.5]],
        "patch-centre": [[24, 24], [72, 72], [744, 360]],
        PatchGrid(8, 4): [[4, 4], [8, 8], [64, 32]],
    }
    for convention, pixels in expected.items():
        near(cells_to_pixels(cells, frame, grid, convention), pixels)


@given(st.integers(1, 64), grids, points)
def test_patches_side_by_side_are_patch_centres(patch, grid, points):
    frame = Size(grid.width * patch, grid.height * patch)
    near(
        pixels_to_cells(points, frame, grid, PatchGrid(patch, patch)),
        pixels_to_cells(points, frame, grid, "patch-centre"),
    )


@given(sizes, points)
def test_every_pixel_of_a_single_corner_cell_comes_from_it(frame, points):
    cells = np.zeros_like(points)
    assert (cells_to_pixels(cells, frame, Size(1, 1), "corner") == 0).all()


def test_an_unknown_convention_is_refused():
    with pytest.raises(
        ValueError, match="unknown grid convention 'middle'; known: corner, half-pixel, patch-centre"
    ):
        cells_to_pixels(np.zeros((1, 2)), Size(4, 4), Size(2, 2), "middle")


@given(st.builds(Size, st.integers(3, 2000), st.integers(3, 2000)), points, st.floats(0, 0.9))
def test_clamped_points_lie_inside_and_others_stay(size, points, margin):
    clamped = clamp(points, size, margin)
    high = np.array(size) - 1 - margin
    assert ((clamped >= margin) & (clamped <= high)).all()
    inside = (points >= margin) & (points <= high)
    assert (clamped[inside] == points[inside]).all()
    assert (clamp(torch.from_numpy(points), size, margin).numpy() == clamped).all()
