"""Points moved with the boxes that they lie in (DHPF's reading of a correlation).

Each cell of the source is a box around the cell's centre. Each box has a best box in the target, by the
correlation after a filter that favours mutual choices. A point lies in several boxes; its prediction is the
mean of where these boxes' moves take it.

Boxes follow from the lattices of the matches: their centres are those that a lattice's grid gives the cells
(`corner` where it declares none), their sides a multiple of the step from one cell to the next. DHPF's own,
10 pixels for steps of 4, are its default. They are not cut off at the image's border.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import GridConvention, cells_to_pixels
from harness.specs import Lattice, Located, Matches
from matchers.formulas import ZERO_MAXIMUM

GRID: GridConvention = "corner"
"""How cells lie on the frame's pixels where a lattice does not declare it."""


@dataclass(frozen=True)
class Boxes:
    """The mean of the moves of all source boxes that contain a point, edges included.

    A point in no box, which lattices that stay away from the border have, moves with the nearest.

    Attributes:
        reach: half of a box's side, over the step between neighbouring cells; DHPF's is 5 / 4.
        mutual: whether scores are weighted by how close they are to the best of both boxes.
    """

    reach: float = 1.25
    mutual: bool = True

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`. The score is the mean of the boxes' best scores.

        Raises:
            ValueError: the matches are a flow.
        """
        if matches.volume is None:
            raise ValueError("boxes are read from a correlation volume, and these matches are a flow")
        queries = matches.source.frame.from_original(points)
        sources, targets = _centres(matches.source, points), _centres(matches.target, points)
        contains = self._contain(matches.source, sources, queries)
        # Only rows of cells whose box has a point are looked at.
        cells = contains.any(0).nonzero()[:, 0]
        best, scores = self._best_targets(matches.volume, cells)
        moves = targets[best] - sources[cells]
        weights = contains[:, cells].to(moves)
        weights = weights / weights.sum(1, keepdim=True)
        predicted = queries + weights @ moves
        return Located(matches.target.frame.to_original(predicted), weights.to(scores) @ scores)

    def _contain(self, lattice: Lattice, centres: Tensor, queries: Tensor) -> Tensor:
        """Says (N, cells) which boxes contain which of the queries (N, 2), frame pixels."""
        corners = torch.tensor([[0, 0], [1, 1]], dtype=queries.dtype, device=queries.device)
        first, second = _pixels(lattice, corners)
        distances = (queries[:, None] - centres).abs()
        contains = (distances <= self.reach * (second - first)).all(2)
        nearest = distances.square().sum(2).argmin(1)
        alone = torch.nn.functional.one_hot(nearest, len(centres)).bool()
        return torch.where(contains.any(1, keepdim=True), contains, alone)

    def _best_targets(self, volume: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Best target cells of some source cells, numbered row by row, and their scores; of equals the first.

        Both come on the cells' device.
        """
        flat = volume.flatten(0, 1).flatten(1)
        rows = flat[cells.to(flat.device)]
        rows = rows.float() if rows.dtype.itemsize < torch.float32.itemsize else rows
        if self.mutual:
            best_of_source = _nonzero(flat.amax(0).to(rows))
            best_of_target = _nonzero(rows.amax(1, keepdim=True))
            rows = rows * ((rows / best_of_source) * (rows / best_of_target))
        scores, best = rows.max(1)
        return best.to(cells.device), scores.to(cells.device)


def _nonzero(maxima: Tensor) -> Tensor:
    """Maxima to divide by."""
    return maxima.masked_fill(maxima == 0, ZERO_MAXIMUM)


def _centres(lattice: Lattice, like: Tensor) -> Tensor:
    """(cells, 2) centres of a lattice's boxes in frame pixels, row by row."""
    width, height = lattice.cells
    numbers = torch.arange(width * height, device=like.device)
    return _pixels(lattice, torch.stack([numbers % width, numbers // width], 1).to(like.dtype))


def _pixels(lattice: Lattice, cells: Tensor) -> Tensor:
    """Positions in cells -> frame pixels."""
    return cells_to_pixels(cells, lattice.frame.size, lattice.cells, lattice.grid or GRID)
