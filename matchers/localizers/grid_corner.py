"""SFNet's reading: a target position for each source cell, read as the authors' evaluation does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.localizers.matches import flow_at, matches_grid
from harness.localizers.similarity import sample
from harness.specs import FeatureMap, Lattice, Located, Matches
from matchers.formulas import expected_positions, weight_around_best


@dataclass(frozen=True)
class GridCorner:
    """Mean positions under a kernel soft-argmax, on cells laid corner to corner (a `MatchesReader`).

    A flow is read at once, without the soft-argmax.

    Attributes:
        sigma: standard deviation in cells of the Gaussian around each source cell's best target cell.
        beta: scores are multiplied by it before softmax: the inverse of a temperature.
        crop: whether cells on the border of a frame are dropped, and those that remain are laid corner to
            corner on the picture, as the authors do. Positions in the target are magnified by all cells over
            the remaining ones: the frame's own scale, where corner to corner would ask for (all - 1) /
            (remaining - 1). False goes by the frame on both sides, as does a border that is not of whole
            cells.
        rounded: whether a query is moved to the nearest whole pixel.
    """

    sigma: float = 5.0
    beta: float = 50.0
    crop: bool = True
    rounded: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """Raises `TypeError`: it compares no feature maps."""
        raise TypeError("localizer 'grid-corner' reads matches, and is given feature maps")

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`.

        The score is the best score of the source cells around the query, or a flow's confidence there, 0
        without one.
        """
        queries = _whole_pixels(points, matches.source) if self.rounded else points
        cells = self._to_cells(matches, queries)
        if matches.volume is None:
            targets, score = flow_at(matches, cells), torch.zeros_like(cells[:, 0])
            if matches.confidence is not None:
                score = sample(matches.confidence[None].double(), cells)[:, 0]
        else:
            values = sample(self._read_rows(matches.volume, cells), cells)
            last = values.new_tensor(matches.target.cells) - 1
            targets, score = (values[:, :2] + 1) * last / 2, values[:, 2]
        return Located(self._to_points(matches, targets), score)

    def _read_rows(self, volume: Tensor, cells: Tensor) -> Tensor:
        """(3, h, w) float64: target positions as `mean_targets` has them, and scores; 0 in unread rows."""
        height, width = volume.shape[:2]
        values = volume.new_zeros((3, height, width), dtype=torch.float64)
        y = cells[:, 1].clamp(0, height - 1)
        # Row by row: memory is bounded, and no row's numbers depend on which others are read.
        for row in torch.cat([y.floor(), y.ceil()]).long().unique().tolist():
            scores = volume[row : row + 1].float()
            values[:2, row] = mean_targets(scores, self.sigma, self.beta)[0].T
            values[2, row] = scores[0].flatten(1).amax(-1)
        return values

    def _to_cells(self, matches: Matches, points: Tensor) -> Tensor:
        """Original pixels (N, 2) of the source -> its cells, in float64."""
        lattice, grid = matches.source, matches_grid(matches, "source", "corner")
        borders = _border_cells(lattice) if self.crop else None
        if borders is None:
            return grid.positions(points)
        points = points.to(grid.device, torch.float64)
        axes = []
        for axis, (border, side) in enumerate(zip(borders, lattice.frame.original, strict=True)):
            last = lattice.cells[axis] - 2 * border - 1
            # Beyond the picture's edge there are only the cells that were dropped.
            axes.append((points[:, axis] * last / max(side - 1, 1)).clamp(0, last) + border)
        return torch.stack(axes, dim=1)

    def _to_points(self, matches: Matches, cells: Tensor) -> Tensor:
        """Cells (N, 2) of the target -> its original pixels."""
        lattice = matches.target
        borders = _border_cells(lattice) if self.crop else None
        if borders is None:
            return matches_grid(matches, "target", "corner").points(cells)
        axes = []
        for axis, (border, side) in enumerate(zip(borders, lattice.frame.original, strict=True)):
            count = lattice.cells[axis]
            # -1..1 between the corners of all cells.
            unit = 2 * cells[:, axis] / max(count - 1, 1) - 1
            axes.append((unit * count / (count - 2 * border) + 1) * (side - 1) / 2)
        return torch.stack(axes, dim=1)


def mean_targets(volume: Tensor, sigma: float, beta: float) -> Tensor:
    """Target positions (..., 2), in -1..1 corner to corner, of source cells with scores (..., h', w')."""
    return expected_positions(target_probabilities(volume, sigma, beta))


def target_probabilities(volume: Tensor, sigma: float, beta: float) -> Tensor:
    """Probabilities (..., h', w') of the target's cells, from scores: the kernel soft-argmax's."""
    scores = beta * weight_around_best(volume, sigma)
    return scores.flatten(-2).softmax(-1).view_as(volume)


def _whole_pixels(points: Tensor, lattice: Lattice) -> Tensor:
    """Points at the nearest pixels of the picture; those on its far edge at its last pixel."""
    last = points.new_tensor(lattice.frame.original) - 1
    return points.round().clamp(torch.zeros_like(last), last)


def _border_cells(lattice: Lattice) -> tuple[int, int] | None:
    """Cells, in x and in y, on either side that show the frame's border and nothing of the picture.

    None where the border is not of whole cells, as many on both sides.
    """
    frame, borders = lattice.frame, []
    for axis, count in enumerate(lattice.cells):
        pixels = frame.size[axis] / count
        before = frame.offset[axis] / pixels
        content = frame.original[axis] * frame.scale[axis]
        after = (frame.size[axis] - frame.offset[axis] - content) / pixels
        border = round(before)
        if abs(before - border) > 1e-6 or abs(after - border) > 1e-6 or 2 * border >= count:
            return None
        borders.append(border)
    return borders[0], borders[1]
