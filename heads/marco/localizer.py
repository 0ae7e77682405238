"""MARCO's transfer of points: soft-argmax of dot products around the best cell, at a temperature of 10."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness.frames import pixels_to_cells
from harness.localizers.matches import matches_grid, volume_rows
from harness.localizers.on_grid import KernelSoftmax
from harness.localizers.similarity import CellGrid, Grid, best_positions, sample, similarities, undo_scaling
from harness.specs import FeatureMap, Located, Matches


@dataclass(frozen=True)
class MarcoTransfer(KernelSoftmax):
    """Mean position under softmax of dot products, times a Gaussian around the best cell (MARCO).

    A query is read at x w / W of a frame W pixels wide, and a prediction lies corner to corner, at
    x (W - 1) / (w - 1), or as the map declares: the two maps are not each other's inverse. Between the
    middle of the picture and its left edge a query is up to half a cell beyond the cell that a prediction
    there would name.

    Attributes:
        temperature: what the products are divided by before softmax.
        normalize: whether features have length 1, i.e. products are cosines.
        half_pixel: whether queries are read half a cell further left and up: at x w / W - 1 / 2, as cells
            want it that tile the frame.
    """

    temperature: float = 10.0
    normalize: bool = False
    half_pixel: bool = False

    def similarity(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Tensor:
        """Products (N, h, w) of queries that are sampled bilinearly, and clamped to the map's border."""
        start, goal = Grid(source, self.grid), Grid(target, self.grid)
        queries = sample(start.data, self.query_positions(start, points))
        if self.normalize:
            return similarities(queries, goal.data, True, goal.norms)
        products = similarities(queries, goal.data, False)
        return undo_scaling(products, start.exponent + goal.exponent)

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`: scores of a volume take the place of products."""
        start = matches_grid(matches, "source", self.grid)
        products = volume_rows(matches, self.query_positions(start, points))
        _, score = best_positions(products)
        return Located(matches_grid(matches, "target", self.grid).points(self.positions(products)), score)

    def query_positions(self, grid: CellGrid, points: Tensor) -> Tensor:
        """Positions (N, 2) on a grid, in float64, at which queries in original pixels (N, 2) are read."""
        frame, cells = grid.lattice.frame, grid.lattice.cells
        pixels = frame.from_original(points.to(grid.device).double())
        inside = pixels_to_cells(pixels, frame.size, cells, "patch-centre")
        return inside if self.half_pixel else inside + 0.5
