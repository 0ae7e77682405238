"""Checks of a localizer: the grid that it reads, and its predictions for a batch and for single pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import Frame, GridConvention, Size
from harness.localizers.similarity import Grid
from harness.specs import (
    BatchLocalizer,
    FeatureMap,
    Lattice,
    Localizer,
    Located,
    Matches,
    MatchesKind,
    MatchesReader,
    Reading,
)

GRIDS: tuple[GridConvention, ...] = ("corner", "half-pixel", "patch-centre")

_IMAGE, _FRAME, _CELLS = Size(120, 90), Size(12, 12), Size(6, 4)
"""Image, frame and cells of the made-up maps.

A pixel of the frame is several pixels of the image, so that conventions lie apart that differ by half a pixel
of the frame.
"""

_MOVES = (((1, 1), (4, 2)), ((4, 2), (1, 1)), ((3, 1), (2, 2)))
"""Positions (x, y) in the source and the positions in the target to which their features are moved."""


def peak_error(localizer: Localizer, grid: GridConvention, reads: Reading) -> float:
    """Largest distance, in original pixels, of predictions from the positions that a grid convention gives.

    Every cell of the source has a feature of its own. The target has one of them, at another position. The
    query lies where `grid` puts the feature in the source, and the prediction should lie where it puts it in
    the target.
    """
    channels = _CELLS.width * _CELLS.height + 1
    features = torch.eye(channels)
    source = _synthetic_map(features[:-1])
    errors = []
    for (x, y), (target_x, target_y) in _MOVES:
        # The last channel fills the target: no cell of the source has it.
        data = features[-1].repeat(channels - 1, 1)
        data[target_y * _CELLS.width + target_x] = features[y * _CELLS.width + x]
        target = _synthetic_map(data)
        query = _pixel(Grid(source, grid), (x, y), reads)
        expected = _pixel(Grid(target, grid), (target_x, target_y), reads)
        located = localizer(source, target, query)
        predicted = located.points.double().cpu()
        errors.append(float(torch.linalg.vector_norm(predicted - expected)))
    return max(errors)


@dataclass(frozen=True)
class ReaderOfMaps:
    """A localizer that reads matches, as one that is given maps.

    The matches are made up of the maps: where a feature of the source occurs in the target, all other cells
    move likewise, since a reader may look at the cells around a point, too.
    """

    reader: MatchesReader
    gives: MatchesKind

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """Predictions of the reader."""
        products = torch.einsum("cyx,cvu->yxvu", source.data, target.data)
        # Of several, as on maps that are equal, the first: the move is none then.
        y, x, v, u = products.nonzero()[0].tolist()
        rows, columns = torch.meshgrid(
            torch.arange(source.cells.height), torch.arange(source.cells.width), indexing="ij"
        )
        rows, columns = rows + v - y, columns + u - x
        lattices = [Lattice(each.frame, each.cells, each.grid) for each in (source, target)]
        if self.gives == "flow":
            flow = torch.stack([columns, rows]).to(products)
            return self.reader.read(Matches(lattices[0], lattices[1], flow=flow), points)
        volume = torch.zeros_like(products)
        is_inside = (rows >= 0) & (rows < target.cells.height)
        is_inside &= (columns >= 0) & (columns < target.cells.width)
        starts = is_inside.nonzero(as_tuple=True)
        volume[(*starts, rows[starts], columns[starts])] = 1.0
        return self.reader.read(Matches(lattices[0], lattices[1], volume=volume), points)


def reads_whole_pixels(localizer: Localizer) -> bool | None:
    """Says whether points of the same original pixel get the same predictions.

    None where all pixels get the same ones.

    A pixel of the made-up image covers one and a half cells, so that its corners have different features.
    """
    side, cells = 6, 9
    # A channel for each cell: every feature differs from all others.
    data = torch.eye(cells * cells).view(cells * cells, cells, cells)
    frame = Frame.stretched(Size(side, side), Size(60, 60))
    feature_map = FeatureMap(data, frame)
    pixels = torch.arange(side, dtype=torch.float64)
    corners = torch.cartesian_prod(pixels, pixels)
    # Two points of every pixel: one beside its upper left corner, one beside its lower right corner.
    near = localizer(feature_map, feature_map, corners + 0.05).points
    far = localizer(feature_map, feature_map, corners + 0.95).points
    if torch.equal(near, near[:1].expand_as(near)):
        return None
    return torch.equal(near, far)


def batch_differences(
    batch_localizer: BatchLocalizer,
    localizer: Localizer,
    tasks: Sequence[tuple[FeatureMap, FeatureMap, Tensor]],
) -> tuple[bool, float]:
    """Compares the predictions of a batch of pairs with those of the pairs by themselves.

    Args:
        batch_localizer, localizer: the same object.

    Returns:
        Whether each pair's bytes are the same in a batch of its own, and the largest distance in pixels from
        the predictions of a call.
    """
    are_equal, largest = True, 0.0
    for task, batched in zip(tasks, batch_localizer.many(tasks), strict=True):
        (alone,) = batch_localizer.many([task])
        has_same_points = torch.equal(batched.points, alone.points)
        has_same_scores = torch.equal(batched.score, alone.score)
        are_equal = are_equal and has_same_points and has_same_scores
        called = localizer(*task)
        offsets = batched.points.double() - called.points.double()
        distances = torch.linalg.vector_norm(offsets, dim=1)
        largest = max(largest, float(distances.max()))
    return are_equal, largest


def _synthetic_map(features: Tensor) -> FeatureMap:
    """A map of features (cells, C), row by row, that declares no grid."""
    data = features.T.reshape(-1, _CELLS.height, _CELLS.width).contiguous()
    return FeatureMap(data, Frame.stretched(_IMAGE, _FRAME))


def _pixel(grid: Grid, position: tuple[int, int], reads: Reading) -> Tensor:
    """(1, 2) original pixels of a position; for `pixel`, the pixel whose centre is nearest to it."""
    if reads != "pixel":
        return grid.points(torch.tensor([position], dtype=torch.float64))
    numbers = []
    for axis in (0, 1):
        centres = grid.pixel_positions(torch.arange(_IMAGE[axis]), axis)
        distances = (centres - position[axis]).abs()
        numbers.append(int(distances.argmin()))
    return torch.tensor([numbers], dtype=torch.float64)
