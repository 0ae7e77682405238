"""The highest pixel of an upsampled similarity map, found without looking at all of them.

The image is laid out in tiles of a few pixels that lie between the same four cells. Within a tile the
upsampled product is bilinear, so that it is nowhere higher than at the tile's corners. Divided by the least
norm of its pixels, that is a bound for the cosines of all of them. Most tiles' bounds lie below the best
pixel of the most promising tile. The pixels of the others are evaluated in double precision.

The pixel is that of the whole map's evaluation, always: bounds are widened by the rounding of that
evaluation, and where two pixels are closer to each other than it, there is no answer here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

LEAST_PIXELS = 1 << 16
"""Pixels of an image from which on it takes less time to look at some than at all: 300 x 220."""

SIDE = 12
"""Pixels of a tile along each axis, at most."""

EFFORT = 3
"""Pixels of the whole map that take as long as one by itself."""

SAME = 1e-12
"""Difference of weights that is the rounding of positions."""

ROUNDING = 3 * torch.finfo(torch.float32).eps
"""More than the rounding of an upsampled product of cells of magnitude 1, divided by a norm of 1: two sums of
two products round four times, a division once, each by half of `eps`."""


class Highest(NamedTuple):
    """The highest pixels of N maps.

    Attributes:
        indices: (N) of pixels, in rows from the top left.
        cosines: (N) float64.
    """

    indices: Tensor
    cosines: Tensor


@dataclass(frozen=True, eq=False)
class Runs:
    """Pixels along one axis, in R runs of up to `SIDE` neighbours between the same two of n cells.

    Beyond the outermost cells all pixels are equal, of which the first counts: the others are left out.

    Attributes:
        pixels: (R, P), where the last one stands in for what is missing.
        is_pixel: (R, P) False for what is missing.
        cells: (R, 2) the lower and the upper cell.
        weights: (R, 2, P) float64, of both cells.
        ends: (2 R, n) float32 weights of all cells for the first and the last pixel of each run.
    """

    pixels: Tensor
    is_pixel: Tensor
    cells: Tensor
    weights: Tensor
    ends: Tensor

    @classmethod
    def of(cls, lower: Tensor, linear: Tensor) -> Self:
        """Runs of an axis.

        Args:
            lower: (m) the lower neighbour of every pixel, which does not decrease.
            linear: (m, n) float32 weights of the cells.
        """
        is_new = torch.ones(len(lower), dtype=torch.bool)
        is_new[1:] = (linear[1:] - linear[:-1]).abs().amax(1) > SAME
        distinct = is_new.nonzero()[:, 0]
        runs: list[Tensor] = []
        _, counts = lower[distinct].unique_consecutive(return_counts=True)
        for between in distinct.split(counts.tolist()):
            # As equal as can be: 10 pixels are twice 5, and not 8 and 2.
            runs += between.tensor_split(-(-len(between) // SIDE))
        sizes = torch.tensor([len(run) for run in runs])
        pixels = nn.utils.rnn.pad_sequence(runs, batch_first=True)
        steps = torch.arange(pixels.shape[1])
        pixels = pixels.gather(1, torch.minimum(steps, sizes[:, None] - 1))
        first, last = pixels[:, 0], pixels[:, -1]
        cells = torch.stack([lower[first], (lower[first] + 1).clamp(max=linear.shape[1] - 1)], dim=1)
        weights = linear[pixels[:, None, :], cells[:, :, None]].double()
        if linear.shape[1] == 1:
            # The one cell is its own neighbour, and its weight counts once.
            weights[:, 1] = 0
        ends = linear[torch.stack([first, last], dim=1).flatten()]
        return cls(pixels, steps < sizes[:, None], cells, weights, ends)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of a target image, each a run down times a run across, in rows from the top left.

    Attributes:
        norms: (tiles, P, Q) float64 of the upsampled features; of missing pixels infinity: cosine 0.
        least: (rows, columns) the least norm of each tile's pixels.
        width: of the image in pixels.
        pixels: of the image.
    """

    down: Runs
    across: Runs
    norms: Tensor
    least: Tensor
    width: int
    pixels: int

    @classmethod
    def of(cls, down: Runs, across: Runs, norms: Tensor) -> Self:
        """Tiles of an image, from its norms (H, W) float32."""
        of_tiles = norms[down.pixels[:, None, :, None], across.pixels[None, :, None, :]]
        is_pixel = down.is_pixel[:, None, :, None] & across.is_pixel[None, :, None, :]
        of_tiles = torch.where(is_pixel, of_tiles.double(), torch.inf)
        least = of_tiles.amin((2, 3)).to(norms.dtype)
        return cls(down, across, of_tiles.flatten(0, 1), least, norms.shape[1], norms.numel())

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        held = [self.norms, self.least]
        for runs in (self.down, self.across):
            held += [runs.pixels, runs.is_pixel, runs.cells, runs.weights, runs.ends]
        return sum(tensor.nbytes for tensor in held)

    def highest(self, products: Tensor) -> Highest | None:
        """Finds the highest pixel of maps of products, upsampled and divided by the norms.

        Args:
            products: (N, h, w) float32, with the map's cells.

        Returns:
            None where rounding decides, where too many pixels would be looked at to gain anything, or where
            no cosine is above zero.
        """
        count = len(products)
        corners = self.down.ends @ products @ self.across.ends.T
        corners = corners.view(count, len(self.least), 2, -1, 2).amax((2, 4))
        doubts = ROUNDING * products.abs().amax((1, 2))[:, None] / self.least.flatten()
        # Twice, since the bound is rounded, too.
        bounds = torch.addcmul(2 * doubts, corners.flatten(1), 1 / self.least.flatten())
        points = torch.arange(count)
        promising = bounds.argmax(1)
        values = self._evaluate(products, points, promising)
        floors = values.amax(1) - doubts[points, promising]
        # A product below zero is the nearer to it the greater the norm: their bounds are others.
        if not bool((floors > 0).all()):
            return None
        point, tile = (bounds >= floors[:, None]).nonzero(as_tuple=True)
        if EFFORT * len(point) * values.shape[1] > count * self.pixels:
            return None
        values = self._evaluate(products, point, tile)
        best, place = values.max(1)
        cosines = values.new_full((count,), -torch.inf).scatter_reduce(0, point, best, "amax")
        doubt = values.new_zeros(count).scatter_reduce(0, point, doubts[point, tile].double(), "amax")
        near = (values >= (cosines - 2 * doubt)[point, None]).sum(1)
        # What is not a number is near nothing.
        if not bool((torch.zeros(count, dtype=torch.long).index_add(0, point, near) == 1).all()):
            return None
        indices = torch.zeros(count, dtype=torch.long)
        chosen = best == cosines[point]
        indices[point[chosen]] = self._indices(tile[chosen], place[chosen])
        return Highest(indices, cosines)

    def _evaluate(self, products: Tensor, point: Tensor, tile: Tensor) -> Tensor:
        """Cosines (K, P Q) float64 of the pixels of K points' tiles."""
        columns = len(self.across.pixels)
        row, column = tile // columns, tile % columns
        cells = self.down.cells[row][:, :, None], self.across.cells[column][:, None, :]
        around = products[point[:, None, None], *cells].double()
        beside = (around[:, :, :, None] * self.across.weights[column][:, None]).sum(2)
        down = self.down.weights[row]
        upsampled = down[:, 0, :, None] * beside[:, 0, None]
        upsampled.addcmul_(down[:, 1, :, None], beside[:, 1, None])
        return upsampled.div_(self.norms[tile]).flatten(1)

    def _indices(self, tile: Tensor, place: Tensor) -> Tensor:
        """Indices in the image of pixels of tiles."""
        columns, across = self.across.pixels.shape
        y = self.down.pixels[tile // columns, place // across]
        return y * self.width + self.across.pixels[tile % columns, place % across]
