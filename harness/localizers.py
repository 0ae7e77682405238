"""From a source feature and a target map to a point.

A localizer takes the two feature maps and N query points in original pixels and returns N predictions in original pixels. All are
batched over points, and all but the `argmax` family are differentiable with respect to both maps.

Where a feature map declares no grid convention, `argmax`, `bilinear`, `soft-argmax` and `kernel-softmax` lay cells on the frame's
pixels corner to corner, `argmax-original` by half-pixel centres and `window-softmax` by patch centres, as their authors do.
"""

# ruff: noqa: TID253 - this module is imported by `LocalizerSpec.make`, never by `bench list`.

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from harness.frames import GridConvention, PatchGrid, cells_to_pixels, pixels_to_cells
from harness.specs import FeatureMap, Located

EPSILON = 1e-6
"""Added to a feature's norm before division (SD4Match's value)."""

MAX_SIMILARITIES = 1 << 24
"""Similarities held at once by `argmax-original`: 64 MiB of float32."""


# ------------------------------------------------------------------------------------------------------- parts of a localizer


def normalized(features: Tensor, dim: int) -> Tensor:
    """Features over their L2 norm along `dim`: f / (|f| + 1e-6)."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=dim, keepdim=True)
    return features / (norms + EPSILON)


def sample(data: Tensor, cells: Tensor) -> Tensor:
    """Bilinear samples of a map (C, h, w) at cells (N, 2), clamped to the map's border -> (N, C)."""
    height, width = data.shape[-2:]
    x, y = cells[:, 0].clamp(0, width - 1), cells[:, 1].clamp(0, height - 1)
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    a, b = (x - left).to(data.dtype), (y - top).to(data.dtype)
    upper = data[:, top, left] * (1 - a) + data[:, top, right] * a
    lower = data[:, bottom, left] * (1 - a) + data[:, bottom, right] * a
    return (upper * (1 - b) + lower * b).T


def similarities(queries: Tensor, target: Tensor, normalize: bool) -> Tensor:
    """Dot products of queries (N, C) with every cell of a map (C, h, w) -> (N, h, w); cosines with `normalize` (paper, eq. 3)."""
    if normalize:
        queries, target = normalized(queries, 1), normalized(target, 0)
    return (queries @ target.flatten(1)).view(len(queries), *target.shape[1:])


def best_cells(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Cells (N, 2) of the highest similarity in maps (N, h, w), and that similarity (N)."""
    score, index = similarity.flatten(1).max(dim=1)
    width = similarity.shape[-1]
    return torch.stack([index % width, index // width], dim=1).to(similarity.dtype), score


def expected_cells(similarity: Tensor, temperature: float) -> Tensor:
    """Mean cell (N, 2) under softmax(similarity / temperature) over maps (N, h, w) (paper, eq. 4)."""
    probability = (similarity.flatten(1) / temperature).softmax(dim=1).view_as(similarity)
    columns, rows = _axes(similarity)
    return torch.stack([(probability.sum(1) * columns).sum(1), (probability.sum(2) * rows).sum(1)], dim=1)


def kernel_weighted(similarity: Tensor, sigma: float) -> Tensor:
    """Similarities (N, h, w) times a Gaussian of `sigma` cells centred on each map's best cell (Lee et al., SFNet).

    The Gaussian scales similarities and not probabilities, so far cells tend to similarity 0.
    """
    centre, _ = best_cells(similarity.detach())
    columns, rows = _axes(similarity)
    across = (-((columns - centre[:, :1]) ** 2) / (2 * sigma**2)).exp()
    down = (-((rows - centre[:, 1:]) ** 2) / (2 * sigma**2)).exp()
    return similarity * down[:, :, None] * across[:, None, :]


def windowed(similarity: Tensor, reach: int) -> Tensor:
    """Similarities (N, h, w), zero further than `reach` cells from each map's best cell in x or y (GeoAware-SC)."""
    centre, _ = best_cells(similarity.detach())
    columns, rows = _axes(similarity)
    inside = ((rows - centre[:, 1:]).abs() <= reach)[:, :, None] & ((columns - centre[:, :1]).abs() <= reach)[:, None, :]
    return similarity * inside


def _axes(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row numbers of maps (N, h, w), as their own kind of number."""
    height, width = similarity.shape[-2:]
    columns, rows = (torch.arange(size, dtype=similarity.dtype, device=similarity.device) for size in (width, height))
    return columns, rows


KEPT_NORMS = 1 << 26
"""Norms of upsampled features that `argmax-original` keeps, 256 MB: those of 350 pictures of 500 x 375 pixels."""


@dataclass(frozen=True)
class _Grid:
    """One feature map and how its cells lie: original pixels <-> cells."""

    map: FeatureMap
    default: GridConvention

    @property
    def data(self) -> Tensor:
        """The features, at least in single precision."""
        data = self.map.data
        return data.float() if data.dtype in (torch.float16, torch.bfloat16) else data

    def cells(self, points: Tensor) -> Tensor:
        """Original pixels (N, 2) -> cells, in float64 and on the map's device."""
        frame = self.map.frame
        points = points.to(self.map.data.device, torch.float64)
        return pixels_to_cells(frame.from_original(points), frame.size, self.map.cells, self.map.grid or self.default)

    def points(self, cells: Tensor) -> Tensor:
        """Cells (N, 2) -> original pixels, in float64."""
        frame = self.map.frame
        pixels = cells_to_pixels(cells.double(), frame.size, self.map.cells, self.map.grid or self.default)
        return frame.to_original(pixels)


# ----------------------------------------------------------------------------------------------------------------- localizers


@dataclass(frozen=True)
class Argmax:
    """The cell whose feature is most similar to the query's, which is sampled bilinearly from the raw source map (SD4Match `nn`)."""

    normalize: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        grid = _Grid(target, "corner")
        cells, score = best_cells(_query(source, target, points, self.normalize))
        return Located(grid.points(cells), score)


@dataclass(frozen=True)
class Bilinear:
    """The best cells of the four source cells around the query, blended as the query lies between them (SD4Match `bilinear`)."""

    normalize: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        start, goal = _Grid(source, "corner"), _Grid(target, "corner")
        width, height = source.cells
        # The margin keeps the right and lower neighbour inside the map (SD4Match); in single precision, as there, since at the border
        # the rounding of 1e-5 shows in the result.
        x, y = start.cells(points).to(start.data.dtype).unbind(1)
        x = x.clamp(1e-5, max(width - 1 - 1e-5, 1e-5))
        y = y.clamp(1e-5, max(height - 1 - 1e-5, 1e-5))
        left, top = x.floor(), y.floor()
        weights = {(0, 0): (1 - x + left) * (1 - y + top), (1, 0): (x - left) * (1 - y + top)}
        weights |= {(0, 1): (1 - x + left) * (y - top), (1, 1): (x - left) * (y - top)}
        blended, score = torch.zeros_like(x)[:, None].repeat(1, 2), torch.zeros_like(x)
        for (right, down), weight in weights.items():
            queries = sample(start.data, torch.stack([left + right, top + down], dim=1))
            cells, similarity = best_cells(similarities(queries, goal.data, self.normalize))
            blended = blended + weight[:, None] * cells
            score = score + weight * similarity
        return Located(goal.points(blended), score)


@dataclass(frozen=True)
class SoftArgmax:
    """The mean position under softmax of the similarities over the whole map (SD4Match `softmax`)."""

    temperature: float = 0.04
    normalize: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        similarity = _query(source, target, points, self.normalize)
        cells = expected_cells(similarity, self.temperature)
        return Located(_Grid(target, "corner").points(cells), best_cells(similarity.detach())[1])


@dataclass(frozen=True)
class KernelSoftmax:
    """Soft-argmax of the similarities times a Gaussian around the best cell (SD4Match `kernelsoftmax`; the paper's localizer).

    Attributes:
        sigma: the Gaussian's standard deviation in cells.
        relative_to: if set, `sigma` is meant for a grid of that many cells and grows and shrinks with the grid's longer side.
    """

    sigma: float = 7.0
    temperature: float = 0.04
    relative_to: int | None = None
    normalize: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        similarity = _query(source, target, points, self.normalize)
        sigma = self.sigma * max(target.cells) / self.relative_to if self.relative_to else self.sigma
        cells = expected_cells(kernel_weighted(similarity, sigma), self.temperature)
        return Located(_Grid(target, "corner").points(cells), best_cells(similarity.detach())[1])


@dataclass(frozen=True)
class WindowSoftmax:
    """Soft-argmax with similarities outside a window around the best patch set to zero (GeoAware-SC).

    The query is the feature of the patch that the point falls into.

    Attributes:
        window: patches to every side of the best one that still count.
    """

    window: int = 7
    temperature: float = 0.02

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        start, goal = _Grid(source, "patch-centre"), _Grid(target, "patch-centre")
        patch = (start.cells(points) + 0.5).floor()
        similarity = similarities(sample(start.data, patch), goal.data, normalize=True)
        cells = expected_cells(windowed(similarity, self.window), self.temperature)
        return Located(goal.points(cells), best_cells(similarity.detach())[1])


def _query(source: FeatureMap, target: FeatureMap, points: Tensor, normalize: bool) -> Tensor:
    """Similarity maps (N, h, w) of queries sampled bilinearly from the raw source map; normalised after sampling, not before."""
    start = _Grid(source, "corner")
    return similarities(sample(start.data, start.cells(points)), _Grid(target, "corner").data, normalize)


# --------------------------------------------------------------------------------------------- argmax at original resolution


@dataclass(frozen=True)
class _Upsampling:
    """Bilinear interpolation along one axis, from n cells to m pixels, as matrices (m, n).

    With neighbours i, i + 1 and weight a of the second, a row holds:

    Attributes:
        linear: 1 - a at i, a at i + 1.
        square: (1 - a)^2 at i, a^2 at i + 1.
        cross: a (1 - a) at i.
    """

    linear: Tensor
    square: Tensor
    cross: Tensor

    @classmethod
    def at(cls, cells: Tensor, n: int, like: Tensor) -> _Upsampling:
        """Interpolation at positions `cells` (m), clamped to the border."""
        cells = cells.clamp(0, n - 1)
        first = cells.floor().long().clamp(max=max(n - 2, 0))
        second = (first + 1).clamp(max=n - 1)
        a = (cells - first)[:, None]
        at_first = torch.nn.functional.one_hot(first, n).double()
        at_second = torch.nn.functional.one_hot(second, n).double()
        parts = (1 - a) * at_first + a * at_second, (1 - a) ** 2 * at_first + a**2 * at_second, a * (1 - a) * at_first
        return cls(*(part.to(like.device, like.dtype) for part in parts))


@dataclass(frozen=True, eq=False)
class _OriginalResolution:
    """What `argmax-original` keeps of a map: its interpolation to original pixels and the upsampled features' norms (H, W)."""

    across: _Upsampling
    down: _Upsampling
    norms: Tensor


@dataclass(frozen=True)
class ArgmaxOriginal:
    """The pixel of highest cosine similarity after both maps are upsampled to their images' original sizes (DIFT).

    No image-sized feature map is built. The dot product of a query with a bilinearly upsampled map is the upsampled dot product, and
    the norm of the upsampled feature follows from each cell's dot products with itself and with its right, lower and diagonal
    neighbours: |sum_i w_i f_i|^2 = sum_ij w_i w_j <f_i, f_j>.

    The query is the pixel a point lies in, clamped to the image.
    """

    _kept: WeakKeyDictionary[FeatureMap, _OriginalResolution] = field(default_factory=WeakKeyDictionary, repr=False, compare=False)
    """Of maps that are still in use, the last ones, up to `KEPT_NORMS` values."""

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`. Predictions are whole pixels."""
        queries = normalized(self._queries(source, points), 1)
        data = _Grid(target, "half-pixel").data
        kept = self._of(target)
        size = target.frame.original
        step = max(1, MAX_SIMILARITIES // (size.width * size.height))
        indices, scores = [], []
        for some in torch.split(queries, step):
            upsampled = kept.down.linear @ similarities(some, data, normalize=False) @ kept.across.linear.T
            score, index = (upsampled / kept.norms).flatten(1).max(dim=1)
            indices.append(index)
            scores.append(score)
        index = torch.cat(indices)
        predicted = torch.stack([index % size.width, index // size.width], dim=1).double()
        return Located(predicted, torch.cat(scores))

    @staticmethod
    def _queries(source: FeatureMap, points: Tensor) -> Tensor:
        size = source.frame.original
        x = points[:, 0].floor().clamp(0, size.width - 1)
        y = points[:, 1].floor().clamp(0, size.height - 1)
        cells = torch.stack([pixel_cells(source, x, 0), pixel_cells(source, y, 1)], dim=1)
        return sample(_Grid(source, "half-pixel").data, cells.to(source.data.device))

    def _of(self, target: FeatureMap) -> _OriginalResolution:
        kept = self._kept.get(target)
        if kept is None:
            kept = self._kept[target] = _original_resolution(target)
            # A photo of ten megapixels has more norms than its feature map has values.
            while len(self._kept) > 1 and sum(one.norms.numel() for one in self._kept.values()) > KEPT_NORMS:
                del self._kept[next(iter(self._kept))]
        return kept


def pixel_cells(map_: FeatureMap, pixels: Tensor, axis: int) -> Tensor:
    """Cell coordinate of the centre of each original pixel with the given numbers, along one axis."""
    frame, grid = map_.frame, map_.grid or "half-pixel"
    # Where pixel centres are integers in the frame's own count, an original pixel's centre is half a pixel from its number.
    kind = "patch-centre" if isinstance(grid, PatchGrid) else grid
    inner, outer = {"corner": (0.0, 0.0), "half-pixel": (0.5, 0.5), "patch-centre": (0.5, 0.0)}[kind]
    position = (pixels.double() + inner) * frame.scale[axis] + frame.offset[axis] - outer
    return pixels_to_cells(torch.stack([position, position], dim=-1), frame.size, map_.cells, grid)[..., axis]


def _original_resolution(target: FeatureMap) -> _OriginalResolution:
    data = _Grid(target, "half-pixel").data
    width, height = target.frame.original
    across = _Upsampling.at(pixel_cells(target, torch.arange(width), 0), data.shape[2], data)
    down = _Upsampling.at(pixel_cells(target, torch.arange(height), 1), data.shape[1], data)
    return _OriginalResolution(across, down, _upsampled_norms(data, across, down))


def _upsampled_norms(data: Tensor, across: _Upsampling, down: _Upsampling) -> Tensor:
    """Norms (H, W) of the features of a bilinearly upsampled map, from neighbour products of the map (C, h, w) itself."""
    right = torch.nn.functional.pad(data[:, :, 1:], (0, 1))
    below = torch.nn.functional.pad(data[:, 1:], (0, 0, 0, 1))
    diagonal = torch.nn.functional.pad(data[:, 1:, 1:], (0, 1, 0, 1))
    itself, beside, under = ((data * other).sum(0) for other in (data, right, below))
    crossing = (data * diagonal).sum(0) + (right * below).sum(0)
    same_row = itself @ across.square.T + 2 * beside @ across.cross.T
    two_rows = under @ across.square.T + crossing @ across.cross.T
    squared = down.square @ same_row + 2 * down.cross @ two_rows
    return squared.clamp_min(torch.finfo(data.dtype).tiny).sqrt()
