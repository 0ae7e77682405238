"""From a source feature and a target map to a point.

A localizer takes the two feature maps and N query points in original pixels and returns N predictions in original pixels. All are
batched over points, and all but the `argmax` family are differentiable with respect to both maps.

Where a feature map declares no grid convention, `argmax`, `bilinear`, `soft-argmax` and `kernel-softmax` lay cells on the frame's
pixels corner to corner, `argmax-original` by half-pixel centres and `window-softmax` by patch centres, as their authors do.
"""

# ruff: noqa: TID253 - this module is imported by `LocalizerSpec.make`, never by `bench list`.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness.frames import GridConvention, cells_to_pixels, pixels_to_cells
from harness.specs import FeatureMap, Located

EPSILON = 1e-6
"""Added to a feature's norm before division (SD4Match's value)."""

ROWS = 64
"""Points whose similarity maps pass together where there are many pairs. Always as many, so that what comes out of one does not depend on
what else there is: sums are split by the shape of what they are sums of."""


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


def similarities(queries: Tensor, target: Tensor, normalize: bool, norms: Tensor | None = None) -> Tensor:
    """Dot products of queries (N, C) with every cell of a map (C, h, w) -> (N, h, w); cosines with `normalize` (paper, eq. 3).

    Args:
        norms: (h, w) of the map's features, where they are known.
    """
    if not normalize:
        return (queries @ target.flatten(1)).view(len(queries), *target.shape[1:])
    norms = torch.linalg.vector_norm(target, dim=0) if norms is None else norms
    # Products are divided and not the map, which has a hundred times as many values.
    return similarities(normalized(queries, 1), target, normalize=False) / (norms + EPSILON)


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


@dataclass(frozen=True)
class Grid:
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


class _OfSimilarities:
    """A localizer that follows from the similarity map of each point by itself."""

    grid: ClassVar[GridConvention] = "corner"
    normalize: bool = True

    def similarity(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Tensor:
        """Similarity maps (N, h, w) of queries sampled bilinearly from the raw source map; normalised after sampling, not before."""
        start, goal = Grid(source, self.grid), Grid(target, self.grid)
        return similarities(sample(start.data, self.read_at(start.cells(points))), goal.data, self.normalize, target.norms)

    def read_at(self, cells: Tensor) -> Tensor:
        """Where the source map is sampled for points that lie at cells (N, 2)."""
        return cells

    def cells(self, similarity: Tensor) -> Tensor:
        """Predicted cells (N, 2) from similarity maps (N, h, w)."""
        raise NotImplementedError

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        similarity = self.similarity(source, target, points)
        return Located(Grid(target, self.grid).points(self.cells(similarity)), best_cells(similarity.detach())[1])

    def many(self, tasks: Sequence[tuple[FeatureMap, FeatureMap, Tensor]]) -> list[Located]:
        """See `harness.specs.Localizer`. Points of all pairs pass together, `ROWS` at a time, so that a point's numbers are its own."""
        maps = [self.similarity(*task) for task in tasks]
        alike: dict[tuple[object, ...], list[int]] = {}
        for number, one in enumerate(maps):
            alike.setdefault((one.shape[1:], one.dtype, one.device), []).append(number)
        found: dict[int, Located] = {}
        for numbers in alike.values():
            cells, scores = self._in_rows(torch.cat([maps[number] for number in numbers]))
            counts = [len(maps[number]) for number in numbers]
            for number, some, score in zip(numbers, cells.split(counts), scores.split(counts), strict=True):
                found[number] = Located(Grid(tasks[number][1], self.grid).points(some), score)
        return [found[number] for number in range(len(tasks))]

    def _in_rows(self, similarity: Tensor) -> tuple[Tensor, Tensor]:
        padding = similarity.new_zeros(-len(similarity) % ROWS, *similarity.shape[1:])
        parts = torch.cat([similarity, padding]).split(ROWS)
        cells, scores = torch.cat([self.cells(part) for part in parts]), torch.cat([best_cells(part)[1] for part in parts])
        return cells[: len(similarity)], scores[: len(similarity)]


@dataclass(frozen=True)
class Argmax(_OfSimilarities):
    """The cell whose feature is most similar to the query's, which is sampled bilinearly from the raw source map (SD4Match `nn`)."""

    normalize: bool = True

    def cells(self, similarity: Tensor) -> Tensor:
        """The best ones."""
        return best_cells(similarity)[0]


@dataclass(frozen=True)
class Bilinear:
    """The best cells of the four source cells around the query, blended as the query lies between them (SD4Match `bilinear`)."""

    normalize: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        start, goal = Grid(source, "corner"), Grid(target, "corner")
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
            cells, similarity = best_cells(similarities(queries, goal.data, self.normalize, target.norms))
            blended = blended + weight[:, None] * cells
            score = score + weight * similarity
        return Located(goal.points(blended), score)


@dataclass(frozen=True)
class SoftArgmax(_OfSimilarities):
    """The mean position under softmax of the similarities over the whole map (SD4Match `softmax`)."""

    temperature: float = 0.04
    normalize: bool = True

    def cells(self, similarity: Tensor) -> Tensor:
        """Mean cells."""
        return expected_cells(similarity, self.temperature)


@dataclass(frozen=True)
class KernelSoftmax(_OfSimilarities):
    """Soft-argmax of the similarities times a Gaussian around the best cell (SD4Match `kernelsoftmax`; the paper's localizer).

    Attributes:
        sigma: the Gaussian's standard deviation in cells.
        relative_to: if set, `sigma` is meant for a grid of that many cells and grows and shrinks with the grid's longer side.
    """

    sigma: float = 7.0
    temperature: float = 0.04
    relative_to: int | None = None
    normalize: bool = True

    def cells(self, similarity: Tensor) -> Tensor:
        """Mean cells around the best ones."""
        sigma = self.sigma * max(similarity.shape[1:]) / self.relative_to if self.relative_to else self.sigma
        return expected_cells(kernel_weighted(similarity, sigma), self.temperature)


@dataclass(frozen=True)
class WindowSoftmax(_OfSimilarities):
    """Soft-argmax with similarities outside a window around the best patch set to zero (GeoAware-SC).

    The query is the feature of the patch that the point falls into.

    Attributes:
        window: patches to every side of the best one that still count.
    """

    window: int = 7
    temperature: float = 0.02
    grid: ClassVar[GridConvention] = "patch-centre"

    def read_at(self, cells: Tensor) -> Tensor:
        """The patches that points fall into."""
        return (cells + 0.5).floor()

    def cells(self, similarity: Tensor) -> Tensor:
        """Mean cells within the windows."""
        return expected_cells(windowed(similarity, self.window), self.temperature)
