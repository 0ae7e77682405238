"""Argmax of the cosine similarity at the images' original resolution, without image-sized maps (DIFT)."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import ref

import torch
from torch import Tensor

from harness.caching.lru import ByteLRU
from harness.frames import GridConvention
from harness.localizers.highest_pixel import LEAST_PIXELS, Runs, Tiles
from harness.localizers.similarity import Grid, sample, similarities
from harness.specs import FeatureMap, Located
from harness.specs.extractors import is_constant
from harness.specs.lengths import unit_features

GRID: GridConvention = "half-pixel"
"""How cells lie on the frame's pixels where a map does not declare it."""

MAX_SIMILARITIES = 1 << 24
"""Similarities held at once by `argmax-original`: 64 MiB of float32."""

NORM_BYTES = 1 << 28
"""Memory for norms that `argmax-original` keeps: those of 350 images of 500 x 375 pixels."""


@dataclass(frozen=True)
class _Upsampling:
    """Bilinear interpolation along one axis, from n cells to m pixels, as matrices (m, n).

    With neighbours i, i + 1 and weight a of the second, a row holds:

    Attributes:
        lower: (m) i.
        linear: 1 - a at i, a at i + 1.
        square: (1 - a)^2 at i, a^2 at i + 1.
        cross: a (1 - a) at i.
    """

    lower: Tensor
    linear: Tensor
    square: Tensor
    cross: Tensor

    @classmethod
    def at(cls, positions: Tensor, n: int, like: Tensor) -> _Upsampling:
        """Interpolation at `positions` (m), clamped to the border."""
        positions = positions.clamp(0, n - 1)
        # The last cell is the upper neighbour of the one before it; a map of one cell has no neighbours.
        last_lower = max(n - 2, 0)
        lower = positions.floor().long().clamp(max=last_lower)
        upper = (lower + 1).clamp(max=n - 1)
        a = (positions - lower)[:, None]
        at_lower = torch.nn.functional.one_hot(lower, n).double()
        at_upper = torch.nn.functional.one_hot(upper, n).double()
        linear = (1 - a) * at_lower + a * at_upper
        square = (1 - a) ** 2 * at_lower + a**2 * at_upper
        cross = a * (1 - a) * at_lower
        # Rounded once, at the end: positions and weights are computed in float64.
        return cls(lower, linear.to(like), square.to(like), cross.to(like))


@dataclass(frozen=True, eq=False)
class _OriginalResolution:
    """A map's interpolation to original pixels, and the norms (H, W) of the upsampled features.

    Attributes:
        is_constant: True where all cells are equal, and with them all pixels, but for rounding.
        tiles: of large images alone; None for others.
    """

    across: _Upsampling
    down: _Upsampling
    norms: Tensor
    is_constant: bool
    tiles: Tiles | None

    def highest(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """Indices (N) of the pixels of highest cosine, in rows from the top left, and these cosines (N).

        Args:
            products: (N, h, w) of the queries with the map's cells.
        """
        found = self.tiles.highest(products) if self.tiles else None
        if found is not None:
            return found.indices, found.cosines.to(products.dtype)
        upsampled = self.down.linear @ products @ self.across.linear.T
        cosines = upsampled / self.norms
        if self.is_constant:
            # Of equal pixels the first counts, not the one that rounding favours.
            cosines = cosines[:, :1, :1]
        score, index = cosines.flatten(1).max(dim=1)
        return index, score


@dataclass(frozen=True)
class ArgmaxOriginal:
    """The pixel of highest cosine similarity after both maps are upsampled to their images' sizes (DIFT).

    No image-sized feature map is built. The dot product of a query with a bilinearly upsampled map is the
    upsampled dot product, and the norm of the upsampled feature follows from each cell's dot products with
    itself and with its right, lower and diagonal neighbours: |sum_i w_i f_i|^2 = sum_ij w_i w_j <f_i, f_j>.
    Of a large image most pixels are left out, by a bound that shows that they are not the highest.

    The query is the pixel a point lies in, clamped to the image. Of equal pixels the first counts, in rows
    from the top left; pixels between equal cells are equal but for the rounding of their interpolation.
    """

    _norms: ByteLRU[_OriginalResolution] = field(
        default_factory=lambda: ByteLRU(NORM_BYTES, _norm_bytes), repr=False, compare=False
    )
    """By weak references to maps, so that an entry goes with its map.

    It has a limit, since a photo of ten megapixels has more norms than its map has values.
    """

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`. Predictions are whole pixels."""
        start, data = Grid(source, GRID), Grid(target, GRID).data
        samples = sample(start.data, start.whole_pixel_positions(points))
        queries = unit_features(samples, 1).to(data.dtype)
        upsampling = self._of(target)
        size = target.frame.original
        step = max(1, MAX_SIMILARITIES // (size.width * size.height))
        indices, scores = [], []
        for batch in torch.split(queries, step):
            products = similarities(batch, data, normalize=False)
            index, score = upsampling.highest(products)
            indices.append(index)
            scores.append(score)
        index = torch.cat(indices)
        predicted = torch.stack([index % size.width, index // size.width], dim=1)
        return Located(predicted.double(), torch.cat(scores))

    def _of(self, target: FeatureMap) -> _OriginalResolution:
        # Python calls `drop` with the reference, which is the key, when the map is freed.
        key = ref(target, self._norms.drop)
        return self._norms.once(key, lambda: _original_resolution(target))


def _original_resolution(target: FeatureMap) -> _OriginalResolution:
    grid, (width, height) = Grid(target, GRID), target.frame.original
    data = grid.data
    columns = grid.pixel_positions(torch.arange(width), 0)
    rows = grid.pixel_positions(torch.arange(height), 1)
    across = _Upsampling.at(columns, data.shape[2], data)
    down = _Upsampling.at(rows, data.shape[1], data)
    norms = _norms_after_upsampling(data, across, down)
    tiles = None
    # A GPU upsamples all of a map sooner than it would tell what not to; other precisions round otherwise.
    is_bounded = norms.device.type == "cpu" and norms.dtype == torch.float32
    if is_bounded and norms.numel() >= LEAST_PIXELS:
        tiles = Tiles.of(Runs.of(down.lower, down.linear), Runs.of(across.lower, across.linear), norms)
    return _OriginalResolution(across, down, norms, is_constant(data), tiles)


def _norm_bytes(target: _OriginalResolution) -> int:
    return target.norms.nbytes + (target.tiles.nbytes if target.tiles else 0)


def _norms_after_upsampling(data: Tensor, across: _Upsampling, down: _Upsampling) -> Tensor:
    """Norms (H, W) of a bilinearly upsampled map, from products of neighbours in the map (C, h, w) itself."""
    pad = torch.nn.functional.pad
    # Each cell's neighbours, as maps of the same shape; beyond the border lie zeros, of weight 0.
    right = pad(data[:, :, 1:], (0, 1))
    below = pad(data[:, 1:], (0, 0, 0, 1))
    diagonal = pad(data[:, 1:, 1:], (0, 1, 0, 1))
    itself = (data * data).sum(0)
    beside = (data * right).sum(0)
    under = (data * below).sum(0)
    # Both diagonals of a square of four cells have the weight a (1 - a) across times that down.
    crossing = (data * diagonal).sum(0) + (right * below).sum(0)
    same_row = itself @ across.square.T + 2 * beside @ across.cross.T
    two_rows = under @ across.square.T + crossing @ across.cross.T
    squared = down.square @ same_row + 2 * down.cross @ two_rows
    # Rounding may leave a square below zero, and a feature of zeros must not be divided by zero.
    smallest = torch.finfo(data.dtype).tiny
    return squared.clamp_min(smallest).sqrt()
