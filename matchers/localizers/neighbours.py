"""The reading of CHM and TransforMatcher: what the source cells around a query say, by their distance.

Each source cell names a position in the target: the mean under softmax, with a Gaussian kernel around its
best cell. A query's prediction is the mean of what the cells within reach name, weighed by how near they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import Size
from harness.localizers.similarity import CellGrid
from harness.specs import FeatureMap, Lattice, Located, Matches
from matchers.formulas import expected_positions, unit_coordinates, weight_around_best

CELLS = 30
"""Cells across and down of the grid for which reaches are given."""

_SQUARED_DISTANCE = 1e-5
"""Added to squared distances before the root is taken."""


@dataclass(frozen=True)
class Reach:
    """How the source cells around a query are weighed.

    Attributes:
        reach: distance from the query beyond which a cell does not count, where the image is from -1 to 1, on
            a grid of 30 cells; on others it grows or shrinks with the cells.
        constant: added to the sum of weights that predictions are divided by. It draws predictions a little
            towards the image's centre.
    """

    reach: float
    constant: float = 0.0

    def weights(self, queries: Tensor, height: int, width: int) -> Tensor:
        """Weights (N, h w) of source cells for queries (N, 2) in -1..1.

        Where no cell is within reach, the nearest one counts alone: the authors' programs have no number
        there, or the image's centre.
        """
        x, y = unit_coordinates(width, queries), unit_coordinates(height, queries)
        cells = torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=-1)
        offsets = queries[:, None] - cells
        distance = (offsets.square().sum(-1) + _SQUARED_DISTANCE).sqrt()
        reach = self.reach * (CELLS - 1) / max(height - 1, width - 1, 1)
        weights = (reach - distance).clamp_min(0)
        total = weights.sum(-1, keepdim=True)
        nearest = torch.zeros_like(weights).scatter_(-1, distance.argmin(-1, keepdim=True), 1.0)
        return torch.where(total > 0, weights / (total + self.constant).masked_fill(total == 0, 1), nearest)


def expect_positions(volume: Tensor, sigma: float, temperature: float = 1.0) -> Tensor:
    """Positions (..., h, w, 2) in -1..1 that the source cells of volumes (..., h, w, h', w') name."""
    scores = weight_around_best(volume, sigma) / temperature
    return expected_positions(scores.flatten(-2).softmax(-1).view(scores.shape))


def transfer_points(volume: Tensor, queries: Tensor, sigma: float, reach: Reach) -> Tensor:
    """Positions (N, 2) in the target of queries (N, 2) in the source, both in -1..1.

    Args:
        volume: (h, w, h', w').
    """
    named = expect_positions(volume, sigma).flatten(0, 1).to(queries.dtype)
    return reach.weights(queries, *volume.shape[:2]) @ named


@dataclass(frozen=True)
class Neighbours:
    """The localizer. The score is the highest one of the cells within reach, weighed as they are.

    Cells whose place the matches do not say, or say to be corner to corner, lie on the image's edges: the
    first ones at pixel 0, the last ones at the frame's width or height, as both authors have them.

    Attributes:
        sigma: of the Gaussian kernel, in target cells.
        reach, constant: see `Reach`.
        temperature: of the softmax.
    """

    sigma: float = 10.0
    reach: float = 0.05
    constant: float = 1e-5
    temperature: float = 1.0

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """Raises `TypeError`: feature maps hold no volume."""
        raise TypeError("localizer 'neighbours' reads matches, and is given feature maps")

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`. Raises `ValueError` for a flow."""
        volume = matches.volume
        if volume is None:
            raise ValueError("a flow has no scores of all cells; localizer 'neighbours' reads a volume")
        # Scores may be in half precision.
        volume = volume.to(torch.promote_types(volume.dtype, torch.float32))
        queries = _to_unit(matches.source, points.to(volume.device, torch.float64))
        weights = Reach(self.reach, self.constant).weights(queries, *volume.shape[:2])
        # Only cells that count for one of the queries are worked out.
        counting = (weights > 0).any(0).nonzero()[:, 0]
        scores = volume.flatten(0, 1)[counting]
        positions = expect_positions(scores, self.sigma, self.temperature).to(queries.dtype)
        weights = weights[:, counting]
        score = (weights @ scores.flatten(1).amax(-1).to(weights.dtype)) / weights.sum(-1)
        return Located(_from_unit(matches.target, weights @ positions), score)


def _to_unit(lattice: Lattice, points: Tensor) -> Tensor:
    """Original pixels (N, 2) -> positions among the cells, -1 at the first and 1 at the last."""
    if lattice.grid in (None, "corner"):
        pixels = lattice.frame.from_original(points)
        half = _half(lattice.frame.size, points)
        return (pixels - half) / half
    positions = CellGrid(lattice, "corner", points.device).positions(points)
    return positions / _half(_spaces(lattice), points) - 1


def _from_unit(lattice: Lattice, positions: Tensor) -> Tensor:
    """Positions among the cells, -1 at the first and 1 at the last -> original pixels (N, 2)."""
    if lattice.grid in (None, "corner"):
        half = _half(lattice.frame.size, positions)
        return lattice.frame.to_original(positions * half + half)
    cells = (positions + 1) * _half(_spaces(lattice), positions)
    return CellGrid(lattice, "corner", positions.device).points(cells)


def _spaces(lattice: Lattice) -> Size:
    """Distances from the first to the last cell, at least 1."""
    return Size(max(lattice.cells.width - 1, 1), max(lattice.cells.height - 1, 1))


def _half(size: Size, like: Tensor) -> Tensor:
    return torch.tensor([size.width / 2, size.height / 2], dtype=like.dtype, device=like.device)
