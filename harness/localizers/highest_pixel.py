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

SIDE = 10
"""Pixels of a tile along each axis, at most."""

EFFORT = 8
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
        weights: (R, P, 2) float64, of both cells.
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
        weights = linear[pixels[:, :, None], cells[:, None, :]].double()
        if linear.shape[1] == 1:
            # The one cell is its own neighbour, and its weight counts once.
            weights[..., 1] = 0
        ends = linear[torch.stack([first, last], dim=1).flatten()]
        return cls(pixels, steps < sizes[:, None], cells, weights, ends)


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of a target image, each a run down times a run across.

    Attributes:
        norms: (H, W) of the upsampled features.
        least, most: (rows, columns) of tiles: the least and the greatest norm of their pixels.
    """

    down: Runs
    across: Runs
    norms: Tensor
    least: Tensor
    most: Tensor

    @classmethod
    def of(cls, down: Runs, across: Runs, norms: Tensor) -> Self:
        """Tiles of an image, from its norms (H, W) float32."""
        # What stands in for missing pixels is a pixel of the same tile, and changes neither.
        rows = norms[down.pixels]
        least = rows.amin(1)[:, across.pixels].amin(2)
        most = rows.amax(1)[:, across.pixels].amax(2)
        return cls(down, across, norms, least, most)

    @property
    def nbytes(self) -> int:
        """Bytes of what is held besides the norms."""
        held = [self.least, self.most]
        for runs in (self.down, self.across):
            held += [runs.pixels, runs.is_pixel, runs.cells, runs.weights, runs.ends]
        return sum(tensor.nbytes for tensor in held)

    def highest(self, products: Tensor) -> Highest | None:
        """Finds the highest pixel of maps of products, upsampled and divided by the norms.

        Args:
            products: (N, h, w) float32, with the map's cells.

        Returns:
            None where rounding decides, or where too many pixels would be looked at to gain anything.
        """
        count = len(products)
        corners = self.down.ends @ products @ self.across.ends.T
        corners = corners.view(count, len(self.least), 2, -1, 2).amax((2, 4))
        doubts = ROUNDING * products.abs().amax((1, 2))[:, None, None] / self.least
        # A product below zero is nearest to it where the norm is greatest. Bound and pixel are rounded, both.
        bounds = torch.where(corners >= 0, corners / self.least, corners / self.most) + 2 * doubts
        bounds, doubts = bounds.flatten(1), doubts.flatten(1)
        points = torch.arange(count)
        promising = bounds.argmax(1)
        values, _ = self._evaluate(products, points, promising)
        floors = values.flatten(1).amax(1) - doubts[points, promising]
        point, tile = (bounds >= floors[:, None]).nonzero(as_tuple=True)
        if EFFORT * len(point) * values[0].numel() > count * self.norms.numel():
            return None
        values, pixels = self._evaluate(products, point, tile)
        return _single(point, values.flatten(1), pixels.flatten(1), doubts[point, tile], count)

    def _evaluate(self, products: Tensor, point: Tensor, tile: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines (K, P, Q) float64 and indices of the pixels of K points' tiles.

        What is missing in a tile has the cosine minus infinity.
        """
        columns = len(self.across.pixels)
        row, column = tile // columns, tile % columns
        down, across = self.down.cells[row][:, :, None], self.across.cells[column][:, None, :]
        around = products[point[:, None, None], down, across].double()
        upsampled = self.down.weights[row] @ around @ self.across.weights[column].mT
        y, x = self.down.pixels[row][:, :, None], self.across.pixels[column][:, None, :]
        is_pixel = self.down.is_pixel[row][:, :, None] & self.across.is_pixel[column][:, None, :]
        cosines = torch.where(is_pixel, upsampled / self.norms[y, x], -torch.inf)
        return cosines, y * self.norms.shape[1] + x


def _single(point: Tensor, values: Tensor, pixels: Tensor, doubts: Tensor, count: int) -> Highest | None:
    """The highest of each point's pixels; None where a point has several that rounding may have put in order.

    Args:
        point: (K) to which of the `count` points each row belongs.
        values, pixels: (K, P) cosines and indices.
        doubts: (K) by how much rounding may have changed a row's cosines.
    """
    best, place = values.max(1)
    value = values.new_full((count,), -torch.inf).scatter_reduce(0, point, best, "amax")
    doubt = values.new_zeros(count).scatter_reduce(0, point, doubts.double(), "amax")
    near = (values >= (value - 2 * doubt)[point, None]).sum(1)
    # What is not a number is near nothing.
    if not bool((torch.zeros(count, dtype=torch.long).index_add(0, point, near) == 1).all()):
        return None
    chosen = best == value[point]
    index = torch.zeros(count, dtype=torch.long)
    index[point[chosen]] = pixels[chosen].gather(1, place[chosen][:, None])[:, 0]
    return Highest(index, value)
