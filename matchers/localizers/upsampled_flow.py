"""A correlation read as a dense flow: each cell's displacement, between cells bilinearly (PWarpC, strong)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import GridConvention
from harness.localizers.similarity import sample
from harness.specs import Located, Matches
from matchers.formulas import expected_positions
from matchers.localizers.picture_pixels import PicturePixels, best_targets, round_within

GRID: GridConvention = "half-pixel"
"""How cells lie on pictures where matches do not say it: as upsampling without aligned corners has it."""


@dataclass(frozen=True)
class UpsampledFlow:
    """Displacements of source cells in cells, read between them, added to the point's own cell.

    Where both pictures have one size, this is the authors' flow in pixels. Where they differ, displacements
    are those of pictures stretched to one size.

    Attributes:
        temperature: of a softmax over target cells whose mean position is a cell's match; None for the best
            target cell.
        whole_pixels: whether the flow is that of the nearest whole pixel, as the authors read it.
    """

    temperature: float | None = None
    whole_pixels: bool = True

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`. The score is that of the cells around a point, bilinearly."""
        if matches.volume is None:
            raise ValueError("upsampled-flow reads a volume, not a flow")
        points = points.to(matches.volume.device, torch.float64)
        source, target = PicturePixels(matches.source, GRID), PicturePixels(matches.target, GRID)
        asked = round_within(points, source.picture) if self.whole_pixels else points
        cells, scores = self._cells(matches.volume)
        rows, columns = (torch.arange(side, device=cells.device) for side in scores.shape)
        own = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        flow = (cells - own).permute(2, 0, 1)
        positions = source.cells(asked)
        moved = positions + sample(flow, positions)
        score = sample(scores[None], positions)[:, 0]
        return Located(target.points(moved) + (points - asked), score)

    def _cells(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Target cells (h, w, 2), float64, of each source cell, and the scores (h, w) of the best ones."""
        best, scores = best_targets(volume)
        if self.temperature is None:
            return best, scores
        rows, columns = volume.shape[2:]
        probability = (volume.double().flatten(2) / self.temperature).softmax(dim=2).view_as(volume)
        last = best.new_tensor([columns - 1, rows - 1])
        return (expected_positions(probability) + 1) / 2 * last, scores
