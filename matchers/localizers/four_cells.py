"""NCNet's reading of a correlation: the best matches of the four cells around a point, blended."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.errors import UserError
from harness.frames import GridConvention
from harness.specs import Located, Matches
from matchers.localizers.picture_pixels import PicturePixels, best_targets, round_within

GRID: GridConvention = "corner"
"""How cells lie on pictures where matches do not declare it."""


@dataclass(frozen=True)
class FourCells:
    """Best matches of the four cells around a point, weighted by the distances to their opposites.

    Beyond the outermost cells the same two count. There the authors' weights, which are distances without
    their sign, do not extrapolate: the blend stays between the two cells' matches.

    Attributes:
        first_pixel: the number that a picture's first pixel has in the points. NCNet's code counts from 1, as
            Matlab does; PWarpC's gives it points that count from 0. With 0 the two are not mixed.
        side: pixels across and down to which both pictures' points are scaled before; None for none. NCNet's
            evaluation on PF-Pascal scales them to 224. It matters because pixels are counted from 1.
        whole_pixels: whether the transfer is that of the nearest whole pixel, plus the point's distance from
            it: PWarpC's reading of a dense flow.
        nearest: whether the nearest cell alone counts.
    """

    first_pixel: float = 1.0
    side: int | None = None
    whole_pixels: bool = False
    nearest: bool = False

    def __post_init__(self) -> None:
        """Raises `UserError` for a square in which the corners are one pixel."""
        if self.side is not None and self.side < 2:
            raise UserError(f"localizer 'four-cells': side {self.side} is too small; give 2 or more, or None")

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`. A score is the blend of the four best scores."""
        if matches.volume is None:
            raise ValueError("four-cells reads a volume, not a flow")
        points = points.to(matches.volume.device, torch.float64)
        source = PicturePixels(matches.source, GRID, self.first_pixel, self.side)
        target = PicturePixels(matches.target, GRID, self.first_pixel, self.side)
        asked = round_within(points, source.picture) if self.whole_pixels else points
        best, scores = best_targets(matches.volume)
        cells, score = self._blend(source.cells(asked), best, scores)
        return Located(target.points(cells) + (points - asked), score)

    def _blend(self, positions: Tensor, best: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Target cells (N, 2) and scores (N) of positions (N, 2) among source cells.

        Args:
            best, scores: (h, w, 2) and (h, w) of the source cells, as `best_targets` gives them.
        """
        height, width = scores.shape
        if self.nearest:
            last = positions.new_tensor([width - 1, height - 1])
            # Of two that are as near, the authors' is the left or upper one.
            column, row = (positions - 0.5).ceil().clamp(min=0).minimum(last).long().unbind(1)
            return best[row, column], scores[row, column]
        columns = _neighbours(positions[:, 0], width)
        rows = _neighbours(positions[:, 1], height)
        cells, score = torch.zeros_like(positions), positions.new_zeros(len(positions))
        for row, down in rows:
            for column, across in columns:
                weight = down * across
                cells = cells + weight[:, None] * best[row, column]
                score = score + weight * scores[row, column]
        return cells, score


def _neighbours(position: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """The cells to the left and right of positions (N) on one axis, and their weights, of sum 1."""
    if count == 1:
        return [(torch.zeros_like(position, dtype=torch.long), torch.ones_like(position))]
    # The last cell strictly before the position; the outermost two beyond the ends.
    left = (position.ceil().long() - 1).clamp(0, count - 2)
    right = left + 1
    to_left, to_right = (position - left).abs(), (position - right).abs()
    total = to_left + to_right
    return [(left, to_right / total), (right, to_left / total)]
