"""Pixels in which authors' readings of matches count, and the cells that lie on them.

Readings are stated for pictures as they are, and not for the square that a network is fed. Where a network
was fed a picture with empty pixels beside it, they count those, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from harness.frames import GridConvention, PatchGrid, Size, cells_to_pixels, pixels_to_cells
from harness.specs import Lattice


@dataclass(frozen=True)
class PicturePixels:
    """Maps between original pixels (N, 2) and cells of a lattice (N, 2).

    Attributes:
        lattice: the cells.
        grid: how they lie on pixels where the lattice does not declare it.
        first_pixel: the number that the first pixel of a row has.
        side: pixels across and down to which pictures are scaled before, None for pictures as they are.

    Overlapping patches lie on the network's input itself, whose pixels count from 0.
    """

    lattice: Lattice
    grid: GridConvention
    first_pixel: float = 0.0
    side: int | None = None

    @property
    def convention(self) -> GridConvention:
        """The convention that holds."""
        return self.lattice.grid or self.grid

    @cached_property
    def picture(self) -> Size:
        """Original pixels that the network was fed, empty ones included."""
        size, (across, down) = self.lattice.frame.size, self.lattice.frame.scale
        return Size(round(size.width / across), round(size.height / down))

    @cached_property
    def size(self) -> Size:
        """Pixels in which the reading counts."""
        return self.picture if self.side is None else Size(self.side, self.side)

    def cells(self, points: Tensor) -> Tensor:
        """Original pixels -> cells, unclamped."""
        frame = self.lattice.frame
        if isinstance(self.convention, PatchGrid):
            pixels = frame.from_original(points)
            return pixels_to_cells(pixels, frame.size, self.lattice.cells, self.convention)
        pixels = (points + self._offset(points)) * self._scale(points) - self.first_pixel
        return pixels_to_cells(pixels, self.size, self.lattice.cells, self.convention)

    def points(self, cells: Tensor) -> Tensor:
        """Cells -> original pixels."""
        frame = self.lattice.frame
        if isinstance(self.convention, PatchGrid):
            pixels = cells_to_pixels(cells, frame.size, self.lattice.cells, self.convention)
            return frame.to_original(pixels)
        pixels = cells_to_pixels(cells, self.size, self.lattice.cells, self.convention) + self.first_pixel
        return pixels / self._scale(cells) - self._offset(cells)

    def _offset(self, like: Tensor) -> Tensor:
        """Original pixels that lie before the picture in what the network was fed."""
        (across, down), (left, top) = self.lattice.frame.scale, self.lattice.frame.offset
        return like.new_tensor([left / across, top / down])

    def _scale(self, like: Tensor) -> Tensor:
        """Pixels in which the reading counts per original pixel."""
        width, height = self.picture
        return like.new_tensor([self.size.width / width, self.size.height / height])


def round_within(points: Tensor, picture: Size) -> Tensor:
    """The whole pixels (N, 2) nearest to points, within the picture; halves go to the even one."""
    last = points.new_tensor([picture.width - 1, picture.height - 1])
    return points.round().clamp(min=0).minimum(last)


def best_targets(volume: Tensor) -> tuple[Tensor, Tensor]:
    """For every source cell of a volume (h, w, h', w') the best target cell and its score.

    Returns:
        (h, w, 2) float64 cells (x, y), of equal scores the first, in rows from the top left; (h, w) scores.
    """
    scores, index = volume.flatten(2).max(dim=2)
    columns = volume.shape[3]
    return torch.stack([index % columns, index // columns], dim=-1).double(), scores
