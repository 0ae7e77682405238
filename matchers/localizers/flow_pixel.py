"""The reading of CATs, SemiMatch and SCorrSAN: a flow of the whole picture, read at the pixel of a point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import Size, pixels_to_cells
from harness.specs import FeatureMap, Lattice, Located, Matches
from matchers.formulas import expected_positions

ROWS = 256
"""Source cells whose maps of scores pass together: 4 MB each time for SCorrSAN's 64 x 64 target cells."""


def expected_cells(scores: Tensor, temperature: float) -> Tensor:
    """Mean cells (..., 2), x first, under softmax of scores (..., h, w) over a temperature."""
    height, width = scores.shape[-2:]
    probability = (scores / temperature).flatten(-2).softmax(-1).view(scores.shape)
    span = scores.new_tensor([width - 1, height - 1])
    return (expected_positions(probability) + 1) * span / 2


def flow_of_volume(volume: Tensor, temperature: float) -> Tensor:
    """Expected target cell less the source cell's own, (..., 2, h, w), of volumes (..., h, w, h', w')."""
    height, width = volume.shape[-4:-2]
    rows = torch.arange(height, dtype=volume.dtype, device=volume.device)
    columns = torch.arange(width, dtype=volume.dtype, device=volume.device)
    own = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1)
    return (expected_cells(volume, temperature) - own).movedim(-1, -3)


@dataclass(frozen=True)
class FlowPixel:
    """Displacements of the source cells, upsampled to the picture and read at a point's pixel.

    A volume becomes displacements by its soft-argmax over the target's cells; a flow is taken as it is. They
    are enlarged bilinearly to the frame's pixels (pixel centres, not corners, lie on each other), and scaled
    from cells to pixels. The prediction is the query plus the displacement there. Only the cells around the
    queries are computed, which gives the same numbers.

    Attributes:
        temperature: of the soft-argmax; without meaning for a flow.
        truncate: whether the query is its whole pixel, without its fraction, as in the authors' program:
            the fraction is lost, and a prediction lies up to a pixel up and left.
    """

    temperature: float = 0.02
    truncate: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """Raises `TypeError`: feature maps are no matches."""
        raise TypeError("localizer 'flow-pixel' reads matches, and is given feature maps")

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`.

        The score is the best score of the source cells around the query, or the flow's confidence there (0
        where it has none), blended as the displacements are.
        """
        frame, cells = matches.source.frame, matches.source.cells
        queries = frame.from_original(points)
        if self.truncate:
            queries = queries.trunc()
        queries = _inside(queries, frame.size)
        positions = pixels_to_cells(queries, frame.size, cells, "half-pixel")
        corners, weights = neighbours(positions, cells)
        numbers, places = corners.unique(return_inverse=True)
        goals, scores = self._of_cells(matches, numbers)
        displacements = displaced_pixels(numbers, goals, matches)
        blended = (displacements[places] * weights[..., None]).sum(1)
        return Located(matches.target.frame.to_original(queries + blended), (scores[places] * weights).sum(1))

    def _of_cells(self, matches: Matches, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Target cells (R, 2) and scores (R), float64, of R source cells, counted row by row."""
        if matches.kind == "flow":
            flow, confidence = matches.flow, matches.confidence
            assert flow is not None
            goals = flow.flatten(1)[:, numbers].T.double()
            known = None if confidence is None else confidence.flatten()[numbers].double()
            return goals, torch.zeros_like(goals[:, 0]) if known is None else known
        volume = matches.volume
        assert volume is not None
        maps = volume.flatten(0, 1)
        cells: list[Tensor] = []
        best: list[Tensor] = []
        for part in numbers.split(ROWS):
            rows = maps[part].to(torch.promote_types(maps.dtype, torch.float32))
            cells.append(expected_cells(rows, self.temperature).double())
            best.append(rows.flatten(1).amax(1).double())
        return torch.cat(cells), torch.cat(best)


def displaced_pixels(numbers: Tensor, goals: Tensor, matches: Matches) -> Tensor:
    """Displacements (R, 2) in frame pixels of R source cells, counted row by row, to target cells (R, 2).

    A cell's own place and its goal are scaled from cells to pixels, each by its own side.
    """
    width = matches.source.cells.width
    own = torch.stack([numbers % width, numbers // width], dim=1).to(goals)
    return scaled_to_pixels(goals, matches.target) - scaled_to_pixels(own, matches.source)


def scaled_to_pixels(positions: Tensor, lattice: Lattice) -> Tensor:
    """Cells (..., 2) times the frame's pixels per cell."""
    (width, height), cells = lattice.frame.size, lattice.cells
    return positions * positions.new_tensor([width / cells.width, height / cells.height])


def _inside(points: Tensor, size: Size) -> Tensor:
    """Frame pixels (N, 2) moved onto the nearest of the frame's pixels."""
    return points.clamp(points.new_zeros(2), points.new_tensor([size.width - 1, size.height - 1]))


def neighbours(positions: Tensor, cells: Size) -> tuple[Tensor, Tensor]:
    """Numbers (N, 4) of the cells around positions (N, 2), counted row by row, and their weights (N, 4).

    Positions beyond the outermost cells are those of the border.
    """
    last = positions.new_tensor([cells.width - 1, cells.height - 1])
    positions = positions.clamp(torch.zeros_like(last), last)
    first = positions.floor()
    second = torch.minimum(first + 1, last)
    x, y = (positions - first).unbind(1)
    left, top = first.long().unbind(1)
    right, bottom = second.long().unbind(1)
    numbers = [row * cells.width + column for row in (top, bottom) for column in (left, right)]
    weights = [down * across for down in (1 - y, y) for across in (1 - x, x)]
    return torch.stack(numbers, dim=1), torch.stack(weights, dim=1)
